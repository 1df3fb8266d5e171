#include "engine/engine_impl.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/durable/session_loader.h"
#include "engine/scheduler/append_sequence.h"
#include "engine/session_quota.h"

namespace eidetic {
namespace {

std::optional<ChatFormat> FindChatFormat(const Tokenizer* tokenizer) {
  absl::StatusOr<ChatFormat> format = ChatFormat::For(tokenizer);
  return format.ok() ? std::optional(*std::move(format)) : std::nullopt;
}

std::vector<memory::TokenId> EndTokens(const HybridModel& model,
                                       const std::optional<ChatFormat>& chat) {
  std::vector<memory::TokenId> tokens = model.description().end_tokens;
  if (chat) tokens.push_back(chat->end_token());
  return tokens;
}

}  // namespace

EngineImpl::EngineImpl(EngineParts parts)
    : parts_(std::move(parts)),
      chat_format_(FindChatFormat(parts_.tokenizer.get())),
      ledger_(parts_.journal.get(), parts_.options.limits.max_journal_waiting_bytes,
              [this](double seconds) { context_.observer->OnCommit(seconds); }),
      session_journal_(&ledger_, ComputerOf(parts_.build, parts_.device_kind)),
      tenants_(parts_.now),
      context_{.tokenizer = parts_.tokenizer.get(),
               .observer = parts_.options.observer ? parts_.options.observer : &silent_,
               .ledger = &ledger_,
               .journal = &session_journal_,
               .tenants = &tenants_,
               .now = parts_.now,
               .limits = parts_.options.limits},
      pool_(parts_.arena, parts_.indexer, parts_.model->Geometry(context_.limits.block_tokens),
            context_.limits.memory, parts_.host_arena),
      mailbox_(std::make_shared<Mailbox>()),
      adapters_(parts_.model.get(), &ledger_,
                {.folder = parts_.options.adapter_folder,
                 .max_adapters = context_.limits.max_adapters,
                 .max_adapter_bytes = context_.limits.max_adapter_bytes},
                context_.now),
      sessions_(&pool_,
                {.block_tokens = context_.limits.block_tokens,
                 .query_chunk_tokens = context_.limits.query_chunk_tokens,
                 .trained_context = parts_.model->description().trained_context,
                 .max_sessions = context_.limits.max_sessions,
                 .request_retention = context_.limits.request_retention,
                 .expire_after = context_.limits.expire_after,
                 .check_quota =
                     [this](const std::string& tenant) {
                       return CheckSessionQuota(sessions_, tenants_.QuotaOf(tenant), tenant);
                     }},
                &session_journal_, context_.now),
      operations_(&sessions_, &session_journal_, context_.now,
                  context_.limits.max_snapshots_per_session),
      loop_(&context_, parts_.model.get(), &pool_, mailbox_.get(), &tenants_, [this] { OnTurn(); }),
      generations_(&context_, &sessions_, &adapters_, &loop_,
                   EndTokens(*parts_.model, chat_format_),
                   [mailbox = mailbox_] { mailbox->Wake(); }),
      line_(LineParts()),
      keeper_(MakeKeeper()),
      last_sweep_(context_.now()),
      last_expiry_(last_sweep_) {
  pool_.set_make_room([this](int64_t pages) { return MakeRoom(pages); });
  if (!keeper_) return;
  pool_.set_make_host_room([this](int64_t pages) { return keeper_->SleepForHostPages(pages); });
  pool_.set_make_slot([this] { return keeper_->SleepForSlot(); });
}

EngineImpl::~EngineImpl() {
  mailbox_->Close();
  if (thread_.joinable()) thread_.join();
  if (keeper_) keeper_->Close(Mailbox::Closed());
  line_.Close(Mailbox::Closed());
  // What waits for it is told while all that hears of it is there.
  parts_.journal.reset();
}

absl::Status EngineImpl::Start() {
  absl::Status status = BindJournal();
  if (status.ok()) status = Restore();
  if (!status.ok()) return status;
  OnTurn();
  thread_ = std::thread([this] { loop_.Run(); });
  return absl::OkStatus();
}

absl::Status EngineImpl::BindJournal() {
  if (parts_.journal == nullptr) return absl::OkStatus();
  const std::string& hash = parts_.model->content_hash();
  const absl::StatusOr<std::string> bound = parts_.journal->Get(kModelKey);
  if (absl::IsNotFound(bound.status())) {
    memory::JournalBatch batch;
    batch.Put(std::string(kModelKey), hash);
    return parts_.journal->Commit(std::move(batch));
  }
  if (!bound.ok()) return bound.status();
  if (*bound == hash) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("data_folder: its sessions belong to the model with content hash ", *bound,
                   ", and this one has ", hash, "; serve that model, or name another folder"));
}

