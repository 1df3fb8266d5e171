#include "engine/session_table.h"

#include <glog/logging.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/layers/span_plan.h"

namespace eidetic {
namespace {

// One part in so many of the device's pages is made free at once.
constexpr int64_t kRoomShare = 64;

}  // namespace

absl::StatusOr<std::shared_ptr<Session>> SessionTable::Find(const SessionName& name) const {
  const auto found = sessions_.find(name);
  if (found != sessions_.end()) return found->second;
  return absl::NotFoundError(
      absl::StrCat("session: there is no ", name.ToString(), "; create it first"));
}

absl::StatusOr<std::shared_ptr<Session>> SessionTable::FindAwake(const SessionName& name) const {
  absl::StatusOr<std::shared_ptr<Session>> session = Find(name);
  if (!session.ok()) return session;
  if (absl::Status status = Wake(session->get()); !status.ok()) return status;
  (*session)->read_time = now_();
  return session;
}

absl::StatusOr<std::optional<SessionInfo>> SessionTable::MadeBefore(
    const Creation& creation) const {
  if (creation.request_id.empty()) return std::nullopt;
  const auto made = made_.find({creation.name.tenant, creation.request_id});
  if (made == made_.end()) return std::nullopt;
  if (made->second.fingerprint != creation.fingerprint) {
    return absl::InvalidArgumentError(
        absl::StrCat("request_id: '", creation.request_id,
                     "' came before with another body; use a new one for a new request"));
  }
  absl::StatusOr<std::shared_ptr<Session>> session = Find(made->second.name);
  if (!session.ok()) {
    return absl::NotFoundError(absl::StrCat("request_id: the session that '", creation.request_id,
                                            "' made was deleted; use a new one"));
  }
  return InfoOf(**session);
}

absl::Status SessionTable::CheckNew(const SessionName& name) const {
  if (absl::Status status = journal_->health(); !status.ok()) return status;
  if (sessions_.contains(name)) {
    return absl::AlreadyExistsError(
        absl::StrCat("session_id: ", name.ToString(), " exists; choose another"));
  }
  if (sessions_.size() >= static_cast<size_t>(rules_.max_sessions)) {
    return absl::ResourceExhaustedError(
        absl::StrCat("sessions: all ", rules_.max_sessions,
                     " are taken; delete some, or raise the server's limit of sessions"));
  }
  return absl::OkStatus();
}

bool SessionTable::MakeRoom(int64_t pages) {
  // More than is wanted now: the next shortage is close.
  const int64_t wanted = std::max<int64_t>(pages, pool_->pages().capacity() / kRoomShare);
  std::vector<Session*> sessions;
  for (const auto& [name, session] : sessions_) sessions.push_back(session.get());
  std::stable_sort(sessions.begin(), sessions.end(), [](const Session* a, const Session* b) {
    return a->update_time < b->update_time;
  });
  int64_t moved = 0;
  for (const Session* session : sessions) {
    if (moved >= wanted) break;
    if (session->memory == nullptr) continue;
    const SpanPlan plan = PlanSpan(session->settings, rules_.block_tokens, /*retrieves=*/true,
                                   session->computed(), memory::TokenKind::kGenerated);
    if (plan.first >= plan.last) continue;
    moved += session->memory->MoveToHost(plan.first, plan.last, wanted - moved);
  }
  return moved > 0;
}

void SessionTable::ForgetOldestCreation() {
  const auto oldest = made_order_.begin();
  journal_->Forgotten(oldest->second.first, oldest->second.second);
  made_.erase(oldest->second);
  made_order_.erase(oldest);
}

void SessionTable::Remember(const CreationKey& key, Made made) {
  if (made_.size() >= kMaxRememberedCreations) ForgetOldestCreation();
  made_order_.emplace(made.when, key);
  made_[key] = std::move(made);
}

SessionInfo SessionTable::Insert(const Creation& creation, std::shared_ptr<Session> session) {
  session->name = creation.name;
  session->requests.OnForget([this](const Request& r) { journal_->Forgotten(r); });
  journal_->Created(session.get());
  const SessionInfo info = InfoOf(*session);
  CHECK(sessions_.emplace(creation.name, std::move(session)).second);
  if (creation.request_id.empty()) return info;
  journal_->Remembered(creation.name.tenant, creation.request_id,
                       {creation.name.session, creation.fingerprint, info.create_time});
  Remember({creation.name.tenant, creation.request_id},
           {creation.name, creation.fingerprint, info.create_time});
  return info;
}

absl::StatusOr<SessionInfo> SessionTable::Create(const Creation& creation,
                                                 const memory::SpanSettings& settings) {
  absl::StatusOr<std::optional<SessionInfo>> before = MadeBefore(creation);
  if (!before.ok()) return before.status();
  if (*before) return **before;
  if (absl::Status status = CheckNew(creation.name); !status.ok()) return status;
  absl::StatusOr<std::shared_ptr<Session>> session = MakeEmpty(settings);
  if (!session.ok()) return session.status();
  return Insert(creation, *std::move(session));
}

absl::StatusOr<SessionInfo> SessionTable::Fork(
    const SessionName& parent_name, const Creation& creation,
    const std::function<void(memory::SpanSettings*)>& edit,
    std::optional<memory::Position> expected_position) {
  absl::StatusOr<std::optional<SessionInfo>> before = MadeBefore(creation);
  if (!before.ok()) return before.status();
  if (*before) return **before;
  absl::StatusOr<std::shared_ptr<Session>> parent = FindAwake(parent_name);
  if (!parent.ok()) return parent.status();
  if (creation.name.tenant != parent_name.tenant) {
    return absl::InvalidArgumentError("name: a fork stays with its session's tenant");
  }
  absl::Status status = CheckPosition(**parent, expected_position);
  if (status.ok()) status = CheckNew(creation.name);
  if (!status.ok()) return status;
  memory::SpanSettings settings = (*parent)->settings;
  edit(&settings);
  absl::StatusOr<std::shared_ptr<Session>> child = Branch(**parent, settings);
  if (!child.ok()) return child.status();
  return Insert(creation, *std::move(child));
}

std::vector<SessionInfo> SessionTable::List(const std::string& tenant, const std::string& after,
                                            int32_t limit) const {
  std::vector<SessionInfo> infos;
  for (auto it = sessions_.upper_bound(SessionName{tenant, after});
       it != sessions_.end() && it->first.tenant == tenant; ++it) {
    if (infos.size() >= static_cast<size_t>(limit)) break;
    infos.push_back(InfoOf(*it->second));
  }
  return infos;
}

absl::Status SessionTable::Delete(const SessionName& name,
                                  std::optional<memory::Position> expected_position) {
  absl::StatusOr<std::shared_ptr<Session>> session = Find(name);
  if (!session.ok()) return session.status();
  absl::Status status = CheckWritable(**session, expected_position);
  if (status.ok()) status = journal_->health();
  if (!status.ok()) return status;
  journal_->Deleted(**session);
  sessions_.erase(name);
  return absl::OkStatus();
}

absl::Status SessionTable::CheckSettings(const memory::SpanSettings& settings) const {
  const absl::Status status = memory::Validate(settings, rules_.block_tokens,
                                               rules_.query_chunk_tokens, rules_.trained_context);
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat("attention: ", status.message()));
}

