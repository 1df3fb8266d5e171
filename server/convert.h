// Requests of the contract -> what the engine takes, checked completely.
//
// Thread safety: pure functions. Ownership: values out. Preconditions: none: requests are
//   hostile. Errors are INVALID_ARGUMENT naming the field and the remedy unless told otherwise.
#ifndef EIDETIC_SERVER_CONVERT_H_
#define EIDETIC_SERVER_CONVERT_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "eidetic/v1/generation_service.pb.h"
#include "eidetic/v1/session_service.pb.h"
#include "engine/engine.h"
#include "server/field_check.h"
#include "server/served_model.h"

namespace eidetic {

inline constexpr int32_t kDefaultMaxTokens = 256;
inline constexpr int32_t kMaxLogprobs = 20;
inline constexpr int32_t kMaxStopStrings = 16;
inline constexpr int32_t kMaxStopStringBytes = 256;
inline constexpr int32_t kMaxStopTokens = 64;
inline constexpr int32_t kMaxMessageTokens = 1024;
inline constexpr int32_t kMaxLogitBias = 1024;
inline constexpr int32_t kMaxRequestIdCharacters = 128;
inline constexpr int32_t kDefaultPageSize = 50;
inline constexpr int32_t kMaxPageSize = 1000;
inline constexpr int32_t kDefaultSearchLimit = 8;
inline constexpr int32_t kMaxSearchLimit = 64;
inline constexpr absl::Duration kMaxExpireAfter = absl::Hours(24 * 3652);

// Also FAILED_PRECONDITION for messages to a model without a chat form.
absl::StatusOr<GenerateSpec> ToGenerateSpec(const v1::GenerateRequest& request,
                                            const ServedModel& served);

// How many tokens one message of the answer may carry; 1 when the request does not say.
absl::StatusOr<int32_t> MessageTokens(const v1::GenerateRequest& request);

struct ScoreSpec {
  std::optional<SessionName> session;
  memory::SpanSettings settings;  // without a session
  std::string tenant;
  std::vector<TokenId> tokens;
  int32_t top_logprobs = 0;
};
absl::StatusOr<ScoreSpec> ToScoreSpec(const v1::ScoreRequest& request, const ServedModel& served);

// "" stands for the one model that is served.
absl::Status CheckModel(const std::string& model, const std::string& field,
                        const ServedModel& served);
// The id of an adapter of `tenant`, "" for "", the base model. NOT_FOUND for another tenant's.
absl::StatusOr<std::string> AdapterId(const std::string& adapter, const std::string& field,
                                      const std::string& tenant);
absl::Status CheckRequestId(const std::string& request_id);

// How long a new session may rest; none: as the server's default says.
absl::StatusOr<std::optional<absl::Duration>> ExpireAfter(const v1::Session& session,
                                                          const std::string& field);

// The name of a new session of `tenant`; an empty `session_id` draws one.
absl::StatusOr<SessionName> NewSessionName(const std::string& tenant,
                                           const std::string& session_id);

// Of a request that has the optional field expected_position.
template <typename Request>
absl::StatusOr<std::optional<memory::Position>> ExpectedPosition(const Request& request) {
  if (!request.has_expected_position()) return std::optional<memory::Position>();
  if (request.expected_position() < 0) {
    return InvalidField("expected_position", "is negative; give the position last told, or none");
  }
  return std::optional<memory::Position>(request.expected_position());
}

// The id of the request's snapshot, none when it names none. It must be one of `session`.
template <typename Request>
absl::StatusOr<std::optional<std::string>> SnapshotOf(const Request& request,
                                                      const SessionName& session) {
  if (request.snapshot().empty()) return std::optional<std::string>();
  auto name = SnapshotName::Parse(request.snapshot(), "snapshot");
  if (!name.ok()) return name.status();
  if (name->session != session) {
    return InvalidField("snapshot", "is another session's; name one of " + session.ToString());
  }
  return std::optional<std::string>(std::move(name->snapshot));
}

// Above the most it is the most (AIP-158); 0 is the default.
absl::StatusOr<int32_t> PageSize(int32_t page_size);

}  // namespace eidetic

#endif  // EIDETIC_SERVER_CONVERT_H_
