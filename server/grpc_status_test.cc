#include "server/grpc_status.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>

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

}  // namespace
}  // namespace eidetic