absl::Status EngineImpl::Restore() {
  if (parts_.journal == nullptr) return absl::OkStatus();
  if (absl::Status status = adapters_.Restore(*parts_.journal); !status.ok()) return status;
  absl::StatusOr<LoadedSessions> loaded =
      LoadSessions({.journal = parts_.journal.get(),
                    .tokenizer = parts_.tokenizer.get(),
                    .block_tokens = context_.limits.block_tokens,
                    .vocab_size = parts_.model->description().vocab_size,
                    .on_reader_change = [mailbox = mailbox_] { mailbox->Wake(); },
                    .adapter =
                        [this](const std::string& tenant, const AdapterBinding& binding) {
                          return adapters_.Bound(tenant, binding);
                        }});
  if (!loaded.ok()) return loaded.status();
  for (const auto& session : loaded->sessions) {
    SessionJournal::LoadComputer(*parts_.journal, session.get());
  }
  if (keeper_) keeper_->BeforeRestore();
  session_journal_.Restored(loaded->sessions, loaded->damaged, loaded->logs);
  sessions_.Restore(std::move(loaded->sessions), std::move(loaded->damaged),
                    std::move(loaded->creations));
  generations_.Restore(std::move(loaded->requests));
  return keeper_ ? keeper_->Restore() : absl::OkStatus();
}

template <typename T, typename Work>
void EngineImpl::Answer(const std::optional<SessionName>& session, Done<T> done, Work work) {
  line_.Begin({.session = session,
               .begin =
                   [this, done, work = std::move(work)](const absl::Status& awake) mutable {
                     absl::StatusOr<T> result = awake.ok() ? work() : absl::StatusOr<T>(awake);
                     if (memory::IsShortage(result.status())) return result.status();
                     Tell(done, std::move(result));
                     return absl::OkStatus();
                   },
               .refuse = [done](const absl::Status& why) { done(why); }});
}

template <typename T, typename Work>
void EngineImpl::PostAwake(SessionName session, Done<T> done, Work work) {
  mailbox_->Post([this, session = std::move(session), done = std::move(done),
                  work = std::move(work)](absl::Status alive) mutable {
    if (!alive.ok()) return done(alive);
    Answer(std::optional(session), std::move(done), std::move(work));
  });
}

void EngineImpl::CreateSession(SessionName name, memory::SpanSettings settings, std::string adapter,
                               std::optional<absl::Duration> expire_after, std::string request_id,
                               std::string fingerprint, Done<SessionInfo> done) {
  SessionTable::Creation creation{std::move(name), std::move(request_id), std::move(fingerprint),
                                  expire_after};
  Post(std::move(done),
       [this, creation = std::move(creation), settings,
        adapter = std::move(adapter)]() mutable -> absl::StatusOr<SessionInfo> {
         auto found = FindAdapter(creation.name.tenant, adapter);
         if (!found.ok()) return found.status();
         creation.adapter = *std::move(found);
         return sessions_.Create(creation, memory::SettingsHistory(settings));
       });
}

void EngineImpl::GetSession(SessionName name, Done<SessionInfo> done) {
  PostRead(std::move(done), [this, name = std::move(name)] { return sessions_.Info(name); });
}

void EngineImpl::ListSessions(std::string tenant, std::string after, int32_t limit,
                              Done<std::vector<SessionInfo>> done) {
  PostRead(std::move(done), [this, tenant = std::move(tenant), after = std::move(after), limit] {
    return absl::StatusOr<std::vector<SessionInfo>>(sessions_.List(tenant, after, limit));
  });
}

void EngineImpl::DeleteSession(SessionName name, std::optional<memory::Position> expected_position,
                               std::function<void(absl::Status)> done) {
  mailbox_->Post([this, name = std::move(name), expected_position,
                  done = std::move(done)](absl::Status alive) {
    if (!alive.ok()) return done(alive);
    const absl::Status status = Delete(name, expected_position);
    if (absl::IsUnavailable(status)) return done(status);  // as Tell says
    ledger_.Tell(
        [done, status](const absl::Status& durable) { done(durable.ok() ? status : durable); });
  });
}

absl::StatusOr<AdapterRef> EngineImpl::FindAdapter(const std::string& tenant,
                                                   const std::string& id) const {
  if (id.empty()) return AdapterRef();
  auto found = adapters_.Find({tenant, id});
  if (!found.ok()) return found;
  if (absl::Status status = CheckLoaded(*found); !status.ok()) return status;
  return found;
}

absl::Status EngineImpl::Delete(const SessionName& name,
                                std::optional<memory::Position> expected_position) {
  const auto session = sessions_.Find(name);
  const absl::Status status = sessions_.Delete(name, expected_position);
  if (keeper_ && status.ok() && session.ok()) keeper_->HoldUntilDurable(**session);
  return status;
}

void EngineImpl::ForkSession(SessionName parent, SessionName child,
                             std::function<void(memory::SpanSettings*)> edit,
                             std::optional<AdapterChange> adapter, std::string request_id,
                             std::string fingerprint,
                             std::optional<memory::Position> expected_position,
                             Done<SessionInfo> done) {
  SessionTable::Creation creation{std::move(child), std::move(request_id), std::move(fingerprint)};
  Post(std::move(done),
       [this, parent, creation = std::move(creation), edit = std::move(edit),
        adapter = std::move(adapter), expected_position]() -> absl::StatusOr<SessionInfo> {
         if (!loop_.lost().ok()) return loop_.lost();
         std::optional<SessionTable::NewAdapter> change;
         if (adapter) {
           auto found = FindAdapter(parent.tenant, adapter->adapter);
           if (!found.ok()) return found.status();
           change = {*std::move(found), adapter->reingest};
         }
         return sessions_.Fork(parent, creation, edit, change, expected_position);
       });
}

