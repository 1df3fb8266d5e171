#include "engine/durable/session_loader.h"

#include <glog/logging.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <set>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/durable/log_loader.h"
#include "engine/durable/request_loader.h"

namespace eidetic {
namespace {

// Whether a log of `segments` that ends at `end` begins with the snapshot's tokens.
bool BeginsWith(std::span<const LogSegment> segments, memory::Position end,
                const Snapshot& snapshot) {
  const size_t count = snapshot.segments.size();
  if (count > segments.size() ||
      !std::equal(snapshot.segments.begin(), snapshot.segments.end(), segments.begin())) {
    return false;
  }
  return snapshot.position <= (count < segments.size() ? segments[count].begin : end);
}

// Of a key of one of a session's records: "x/{tenant}/{session}", maybe with more behind a '/'.
SessionName OwnerOf(std::string_view key) {
  const size_t first = key.find('/', 2);
  if (first == key.npos) return {};
  const size_t second = key.find('/', first + 1);
  const size_t size = second == key.npos ? key.npos : second - first - 1;
  return {std::string(key.substr(2, first - 2)), std::string(key.substr(first + 1, size))};
}

class Loader {
 public:
  explicit Loader(const LoadContext& context) : context_(context) {}

  absl::StatusOr<LoadedSessions> Load() {
    absl::Status status =
        ForEachRecord(*context_.journal, "s/", "s/", [this](std::string_view key, auto value) {
          absl::StatusOr<SessionName> name = ParseSessionKey(key);
          if (!name.ok()) return name.status();
          known_.insert(*name);
          absl::StatusOr<std::shared_ptr<Session>> session = LoadSession(*name, value);
          if (!session.ok()) return AddDamaged(*name, session.status(), value);
          loaded_.sessions.push_back(*std::move(session));
          return absl::OkStatus();
        });
    for (const char* prefix : {"p/", "r/", "e/", "m/", "o/"}) {
      if (status.ok()) status = FindOwners(prefix);
    }
    if (status.ok()) status = LoadLooseRequests();
    if (status.ok()) status = LoadCreations();
    if (status.ok()) status = FindLogs();
    if (!status.ok()) return status;
    return std::move(loaded_);
  }

 private:
  // `record`: the session's own; none when it is missing.
  absl::Status AddDamaged(const SessionName& name, const absl::Status& why,
                          std::optional<std::string_view> record) {
    LOG(ERROR) << name.ToString() << " is damaged, it can only be deleted: " << why;
    DamagedSession damaged{.name = name, .why = why, .segments = {}, .all_logs_known = true};
    const auto add = [&damaged](const auto& decoded) {
      if (!decoded.ok()) {
        damaged.all_logs_known = false;
        return;
      }
      damaged.segments.insert(damaged.segments.end(), decoded->segments.begin(),
                              decoded->segments.end());
    };
    add(record ? Decode<SessionRecord>(*record) : absl::StatusOr<SessionRecord>(why));
    const std::string prefix = SnapshotPrefix(name);
    const absl::Status scanned =
        ForEachRecord(*context_.journal, prefix, prefix, [&](auto, auto value) {
          add(Decode<SnapshotRecord>(value));
          return absl::OkStatus();
        });
    loaded_.damaged.push_back(std::move(damaged));
    return scanned;
  }

