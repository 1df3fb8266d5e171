#include "engine/durable/session_keys.h"

#include "absl/strings/str_cat.h"

namespace eidetic {
namespace {

void PutHighFirst(uint64_t value, int bytes, std::string* to) {
  char digits[8];
  for (int i = 0; i < bytes; ++i) digits[i] = static_cast<char>(value >> (8 * (bytes - 1 - i)));
  to->append(digits, static_cast<size_t>(bytes));
}

// "{kind}/{owner}{be16 length}{request id}", with room for a number behind it.
std::string RequestKeyIn(char kind, const RequestKey& request) {
  const SessionName& owner = request.owner;
  std::string key;
  key.reserve(6 + owner.tenant.size() + owner.session.size() + request.id.size() + 8);
  key.append({kind, '/'}).append(owner.tenant).append(1, '/').append(owner.session).append(1, '/');
  PutHighFirst(request.id.size(), 2, &key);
  return key.append(request.id);
}

std::string LogKeyIn(char kind, LogId log, size_t more) {
  std::string key;
  key.reserve(2 + 8 + more);
  key.append({kind, '/'});
  PutHighFirst(log, 8, &key);
  return key;
}

uint64_t TakeHighFirst(std::string_view from) {
  uint64_t value = 0;
  for (char byte : from) value = value << 8 | static_cast<uint8_t>(byte);
  return value;
}

absl::Status BadKey(std::string_view what) {
  return absl::DataLossError(
      absl::StrCat("journal: a ", absl::string_view(what.data(), what.size()),
                   "'s key has another form; restore the data folder from a backup"));
}

// A key of `prefix`, a tenant and a session.
absl::StatusOr<SessionName> ParseNamed(std::string_view prefix, std::string_view what,
                                       std::string_view key) {
  const size_t slash = key.find('/', prefix.size());
  if (!key.starts_with(prefix) || slash == key.npos) return BadKey(what);
  SessionName name{std::string(key.substr(prefix.size(), slash - prefix.size())),
                   std::string(key.substr(slash + 1))};
  if (!SessionName::IsSegment(name.tenant) || !SessionName::IsSegment(name.session)) {
    return BadKey(what);
  }
  return name;
}

}  // namespace

std::string KeyOf(const SessionName& session) {
  return absl::StrCat("s/", session.tenant, "/", session.session);
}

std::string CheckpointKeyOf(const SessionName& session) {
  return absl::StrCat("m/", session.tenant, "/", session.session);
}

std::string ExpiryKeyOf(const SessionName& session) {
  return absl::StrCat("x/", session.tenant, "/", session.session);
}

std::string OlderCheckpointKeyOf(const SessionName& session) {
  return absl::StrCat("o/", session.tenant, "/", session.session);
}

std::string ComputerKeyOf(const SessionName& session) {
  return absl::StrCat("d/", session.tenant, "/", session.session);
}

std::string CreationKeyOf(const std::string& tenant, const std::string& request_id) {
  return absl::StrCat("c/", tenant, "/", request_id);
}

std::string RunPrefix(LogId log) { return LogKeyIn('t', log, 0); }

std::string KeyOfRun(LogId log, memory::Position begin) {
  std::string key = LogKeyIn('t', log, 8);
  PutHighFirst(static_cast<uint64_t>(begin), 8, &key);
  return key;
}

std::string KeyOfEnd(LogId log) { return LogKeyIn('n', log, 0); }

std::string SnapshotPrefix(const SessionName& session) {
  return absl::StrCat("p/", session.tenant, "/", session.session, "/");
}

std::string KeyOf(const SnapshotName& snapshot) {
  return SnapshotPrefix(snapshot.session) + snapshot.snapshot;
}

std::string RequestPrefix(const SessionName& owner) {
  return absl::StrCat("r/", owner.tenant, "/", owner.session, "/");
}

std::string TokenPrefix(const SessionName& owner) {
  return absl::StrCat("e/", owner.tenant, "/", owner.session, "/");
}

std::string KeyOf(const RequestKey& request) { return RequestKeyIn('r', request); }

std::string TokenPrefix(const RequestKey& request) { return RequestKeyIn('e', request); }

std::string KeyOfToken(const RequestKey& request, int64_t n) {
  std::string key = TokenPrefix(request);
  PutHighFirst(static_cast<uint64_t>(n), 8, &key);
  return key;
}

absl::StatusOr<SessionName> ParseSessionKey(std::string_view key) {
  return ParseNamed("s/", "session", key);
}

absl::StatusOr<SessionName> ParseCheckpointKey(std::string_view key) {
  return ParseNamed("m/", "checkpoint", key);
}

absl::StatusOr<SessionName> ParseOlderCheckpointKey(std::string_view key) {
  return ParseNamed("o/", "checkpoint", key);
}

absl::StatusOr<SnapshotName> ParseSnapshotKey(std::string_view key) {
  const size_t first = key.find('/', 2);
  const size_t second = first == key.npos ? key.npos : key.find('/', first + 1);
  if (!key.starts_with("p/") || second == key.npos) return BadKey("snapshot");
  const SnapshotName name{{std::string(key.substr(2, first - 2)),
                           std::string(key.substr(first + 1, second - first - 1))},
                          std::string(key.substr(second + 1))};
  if (!SessionName::IsSegment(name.snapshot)) return BadKey("snapshot");
  return name;
}

absl::StatusOr<RequestKey> ParseRequestKey(std::string_view key) {
  const size_t first = key.find('/', 2);
  const size_t second = first == key.npos ? key.npos : key.find('/', first + 1);
  if (!key.starts_with("r/") || second == key.npos || key.size() < second + 3) {
    return BadKey("request");
  }
  const std::string_view id = key.substr(second + 3);
  if (TakeHighFirst(key.substr(second + 1, 2)) != id.size()) return BadKey("request");
  return RequestKey{{std::string(key.substr(2, first - 2)),
                     std::string(key.substr(first + 1, second - first - 1))},
                    std::string(id)};
}

absl::StatusOr<std::pair<std::string, std::string>> ParseCreationKey(std::string_view key) {
  const size_t slash = key.find('/', 2);
  if (!key.starts_with("c/") || slash == key.npos) return BadKey("creation");
  return std::pair(std::string(key.substr(2, slash - 2)), std::string(key.substr(slash + 1)));
}

absl::StatusOr<LogId> ParseEndKey(std::string_view key) {
  if (!key.starts_with("n/") || key.size() != 10) return BadKey("log's end");
  return TakeHighFirst(key.substr(2));
}

absl::StatusOr<LogId> ParseRunLog(std::string_view key) {
  if (!key.starts_with("t/") || key.size() != 18) return BadKey("run");
  return TakeHighFirst(key.substr(2, 8));
}

absl::StatusOr<memory::Position> ParseRunKey(std::string_view key) {
  if (!key.starts_with("t/") || key.size() != 18) return BadKey("run");
  const uint64_t begin = TakeHighFirst(key.substr(10));
  if (begin > INT64_MAX) return BadKey("run");
  return static_cast<memory::Position>(begin);
}

}  // namespace eidetic
