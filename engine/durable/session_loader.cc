#include "engine/durable/session_loader.h"

#include <glog/logging.h>

#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/durable/request_loader.h"

namespace eidetic {
namespace {

absl::Status Damage(const std::string& whose, absl::string_view what) {
  return absl::DataLossError(absl::StrCat(whose, ": ", what,
                                          "; restore the data folder from a backup, or delete "
                                          "the session"));
}

// Calls `take` for each record below `prefix`, until it fails.
absl::Status ForEach(const memory::Journal& journal, const std::string& prefix,
                     const std::string& begin,
                     const std::function<absl::Status(std::string_view, std::string_view)>& take) {
  absl::Status status;
  const absl::Status scanned =
      journal.Scan(prefix, begin, [&](std::string_view key, std::string_view value) {
        status = take(key, value);
        return status.ok();
      });
  return scanned.ok() ? status : scanned;
}

class Loader {
 public:
  explicit Loader(const LoadContext& context) : context_(context) {}

  absl::StatusOr<LoadedSessions> Load() {
    absl::Status status =
        ForEach(*context_.journal, "s/", "s/", [this](std::string_view key, auto value) {
          absl::StatusOr<SessionName> name = ParseSessionKey(key);
          if (!name.ok()) return name.status();
          Keep(LoadSession(*name, value));
          return absl::OkStatus();
        });
    if (status.ok()) status = LoadLooseRequests();
    if (status.ok()) status = LoadCreations();
    if (!status.ok()) return status;
    return std::move(loaded_);
  }

 private:
  void Keep(absl::StatusOr<std::shared_ptr<Session>> session) {
    if (session.ok()) {
      loaded_.sessions.push_back(*std::move(session));
    } else {
      LOG(ERROR) << "left out: " << session.status();
      loaded_.damaged.push_back(session.status());
    }
  }

  absl::StatusOr<std::shared_ptr<Session>> LoadSession(const SessionName& name,
                                                       std::string_view bytes) {
    absl::StatusOr<SessionRecord> record = Decode<SessionRecord>(bytes);
    if (!record.ok()) return record.status();
    auto session = std::make_shared<Session>();
    session->name = name;
    session->settings = record->settings;
    session->create_time = record->create_time;
    session->segments = std::move(record->segments);
    absl::Status status = LoadLog(session.get());
    if (status.ok()) status = LoadRequests(session.get());
    if (!status.ok()) return status;
    return session;
  }

  absl::Status LoadLog(Session* session) {
    const std::string whose = session->name.ToString();
    if (session->segments.empty()) return Damage(whose, "has no log");
    const absl::StatusOr<std::string> bytes =
        context_.journal->Get(KeyOfEnd(session->segments.back().log));
    if (!bytes.ok()) return bytes.status();
    const absl::StatusOr<LogEnd> last = Decode<LogEnd>(*bytes);
    if (!last.ok()) return last.status();
    session->update_time = last->update_time;
    for (size_t i = 0; i < session->segments.size(); ++i) {
      const bool final = i + 1 == session->segments.size();
      const memory::Position end = final ? last->end : session->segments[i + 1].begin;
      if (absl::Status status = LoadSegment(session->segments[i], end, session); !status.ok()) {
        return status;
      }
    }
    return absl::OkStatus();
  }

  absl::Status LoadSegment(const LogSegment& segment, memory::Position end, Session* session) {
    const std::string whose = session->name.ToString();
    if (segment.begin != session->position() || end < segment.begin) {
      return Damage(whose, absl::StrCat("its logs do not meet at position ", segment.begin));
    }
    const absl::Status status =
        ForEach(*context_.journal, RunPrefix(segment.log), KeyOfRun(segment.log, segment.begin),
                [&](std::string_view key, std::string_view value) {
                  if (session->position() == end) return absl::CancelledError();  // all is read
                  return AddRun(key, value, end, session);
                });
    if (!status.ok() && !absl::IsCancelled(status)) return status;
    if (session->position() == end) return absl::OkStatus();
    return Damage(whose, absl::StrCat("its tokens end at position ", session->position(),
                                      " and not at ", end));
  }

  absl::Status AddRun(std::string_view key, std::string_view value, memory::Position end,
                      Session* session) {
    const absl::StatusOr<memory::Position> begin = ParseRunKey(key);
    if (!begin.ok()) return begin.status();
    absl::StatusOr<RunRecord> run = Decode<RunRecord>(value);
    if (!run.ok()) return run.status();
    const std::string whose = session->name.ToString();
    if (*begin != session->position()) {
      return Damage(whose, absl::StrCat("tokens are missing at position ", session->position()));
    }
    for (memory::TokenId token : run->tokens) {
      if (token >= context_.vocab_size) return Damage(whose, "has a token that the model has not");
    }
    const auto tokens = std::span<const memory::TokenId>(run->tokens)
                            .first(std::min<size_t>(run->tokens.size(), end - *begin));
    if (run->kind == memory::TokenKind::kAppended) {
      session->log.Append(tokens);
    } else {
      for (memory::TokenId token : tokens) session->log.AppendGenerated(token);
    }
    return absl::OkStatus();
  }

  absl::Status LoadRequests(Session* session) {
    return ForEach(*context_.journal, RequestPrefix(session->name), RequestPrefix(session->name),
                   [&](std::string_view key, std::string_view value) {
                     auto request = LoadRequest(context_, key, value, session);
                     if (!request.ok()) return request.status();
                     const std::string id = (*request)->key.id;
                     return session->requests.Add(id, *std::move(request),
                                                  std::numeric_limits<int32_t>::max());
                   });
  }

  // Requests without a session: the session's part of their key is empty.
  absl::Status LoadLooseRequests() {
    return ForEach(*context_.journal, "r/", "r/", [&](std::string_view key, auto value) {
      const absl::StatusOr<RequestKey> parsed = ParseRequestKey(key);
      if (!parsed.ok()) return parsed.status();
      if (!parsed->owner.session.empty()) return absl::OkStatus();
      auto request = LoadRequest(context_, key, value, nullptr);
      if (request.ok()) {
        loaded_.requests.push_back(*std::move(request));
      } else {
        LOG(ERROR) << "left out: " << request.status();
        loaded_.damaged.push_back(request.status());
      }
      return absl::OkStatus();
    });
  }

  absl::Status LoadCreations() {
    return ForEach(*context_.journal, "c/", "c/", [&](std::string_view key, auto value) {
      auto parsed = ParseCreationKey(key);
      if (!parsed.ok()) return parsed.status();
      auto record = Decode<CreationRecord>(value);
      if (!record.ok()) return record.status();
      loaded_.creations.push_back({parsed->first, parsed->second, *std::move(record)});
      return absl::OkStatus();
    });
  }

  const LoadContext& context_;
  LoadedSessions loaded_;
};

}  // namespace

absl::StatusOr<LoadedSessions> LoadSessions(const LoadContext& context) {
  return Loader(context).Load();
}

}  // namespace eidetic