absl::StatusOr<std::shared_ptr<AppendStream>> EngineImpl::StartAppend(
    const SessionName& name, std::function<void(memory::Position, memory::Position)> progress) {
  absl::StatusOr<std::shared_ptr<Session>> session = sessions_.FindAwake(name);
  if (!session.ok()) return session.status();
  absl::Status room = CheckTierQuota(sessions_, tenants_.QuotaOf(name.tenant), name.tenant);
  if (room.ok()) room = loop_.CheckRoom(name.tenant);
  if (!room.ok()) return room;
  absl::StatusOr<SessionWork> work =
      SessionWork::Begin(*session, (*session)->position(), context_.limits.query_chunk_tokens);
  if (!work.ok()) return work.status();
  auto sequence = std::make_shared<AppendSequence>(&context_, *std::move(session), *std::move(work),
                                                   std::move(progress));
  loop_.Add(sequence, name.tenant);
  return MakeAppendStream(mailbox_, sequence);
}

void EngineImpl::OpenAppend(SessionName name,
                            std::function<void(memory::Position, memory::Position)> progress,
                            Done<std::shared_ptr<AppendStream>> done) {
  PostAwake(name, std::move(done),
            [this, name, progress = std::move(progress)] { return StartAppend(name, progress); });
}

StartTier EngineImpl::StartOf(const std::optional<SessionName>& name) const {
  if (!name) return StartTier::kComputed;
  const auto session = sessions_.Find(*name);
  if (!session.ok() || (*session)->position() == 0) return StartTier::kComputed;
  switch (sessions_.TierOf(**session)) {
    case SessionTier::kAsleep:
      return (*session)->checkpoint == nullptr ? StartTier::kComputed : StartTier::kDisk;
    case SessionTier::kHost:
      return StartTier::kHost;
    case SessionTier::kDevice:
      return (*session)->computed() == 0 ? StartTier::kComputed : StartTier::kDevice;
  }
  return StartTier::kComputed;
}

void EngineImpl::Generate(GenerateSpec spec, Done<std::shared_ptr<GenerationReader>> done) {
  spec.arrival = context_.now();
  mailbox_->Post(
      [this, spec = std::move(spec), done = std::move(done)](absl::Status alive) mutable {
        if (!alive.ok()) return done(alive);
        spec.start = StartOf(spec.session);
        const bool needs_memory = generations_.NeedsMemory(spec);
        auto work = [this, spec] { return generations_.Generate(spec); };
        needs_memory ? Answer(spec.session, done, work) : Tell(done, work());
      });
}

std::unique_ptr<SessionKeeper> EngineImpl::MakeKeeper() {
  if (parts_.journal == nullptr || parts_.extents == nullptr) return nullptr;
  memory::CheckpointBinding binding = BindingOf(pool_.geometry());
  binding.model_hash = parts_.model->content_hash();
  binding.build = parts_.build;
  binding.device_kind = parts_.device_kind;
  binding.page_form = parts_.page_form;
  return std::make_unique<SessionKeeper>(
      KeeperParts{.extents = parts_.extents.get(),
                  .journal = parts_.journal.get(),
                  .ledger = &ledger_,
                  .sessions = &sessions_,
                  .pool = &pool_,
                  .observer = context_.observer,
                  .binding = std::move(binding),
                  .query_chunk_tokens = context_.limits.query_chunk_tokens,
                  .max_points = context_.limits.memory.points.max_points,
                  .limits = context_.limits.keeping,
                  .finds_late_pages = parts_.finds_late_pages,
                  .wake = [mailbox = mailbox_] { mailbox->Wake(); },
                  .now = context_.now});
}

void EngineImpl::WhenAwake(const SessionName& session, MemoryNeed need, SessionKeeper::Then then) {
  if (!loop_.lost().ok()) return then(loop_.lost());
  const auto found = sessions_.Find(session);
  if (found.ok()) session_journal_.Needed(found->get());
  keeper_ ? keeper_->WhenAwake(session, need, std::move(then)) : then(absl::OkStatus());
}

void EngineImpl::CheckpointAll(absl::Time deadline, std::function<void(absl::Status)> done) {
  mailbox_->Post([this, deadline, done = std::move(done)](absl::Status alive) {
    if (!alive.ok() || keeper_ == nullptr) return done(alive);
    if (!loop_.lost().ok()) return done(loop_.lost());
    keeper_->CheckpointAll(deadline, done);
  });
}

void EngineImpl::SetQuotas(TenantQuotas quotas) {
  mailbox_->Post([this, quotas = std::move(quotas)](const absl::Status& alive) mutable {
    if (alive.ok()) tenants_.SetQuotas(std::move(quotas));
  });
}

EngineStats EngineImpl::Stats() const {
  absl::MutexLock lock(&stats_mutex_);
  return stats_;
}

}  // namespace eidetic
