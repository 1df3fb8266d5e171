#include "server/grpc_status.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "engine/scheduler/tenant_quota.h"
#include "google/rpc/error_details.pb.h"

namespace eidetic {
namespace {

google::rpc::Status Details(const grpc::Status& status) {
  google::rpc::Status details;
  EXPECT_TRUE(details.ParseFromString(status.error_details()));
  return details;
}

template <typename Detail>
std::optional<Detail> Find(const grpc::Status& status) {
  const google::rpc::Status details = Details(status);
  Detail found;
  for (const auto& detail : details.details()) {
    if (detail.UnpackTo(&found)) return found;
  }
  return std::nullopt;
}

TEST(ToGrpcStatusTest, OkStaysOk) { EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).ok()); }

TEST(ToGrpcStatusTest, KeepsCodeAndMessageInBothForms) {
  const grpc::Status status = ToGrpcStatus(absl::NotFoundError("no such session"));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(status.error_message(), "no such session");
  EXPECT_EQ(Details(status).code(), 5);
  EXPECT_EQ(Details(status).message(), "no such session");
  const auto info = Find<google::rpc::ErrorInfo>(status);
  ASSERT_TRUE(info);
  EXPECT_EQ(info->domain(), "eidetic");
  EXPECT_EQ(info->reason(), "NO_SUCH_RESOURCE");
  EXPECT_FALSE(Find<google::rpc::BadRequest>(status));
  EXPECT_FALSE(Find<google::rpc::RetryInfo>(status));
}

TEST(ToGrpcStatusTest, NamesTheBadField) {
  const grpc::Status status =
      ToGrpcStatus(absl::InvalidArgumentError("stop_strings[1]: has 300 bytes: too many"));
  const auto bad = Find<google::rpc::BadRequest>(status);
  ASSERT_TRUE(bad);
  ASSERT_EQ(bad->field_violations_size(), 1);
  EXPECT_EQ(bad->field_violations(0).field(), "stop_strings[1]");
  EXPECT_EQ(bad->field_violations(0).description(), "has 300 bytes: too many");
}

TEST(ToGrpcStatusTest, TakesNoSentenceForAField) {
  EXPECT_FALSE(Find<google::rpc::BadRequest>(
      ToGrpcStatus(absl::InvalidArgumentError("another body under this id: give a new id"))));
  EXPECT_FALSE(Find<google::rpc::BadRequest>(ToGrpcStatus(absl::InvalidArgumentError("bad"))));
}

TEST(ToGrpcStatusTest, TellsWhenToTryAgain) {
  const auto busy = Find<google::rpc::RetryInfo>(ToGrpcStatus(absl::AbortedError("busy")));
  ASSERT_TRUE(busy);
  EXPECT_EQ(busy->retry_delay().nanos(), 100'000'000);
  const auto full =
      Find<google::rpc::RetryInfo>(ToGrpcStatus(absl::ResourceExhaustedError("no page")));
  ASSERT_TRUE(full);
  EXPECT_EQ(full->retry_delay().seconds(), 1);
}

TEST(ToGrpcStatusTest, QuotedInputCanNotBreakTheHeaders) {
  const std::string hostile = "name: '\xE4\xBD\n\x01" + std::string(1 << 20, 'x');
  const grpc::Status status = ToGrpcStatus(absl::InvalidArgumentError(hostile));
  EXPECT_EQ(status.error_message().size(), kMaxStatusMessageBytes);
  EXPECT_EQ(status.error_message().substr(0, 12), "name: '????x");
  EXPECT_LT(status.error_details().size(), 4096u);
  EXPECT_TRUE(Find<google::rpc::BadRequest>(status));
}

TEST(GrpcStatusTest, AQuotaSaysWhoseItIsAndWhenToComeAgain) {
  const grpc::Status status = ToGrpcStatus(QuotaError({.tenant = "acme",
                                                       .quota = "tokens_per_second",
                                                       .what = "enough for now",
                                                       .retry = absl::Milliseconds(2500)}));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(status.error_details()));
  google::rpc::QuotaFailure failure;
  google::rpc::RetryInfo retry;
  bool has_failure = false, has_retry = false;
  for (const auto& detail : details.details()) {
    has_failure |= detail.UnpackTo(&failure);
    has_retry |= detail.UnpackTo(&retry);
  }
  ASSERT_TRUE(has_failure && has_retry);
  EXPECT_EQ(failure.violations(0).subject(), "tenants/acme");
  EXPECT_EQ(failure.violations(0).description(), "tokens_per_second: enough for now");
  EXPECT_EQ(retry.retry_delay().seconds(), 2);
  EXPECT_EQ(retry.retry_delay().nanos(), 500'000'000);
}

TEST(GrpcStatusTest, WhereWaitingDoesNotHelpNothingIsSaidOfWhen) {
  const grpc::Status status = ToGrpcStatus(QuotaError({.tenant = "acme",
                                                       .quota = "max_sessions",
                                                       .what = "it has 2 of 2",
                                                       .retry = absl::InfiniteDuration()}));
  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(status.error_details()));
  google::rpc::RetryInfo retry;
  for (const auto& detail : details.details()) EXPECT_FALSE(detail.UnpackTo(&retry));
}

}  // namespace
}  // namespace eidetic