std::shared_ptr<Session> SessionTable::Assemble(
    const memory::SpanSettings& settings, std::unique_ptr<memory::SessionMemory> memory) const {
  auto session = std::make_shared<Session>();
  session->settings = settings;
  session->memory = std::move(memory);
  session->create_time = session->update_time = now_();
  return session;
}

absl::StatusOr<std::shared_ptr<Session>> SessionTable::MakeEmpty(
    const memory::SpanSettings& settings) const {
  if (absl::Status status = CheckSettings(settings); !status.ok()) return status;
  auto memory = memory::SessionMemory::Create(
      pool_, memory::SummaryFor(settings, pool_->geometry().bounding));
  if (!memory.ok()) return memory.status();
  return Assemble(settings, *std::move(memory));
}

absl::StatusOr<std::shared_ptr<Session>> SessionTable::Branch(
    const Session& parent, const memory::SpanSettings& settings) const {
  if (absl::Status status = CheckSettings(settings); !status.ok()) return status;
  const SessionPin pin(&parent);
  auto memory = parent.memory->Fork(memory::SummaryFor(settings, pool_->geometry().bounding));
  if (!memory.ok()) return memory.status();
  std::shared_ptr<Session> session = Assemble(settings, *std::move(memory));
  session->log = parent.log;
  session->segments = parent.segments;
  session->checkpoint = parent.checkpoint;
  session->bit_identical = parent.bit_identical;
  session->computed_by = parent.computed_by;
  return session;
}

SessionInfo SessionTable::InfoOf(const Session& session) const {
  return {.name = session.name,
          .settings = session.settings,
          .create_time = session.create_time,
          .update_time = session.update_time,
          .position = session.position(),
          .computed = session.computed(),
          .busy = session.busy,
          .memory_bytes = session.memory == nullptr ? 0 : BytesOf(*session.memory),
          .tier = session.memory == nullptr          ? SessionTier::kAsleep
                  : session.memory->has_host_pages() ? SessionTier::kHost
                                                     : SessionTier::kDevice,
          .last_use_time = std::max(session.update_time, session.read_time),
          .bit_identical = session.bit_identical};
}

int64_t SessionTable::BytesOf(const memory::SessionMemory& memory) const {
  const auto bytes = [](int64_t count, size_t each) { return count * static_cast<int64_t>(each); };
  return bytes(memory.page_count(), pool_->pages().page_bytes()) +
         bytes(memory.tile_count(), pool_->tiles().page_bytes()) +
         bytes(memory.working() ? 2 : 1, pool_->slots().slot_bytes());
}

void SessionTable::Restore(std::vector<std::shared_ptr<Session>> sessions,
                           std::vector<RestoredCreation> creations) {
  auto before = std::exchange(sessions_, {});
  for (std::shared_ptr<Session>& session : sessions) {
    session->requests.OnForget([this](const Request& r) { journal_->Forgotten(r); });
    const auto old = before.find(session->name);
    // The same logs: the same tokens, as far as both go.
    if (old != before.end() && old->second->segments == session->segments &&
        old->second->computed() <= session->position()) {
      session->memory = std::move(old->second->memory);
    }
    const SessionName name = session->name;
    CHECK(sessions_.emplace(name, std::move(session)).second);
  }
  made_.clear();
  made_order_.clear();
  for (RestoredCreation& creation : creations) {
    Remember({creation.tenant, creation.request_id}, {{creation.tenant, creation.record.session},
                                                      std::move(creation.record.fingerprint),
                                                      creation.record.when});
  }
}

void SessionTable::BeginNewLogs() {
  for (const auto& [name, session] : sessions_) journal_->Branched(session.get());
}

void SessionTable::Expire() {
  const absl::Time before = now_() - rules_.request_retention;
  while (!made_order_.empty() && made_order_.begin()->first < before) ForgetOldestCreation();
  for (auto& [name, session] : sessions_) session->requests.Expire(before);
}

}  // namespace eidetic
