// Under which keys the journal keeps sessions and requests.
//
// What: keys, in this order of bytes (be64: eight bytes, the
//   highest first; the records stand in session_records.h):
//   a/{tenant}/{adapter}                     AdapterRecord (adapter_record.h)
//   b/model                                  the content hash of the sessions' model
//   c/{tenant}/{request id}                  CreationRecord
//   d/{tenant}/{session}                     what computed it (SessionJournal)
//   e/{owner}{be16 length}{request id}{be64 n}  TokenRecord of the n-th token of an answer
//   m/{tenant}/{session}                     CheckpointRecord (checkpoint.h)
//   n/{be64 log}                             LogEnd
//   o/{tenant}/{session}                     CheckpointRecord of the checkpoint before
//   p/{tenant}/{session}/{snapshot}          SnapshotRecord
//   r/{owner}{be16 length}{request id}       RequestRecord
//   s/{tenant}/{session}                     SessionRecord
//   t/{be64 log}{be64 position}              RunRecord
//   x/{tenant}/{session}                     ExpiryRecord, of sessions that expire
// where {owner} is "{tenant}/{session}/", the session empty for requests without one.
// Thread safety: pure. Ownership: values. Preconditions: names were parsed.
// Errors: parsing gives DATA_LOSS for a key of another form.
#ifndef EIDETIC_ENGINE_DURABLE_SESSION_KEYS_H_
#define EIDETIC_ENGINE_DURABLE_SESSION_KEYS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "engine/session_name.h"
#include "memory/ids.h"

namespace eidetic {

inline constexpr std::string_view kModelKey = "b/model";

using LogId = uint64_t;

// A session's tokens [begin, the next segment's begin) stand in log `log`. The last segment is
// the one it writes. A fork, and a session whose end was taken back, begins a new log.
struct LogSegment {
  LogId log = 0;
  memory::Position begin = 0;
  friend bool operator==(const LogSegment&, const LogSegment&) = default;
};

// Whose request, and which.
struct RequestKey {
  SessionName owner;  // without a session: the tenant's
  std::string id;     // empty: it can not be asked for again, and is not journaled
};

std::string KeyOf(const SessionName& session);
std::string CheckpointKeyOf(const SessionName& session);
std::string ExpiryKeyOf(const SessionName& session);
std::string OlderCheckpointKeyOf(const SessionName& session);
std::string ComputerKeyOf(const SessionName& session);
std::string CreationKeyOf(const std::string& tenant, const std::string& request_id);
std::string RunPrefix(LogId log);
std::string KeyOfRun(LogId log, memory::Position begin);
std::string KeyOfEnd(LogId log);
// Of all snapshots of a session.
std::string SnapshotPrefix(const SessionName& session);
std::string KeyOf(const SnapshotName& snapshot);
std::string RequestPrefix(const SessionName& owner);
std::string KeyOf(const RequestKey& request);
std::string TokenPrefix(const RequestKey& request);
// Of all requests of a session.
std::string TokenPrefix(const SessionName& owner);
std::string KeyOfToken(const RequestKey& request, int64_t n);

absl::StatusOr<SessionName> ParseSessionKey(std::string_view key);
absl::StatusOr<SessionName> ParseCheckpointKey(std::string_view key);
absl::StatusOr<SessionName> ParseOlderCheckpointKey(std::string_view key);
absl::StatusOr<RequestKey> ParseRequestKey(std::string_view key);
absl::StatusOr<SnapshotName> ParseSnapshotKey(std::string_view key);
// Tenant and request id.
absl::StatusOr<std::pair<std::string, std::string>> ParseCreationKey(std::string_view key);
absl::StatusOr<LogId> ParseEndKey(std::string_view key);
absl::StatusOr<memory::Position> ParseRunKey(std::string_view key);
absl::StatusOr<LogId> ParseRunLog(std::string_view key);

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_DURABLE_SESSION_KEYS_H_
