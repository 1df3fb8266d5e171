#include "server/grpc_status.h"

#include <cctype>
#include <optional>
#include <string>

#include "engine/scheduler/tenant_quota.h"
#include "google/rpc/error_details.pb.h"

namespace eidetic {
namespace {

constexpr int kRetryCapacityMillis = 1000;  // a running answer takes about as long
constexpr int kRetryWriterMillis = 100;     // an append's part takes about as long

const char* Reason(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kInvalidArgument:
      return "INVALID_REQUEST";
    case absl::StatusCode::kNotFound:
      return "NO_SUCH_RESOURCE";
    case absl::StatusCode::kAlreadyExists:
      return "RESOURCE_EXISTS";
    case absl::StatusCode::kAborted:
      return "SESSION_HAS_WRITER";
    case absl::StatusCode::kFailedPrecondition:
      return "PRECONDITION_FAILED";
    case absl::StatusCode::kOutOfRange:
      return "OUT_OF_RANGE";
    case absl::StatusCode::kDataLoss:
      return "DATA_DAMAGED";
    case absl::StatusCode::kResourceExhausted:
      return "CAPACITY_EXHAUSTED";
    case absl::StatusCode::kDeadlineExceeded:
      return "DEADLINE_PASSED";
    case absl::StatusCode::kCancelled:
      return "CANCELLED";
    case absl::StatusCode::kUnauthenticated:
      return "CALLER_UNKNOWN";
    case absl::StatusCode::kUnavailable:
      return "NOT_SERVING";
    default:
      return "INTERNAL";
  }
}

// None: to wait helps nothing.
std::optional<int64_t> RetryMillis(const absl::Status& status,
                                   const std::optional<QuotaRefusal>& quota) {
  if (quota && quota->retry == absl::InfiniteDuration()) return std::nullopt;
  if (quota) return absl::ToInt64Milliseconds(absl::Ceil(quota->retry, absl::Milliseconds(1)));
  const absl::StatusCode code = status.code();
  if (code == absl::StatusCode::kAborted) return kRetryWriterMillis;
  if (code == absl::StatusCode::kResourceExhausted || code == absl::StatusCode::kUnavailable) {
    return kRetryCapacityMillis;
  }
  return std::nullopt;
}

bool IsFieldPath(const std::string& text) {
  if (text.empty()) return false;
  for (const char c : text) {
    const bool part = std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' ||
                      c == '[' || c == ']' || c == '-';
    if (!part) return false;
  }
  return true;
}

// Our own words are ASCII; what a message quotes of a request may be anything, cut anywhere.
std::string Printable(absl::string_view message) {
  std::string text(message.substr(0, kMaxStatusMessageBytes));
  for (char& c : text) {
    if (!std::isprint(static_cast<unsigned char>(c))) c = '?';
  }
  return text;
}

void AddFieldViolation(const std::string& message, google::rpc::Status* details) {
  const size_t colon = message.find(": ");
  if (colon == std::string::npos || !IsFieldPath(message.substr(0, colon))) return;
  google::rpc::BadRequest bad_request;
  auto* violation = bad_request.add_field_violations();
  violation->set_field(message.substr(0, colon));
  violation->set_description(message.substr(colon + 2));
  details->add_details()->PackFrom(bad_request);
}

void AddQuotaFailure(const QuotaRefusal& refusal, google::rpc::Status* details) {
  google::rpc::QuotaFailure failure;
  auto* violation = failure.add_violations();
  violation->set_subject("tenants/" + refusal.tenant);
  violation->set_description(refusal.quota + ": " + refusal.what);
  details->add_details()->PackFrom(failure);
}

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const std::string message = Printable(status.message());
  google::rpc::Status details;
  details.set_code(static_cast<int>(status.code()));
  details.set_message(message);

  const std::optional<QuotaRefusal> quota = QuotaRefusalOf(status);
  google::rpc::ErrorInfo info;
  info.set_reason(quota ? "QUOTA_EXCEEDED" : Reason(status.code()));
  info.set_domain(kErrorDomain);
  details.add_details()->PackFrom(info);
  if (absl::IsInvalidArgument(status)) AddFieldViolation(message, &details);
  if (quota) AddQuotaFailure(*quota, &details);
  if (const std::optional<int64_t> millis = RetryMillis(status, quota)) {
    google::rpc::RetryInfo retry;
    retry.mutable_retry_delay()->set_seconds(*millis / 1000);
    retry.mutable_retry_delay()->set_nanos(*millis % 1000 * 1'000'000);
    details.add_details()->PackFrom(retry);
  }
  // absl's codes and gRPC's have the same numbers.
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), message,
                      details.SerializeAsString());
}

}  // namespace eidetic
