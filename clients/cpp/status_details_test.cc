#include "clients/cpp/status_details.h"

#include <gtest/gtest.h>

#include "google/rpc/error_details.pb.h"

namespace eidetic::client {
namespace {

TEST(ToAbslStatus, KeepsCodeMessageAndDetails) {
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(2);
  retry.mutable_retry_delay()->set_nanos(500'000'000);
  google::rpc::BadRequest bad_request;
  auto* violation = bad_request.add_field_violations();
  violation->set_field("max_tokens");
  violation->set_description("at most 100");
  google::rpc::Status details;
  details.add_details()->PackFrom(retry);
  details.add_details()->PackFrom(bad_request);

  const absl::Status status = ToAbslStatus(
      grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "no room", details.SerializeAsString()));
  EXPECT_TRUE(absl::IsResourceExhausted(status));
  EXPECT_EQ(status.message(), "no room; max_tokens: at most 100");
  EXPECT_EQ(RetryDelay(status), absl::Milliseconds(2500));
  ASSERT_EQ(FieldViolations(status).size(), 1u);
  EXPECT_EQ(FieldViolations(status)[0].field, "max_tokens");
}

TEST(ToAbslStatus, LeavesUnreadableDetailsOut) {
  const absl::Status status =
      ToAbslStatus(grpc::Status(grpc::StatusCode::INTERNAL, "oops", "\xff\xff not a message"));
  EXPECT_EQ(status.message(), "oops");
  EXPECT_EQ(RetryDelay(status), std::nullopt);
  EXPECT_TRUE(FieldViolations(status).empty());
}

TEST(ToAbslStatus, OkIsOk) { EXPECT_TRUE(ToAbslStatus(grpc::Status::OK).ok()); }

}  // namespace
}  // namespace eidetic::client