  // Sessions whose records begin with `prefix` and that have none of their own. One record of
  // each is looked at: they stand together.
  absl::Status FindOwners(const std::string& prefix) {
    std::string begin = prefix;
    while (!begin.empty()) {
      std::optional<SessionName> stray;
      std::string next;
      const absl::Status scanned =
          context_.journal->Scan(prefix, begin, [&](std::string_view key, std::string_view) {
            const SessionName owner = OwnerOf(key);
            next = std::string(key) + '\0';
            if (!SessionName::IsSegment(owner.tenant)) return false;
            // '0' comes right after '/': behind all of this owner's.
            const std::string last = prefix + owner.tenant + "/" + owner.session + "0";
            if (key.size() >= last.size() && key[last.size() - 1] == '/') next = last;
            if (SessionName::IsSegment(owner.session) && known_.insert(owner).second) {
              stray = owner;
            }
            return false;
          });
      if (!scanned.ok()) return scanned;
      begin = next;
      if (!stray) continue;
      const absl::Status added =
          AddDamaged(*stray, LogDamage(stray->ToString(), "its record is missing"), std::nullopt);
      if (!added.ok()) return added;
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::shared_ptr<Session>> LoadSession(const SessionName& name,
                                                       std::string_view bytes) {
    absl::StatusOr<SessionRecord> record = Decode<SessionRecord>(bytes);
    if (!record.ok()) return record.status();
    auto session = std::make_shared<Session>();
    session->name = name;
    session->settings = std::move(record->settings);
    session->create_time = record->create_time;
    session->segments = std::move(record->segments);
    session->adapter = context_.adapter(name.tenant, record->adapter);
    absl::Status status = LoadExpiry(session.get());
    if (status.ok()) status = LoadLog(session.get());
    if (status.ok()) status = LoadRequests(session.get());
    if (status.ok()) status = LoadSnapshots(session.get());
    if (!status.ok()) return status;
    return session;
  }

  absl::Status LoadExpiry(Session* session) {
    const absl::StatusOr<std::string> bytes = context_.journal->Get(ExpiryKeyOf(session->name));
    if (absl::IsNotFound(bytes.status())) return absl::OkStatus();
    if (!bytes.ok()) return bytes.status();
    const absl::StatusOr<ExpiryRecord> record = Decode<ExpiryRecord>(*bytes);
    if (!record.ok()) {  // rather kept too long than left out
      LOG(ERROR) << session->name.ToString() << " will not expire: " << record.status();
      return absl::OkStatus();
    }
    session->expire_after = record->expire_after;
    session->read_time = session->use_recorded = record->last_use;
    return absl::OkStatus();
  }

  absl::Status LoadLog(Session* session) {
    const std::string whose = session->name.ToString();
    if (session->segments.empty()) return LogDamage(whose, "has no log");
    const absl::StatusOr<std::string> bytes =
        context_.journal->Get(KeyOfEnd(session->segments.back().log));
    if (absl::IsNotFound(bytes.status())) return LogDamage(whose, "has no record of its log's end");
    if (!bytes.ok()) return bytes.status();
    const absl::StatusOr<LogEnd> last = Decode<LogEnd>(*bytes);
    if (!last.ok()) return last.status();
    session->update_time = last->update_time;
    absl::StatusOr<memory::TokenLog> log =
        LoadTokenLog(context_, whose, session->segments, last->end);
    if (!log.ok()) return log.status();
    session->log = *std::move(log);
    session->seen = session->log.size();
    return absl::OkStatus();
  }

  absl::Status LoadRequests(Session* session) {
    return ForEachRecord(*context_.journal, RequestPrefix(session->name),
                         RequestPrefix(session->name),
                         [&](std::string_view key, std::string_view value) {
                           auto request = LoadRequest(context_, key, value, session);
                           if (!request.ok()) return request.status();
                           const std::string id = (*request)->key.id;
                           return session->requests.Add(id, *std::move(request),
                                                        std::numeric_limits<int32_t>::max());
                         });
  }

  // Snapshots that part from the session's log share logs, the longest first.
  absl::Status LoadSnapshots(Session* session) {
    const std::string prefix = SnapshotPrefix(session->name);
    const absl::Status status =
        ForEachRecord(*context_.journal, prefix, prefix, [&](auto key, auto value) {
          const absl::StatusOr<SnapshotName> name = ParseSnapshotKey(key);
          if (!name.ok()) return name.status();
          absl::StatusOr<SnapshotRecord> record = Decode<SnapshotRecord>(value);
          if (!record.ok()) return record.status();
          session->snapshots[name->snapshot] = {.position = record->position,
                                                .settings = std::move(record->settings),
                                                .create_time = record->create_time,
                                                .segments = std::move(record->segments),
                                                .log = nullptr};
          return absl::OkStatus();
        });
    if (!status.ok()) return status;
    std::vector<Snapshot*> longest_first;
    for (auto& [id, snapshot] : session->snapshots) longest_first.push_back(&snapshot);
    std::stable_sort(longest_first.begin(), longest_first.end(),
                     [](auto* a, auto* b) { return a->position > b->position; });
    for (size_t i = 0; i < longest_first.size(); ++i) {
      const absl::Status found =
          FindLog(*session, std::span(longest_first).first(i), longest_first[i]);
      if (!found.ok()) return found;
    }
    return absl::OkStatus();
  }

  absl::Status FindLog(const Session& session, std::span<Snapshot* const> others,
                       Snapshot* snapshot) {
    if (BeginsWith(session.segments, session.position(), *snapshot)) return absl::OkStatus();
    for (const Snapshot* other : others) {
      if (other->log == nullptr || !BeginsWith(other->segments, other->position, *snapshot)) {
        continue;
      }
      snapshot->log = other->log;
      return absl::OkStatus();
    }
    absl::StatusOr<memory::TokenLog> log =
        LoadTokenLog(context_, session.name.ToString(), snapshot->segments, snapshot->position);
    if (!log.ok()) return log.status();
    snapshot->log = std::make_shared<const memory::TokenLog>(*std::move(log));
    return absl::OkStatus();
  }

  // Requests without a session: the session's part of their key is empty.
  absl::Status LoadLooseRequests() {
    return ForEachRecord(*context_.journal, "r/", "r/", [&](std::string_view key, auto value) {
      const absl::StatusOr<RequestKey> parsed = ParseRequestKey(key);
      if (!parsed.ok()) return parsed.status();
      if (!parsed->owner.session.empty()) return absl::OkStatus();
      auto request = LoadRequest(context_, key, value, nullptr);
      if (request.ok()) {
        loaded_.requests.push_back(*std::move(request));
      } else {
        LOG(ERROR) << "left out: " << request.status();
      }
      return absl::OkStatus();
    });
  }

  absl::Status LoadCreations() {
    return ForEachRecord(*context_.journal, "c/", "c/", [&](std::string_view key, auto value) {
      auto parsed = ParseCreationKey(key);
      if (!parsed.ok()) return parsed.status();
      auto record = Decode<CreationRecord>(value);
      if (!record.ok()) return record.status();
      loaded_.creations.push_back({parsed->first, parsed->second, *std::move(record)});
      return absl::OkStatus();
    });
  }

  absl::Status FindLogs() {
    std::set<LogId> logs;
    absl::Status status = ForEachRecord(*context_.journal, "n/", "n/", [&](auto key, auto) {
      const absl::StatusOr<LogId> log = ParseEndKey(key);
      if (log.ok()) logs.insert(*log);
      return log.status();
    });
    // One run of each log tells that it is there.
    for (std::string begin = "t/"; status.ok() && !begin.empty();) {
      std::string next;
      status = ForEachRecord(*context_.journal, "t/", begin, [&](auto key, auto) {
        const absl::StatusOr<LogId> log = ParseRunLog(key);
        if (!log.ok()) return log.status();
        logs.insert(*log);
        next = *log == std::numeric_limits<LogId>::max() ? "" : RunPrefix(*log + 1);
        return absl::CancelledError();
      });
      if (absl::IsCancelled(status)) status = absl::OkStatus();
      begin = next;
    }
    loaded_.logs.assign(logs.begin(), logs.end());
    return status;
  }

  const LoadContext& context_;
  std::set<SessionName> known_;
  LoadedSessions loaded_;
};

}  // namespace

absl::StatusOr<LoadedSessions> LoadSessions(const LoadContext& context) {
  return Loader(context).Load();
}

}  // namespace eidetic
