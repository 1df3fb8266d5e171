#include "engine/session_table.h"

#include <glog/logging.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/layers/span_plan.h"

namespace eidetic {
namespace {

// One part in so many of the device's pages is made free at once.
constexpr int64_t kRoomShare = 64;

bool IsLate(const Session& session) { return session.memory != nullptr && session.memory->late(); }

}  // namespace

absl::StatusOr<std::shared_ptr<Session>> SessionTable::Find(const SessionName& name) const {
  const auto found = sessions_.find(name);
  if (found != sessions_.end()) return found->second;
  if (const auto damaged = damaged_.find(name); damaged != damaged_.end()) {
    return absl::DataLossError(
        absl::StrCat("session: ", name.ToString(),
                     " is damaged and can only be deleted: ", damaged->second.why.message()));
  }
  return NoSuchSession(name);
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
  if (absl::Status status = journal_->CheckRoom(); !status.ok()) return status;
  if (sessions_.contains(name)) {
    return absl::AlreadyExistsError(
        absl::StrCat("session_id: ", name.ToString(), " exists; choose another"));
  }
  if (damaged_.contains(name)) {
    return absl::FailedPreconditionError(absl::StrCat("session_id: ", name.ToString(),
                                                      " exists and is damaged; delete it first, or "
                                                      "choose another"));
  }
  if (sessions_.size() >= static_cast<size_t>(rules_.max_sessions)) {
    return absl::ResourceExhaustedError(
        absl::StrCat("sessions: all ", rules_.max_sessions,
                     " are taken; delete some, or raise the server's limit of sessions"));
  }
  return rules_.check_quota ? rules_.check_quota(name.tenant) : absl::OkStatus();
}

bool SessionTable::MakeRoom(int64_t pages) {
  // More than is wanted now: the next shortage is close.
  const int64_t wanted = std::max<int64_t>(pages, pool_->pages().capacity() / kRoomShare);
  std::vector<Session*> sessions;
  for (const auto& [name, session] : sessions_) sessions.push_back(session.get());
  std::stable_sort(sessions.begin(), sessions.end(), [](const Session* a, const Session* b) {
    return a->last_use() < b->last_use();
  });
  int64_t moved = 0;
  for (const Session* session : sessions) {
    if (moved >= wanted) break;
    if (session->memory == nullptr || session->memory->growing()) continue;
    const SpanPlan plan =
        PlanSpan(session->settings.last(), rules_.block_tokens, /*retrieves=*/true,
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
                                                 const memory::SettingsHistory& settings) {
  absl::StatusOr<std::optional<SessionInfo>> before = MadeBefore(creation);
  if (!before.ok()) return before.status();
  if (*before) return **before;
  if (absl::Status status = CheckNew(creation.name); !status.ok()) return status;
  absl::StatusOr<std::shared_ptr<Session>> session = MakeEmpty(settings);
  // Who remembers nothing needs no memory yet.
  if (absl::IsResourceExhausted(session.status())) session = Assemble(settings, nullptr);
  if (!session.ok()) return session.status();
  (*session)->expire_after = creation.expire_after.value_or(rules_.expire_after);
  (*session)->adapter = creation.adapter;
  return Insert(creation, *std::move(session));
}

absl::StatusOr<SessionInfo> SessionTable::Fork(
    const SessionName& parent_name, const Creation& creation,
    const std::function<void(memory::SpanSettings*)>& edit,
    const std::optional<NewAdapter>& adapter, std::optional<memory::Position> expected_position) {
  absl::StatusOr<std::optional<SessionInfo>> before = MadeBefore(creation);
  if (!before.ok()) return before.status();
  if (*before) return **before;
  absl::StatusOr<std::shared_ptr<Session>> parent = Find(parent_name);
  if (!parent.ok()) return parent.status();
  (*parent)->read_time = now_();
  if (creation.name.tenant != parent_name.tenant) {
    return absl::InvalidArgumentError("name: a fork stays with its session's tenant");
  }
  absl::Status status = CheckPosition(**parent, expected_position);
  if (status.ok()) status = CheckNew(creation.name);
  if (!status.ok()) return status;
  memory::SpanSettings settings = (*parent)->settings.last();
  edit(&settings);
  absl::StatusOr<std::shared_ptr<Session>> child = ForkWith(**parent, settings, adapter);
  if (!child.ok()) return child.status();
  (*child)->expire_after = (*parent)->expire_after;
  return Insert(creation, *std::move(child));
}

absl::Status SessionTable::Delete(const SessionName& name,
                                  std::optional<memory::Position> expected_position) {
  if (const auto damaged = damaged_.find(name); damaged != damaged_.end()) {
    if (absl::Status room = journal_->CheckRoom(); !room.ok()) return room;
    journal_->Deleted(damaged->second);
    damaged_.erase(damaged);
    return absl::OkStatus();
  }
  absl::StatusOr<std::shared_ptr<Session>> session = Find(name);
  if (!session.ok()) return session.status();
  absl::Status status = CheckWritable(**session, expected_position);
  if (status.ok()) status = journal_->CheckRoom();
  if (!status.ok()) return status;
  journal_->Deleted(**session);
  sessions_.erase(name);
  return absl::OkStatus();
}

absl::Status SessionTable::CheckSettings(const memory::SettingsHistory& settings) const {
  for (const memory::SettingsHistory::Part& part : settings.parts()) {
    const absl::Status status = memory::Validate(part.settings, rules_.block_tokens,
                                                 rules_.query_chunk_tokens, rules_.trained_context);
    if (status.ok()) continue;
    return absl::Status(status.code(), absl::StrCat("attention: ", status.message()));
  }
  if (settings.parts().size() <= memory::kMaxSettingsParts) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("attention: changed ", memory::kMaxSettingsParts,
                   " times over the session's past; fork without a change"));
}

std::shared_ptr<Session> SessionTable::Assemble(
    const memory::SettingsHistory& settings, std::unique_ptr<memory::SessionMemory> memory) const {
  auto session = std::make_shared<Session>();
  session->settings = settings;
  session->memory = std::move(memory);
  session->create_time = session->update_time = now_();
  return session;
}

absl::StatusOr<std::shared_ptr<Session>> SessionTable::MakeEmpty(
    const memory::SettingsHistory& settings) const {
  if (absl::Status status = CheckSettings(settings); !status.ok()) return status;
  auto memory = memory::SessionMemory::Create(
      pool_, memory::SummaryFor(settings.At(0), pool_->geometry().bounding));
  if (!memory.ok()) return memory::MarkShortage(memory.status());
  return Assemble(settings, *std::move(memory));
}

absl::StatusOr<std::shared_ptr<Session>> SessionTable::Branch(
    const Session& parent, const memory::SpanSettings& settings) const {
  memory::SettingsHistory history = parent.settings;
  history.Change(parent.position(), settings);
  if (absl::Status status = CheckSettings(history); !status.ok()) return status;
  std::unique_ptr<memory::SessionMemory> memory;
  // While pages are late it is as if the parent slept.
  if (parent.memory != nullptr && !IsLate(parent)) {
    const SessionPin pin(&parent);
    auto fork = parent.memory->Fork(
        memory::SummaryFor(history.At(parent.computed()), pool_->geometry().bounding));
    if (!fork.ok()) return memory::MarkShortage(fork.status());
    memory = *std::move(fork);
  }
  std::shared_ptr<Session> session = Assemble(history, std::move(memory));
  session->log = parent.log;
  session->segments = parent.segments;
  session->checkpoint = parent.checkpoint;
  session->older = parent.older;
  session->seen = std::max(parent.seen, parent.computed());
  session->bit_identical = parent.bit_identical;
  session->computed_by = parent.computed_by;
  session->adapter = parent.adapter;
  return session;
}

absl::StatusOr<std::shared_ptr<Session>> SessionTable::ForkWith(
    const Session& parent, const memory::SpanSettings& settings,
    const std::optional<NewAdapter>& adapter) const {
  const bool same = !adapter || BindingOf(adapter->adapter) == BindingOf(parent.adapter);
  if (same) return Branch(parent, settings);
  if (absl::Status status = CheckLoaded(adapter->adapter); !status.ok()) return status;
  if (parent.position() > 0 && !adapter->reingest) {
    const auto name = [](const AdapterRef& ref) {
      return ref == nullptr ? "the base model" : ref->name.ToString();
    };
    return absl::FailedPreconditionError(absl::StrCat(
        "adapter: the session's past was computed with ", name(parent.adapter),
        " and is no past of ", name(adapter->adapter),
        "; set reingest to compute its tokens again, or fork it with the adapter that it has"));
  }
  memory::SettingsHistory history = parent.settings;
  history.Change(parent.position(), settings);
  if (absl::Status status = CheckSettings(history); !status.ok()) return status;
  // Of the parent's past it has the tokens alone.
  std::shared_ptr<Session> session = Assemble(history, nullptr);
  session->log = parent.log;
  session->segments = parent.segments;
  session->adapter = adapter->adapter;
  return session;
}

void SessionTable::Restore(std::vector<std::shared_ptr<Session>> sessions,
                           std::vector<DamagedSession> damaged,
                           std::vector<RestoredCreation> creations) {
  const auto damaged_before = std::exchange(damaged_, {});
  for (DamagedSession& session : damaged) {
    if (!damaged_before.contains(session.name)) ++damage_found_;
    const SessionName name = session.name;
    damaged_.emplace(name, std::move(session));
  }
  auto before = std::exchange(sessions_, {});
  for (std::shared_ptr<Session>& session : sessions) {
    session->requests.OnForget([this](const Request& r) { journal_->Forgotten(r); });
    const auto old = before.find(session->name);
    // The same logs: the same tokens, as far as both go.
    if (old != before.end()) {
      session->read_time = std::max(session->read_time, old->second->last_use());
    }
    if (old != before.end() && old->second->segments == session->segments &&
        old->second->computed() <= session->position() && !IsLate(*old->second)) {
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

std::vector<SessionName> SessionTable::Expired() {
  std::vector<SessionName> expired;
  const absl::Time now = now_();
  for (auto& [name, session] : sessions_) {
    if (session->expire_after <= absl::ZeroDuration()) continue;
    journal_->Used(session.get());
    const bool used = session->busy || session->pins > 0;
    if (!used && now - session->last_use() >= session->expire_after) expired.push_back(name);
  }
  return expired;
}

}  // namespace eidetic
