#include "engine/scheduler/generations.h"

#include <glog/logging.h>

#include <limits>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/scheduler/generation_sequence.h"
#include "engine/scheduler/telling.h"
#include "engine/session_quota.h"

namespace eidetic {
namespace {

uint64_t DrawSeed() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

}  // namespace

std::shared_ptr<Request> Generations::Known(const GenerateSpec& spec,
                                            const Session* session) const {
  if (spec.request_id.empty()) return nullptr;
  if (session != nullptr) return session->requests.Find(spec.request_id);
  const auto book = tenants_.find(spec.tenant);
  return book == tenants_.end() ? nullptr : book->second.Find(spec.request_id);
}

bool Generations::NeedsMemory(const GenerateSpec& spec) const {
  std::shared_ptr<Session> session;
  if (spec.session) {
    const auto found = sessions_->Find(*spec.session);
    if (!found.ok()) return false;
    session = *found;
  }
  const std::shared_ptr<Request> request = Known(spec, session.get());
  return request == nullptr || !(request->running || request->ended);
}

absl::StatusOr<Generations::Reader> Generations::Generate(const GenerateSpec& spec) {
  std::shared_ptr<Session> session;
  if (spec.session) {
    absl::StatusOr<std::shared_ptr<Session>> found = sessions_->Find(*spec.session);
    if (!found.ok()) return found.status();
    session = *std::move(found);
  }
  if (std::shared_ptr<Request> request = Known(spec, session.get())) {
    return Again(spec, std::move(session), std::move(request));
  }
  return Begin(spec, std::move(session));
}

absl::StatusOr<Generations::Reader> Generations::Again(const GenerateSpec& spec,
                                                       std::shared_ptr<Session> session,
                                                       std::shared_ptr<Request> request) {
  if (request->facts.fingerprint != spec.fingerprint) {
    return absl::InvalidArgumentError(
        absl::StrCat("request_id: '", spec.request_id,
                     "' came before with another body; use a new one for a new request"));
  }
  const int64_t told = request->record->tokens();
  if (spec.resume_from < 0 || spec.resume_from > told) {
    return absl::InvalidArgumentError(absl::StrCat("resume_from: is ", spec.resume_from, "; of '",
                                                   spec.request_id, "' ", told,
                                                   " tokens were told so far"));
  }
  if (request->running || request->ended) {
    return Reader(request->record->Attach(spec.resume_from));
  }
  return TakeUp(spec, std::move(session), std::move(request));
}

absl::StatusOr<Generations::Reader> Generations::TakeUp(const GenerateSpec& spec,
                                                        std::shared_ptr<Session> session,
                                                        std::shared_ptr<Request> request) {
  if (session != nullptr && session->position() != request->stopped_at) {
    EndRequest(
        context_->ledger, context_->journal, request.get(),
        absl::AbortedError(absl::StrCat("request_id: '", spec.request_id, "' stopped at position ",
                                        request->stopped_at, " and the session has moved on to ",
                                        session->position(), "; send a new request")));
    return Reader(request->record->Attach(spec.resume_from));
  }
  if (absl::Status room = CheckRoom(spec.tenant); !room.ok()) return room;
  if (session == nullptr) {
    absl::StatusOr<std::shared_ptr<Session>> made = ThrowAway(spec);
    if (!made.ok()) return made.status();
    if (BindingOf((*made)->adapter) != request->facts.adapter) {
      return absl::FailedPreconditionError(absl::StrCat("adapter: '", spec.request_id,
                                                        "' began with another content of ",
                                                        spec.adapter, "; send a new request"));
    }
    session = *std::move(made);
    session->log = *request->log;
  }
  if (absl::Status status = sessions_->Wake(session.get()); !status.ok()) return status;
  absl::StatusOr<SessionWork> work =
      SessionWork::Begin(session, session->position() + request->generation->tokens_left(),
                         context_->limits.query_chunk_tokens);
  if (!work.ok()) return work.status();
  absl::Status charged = context_->tenants->Charge(spec.tenant, request->generation->tokens_left());
  if (!charged.ok()) return charged;
  request->log.reset();
  Reader reader = request->record->Attach(spec.resume_from);
  loop_->Add(std::make_shared<GenerationSequence>(context_, std::move(session), *std::move(work),
                                                  std::move(request), spec),
             spec.tenant, spec.arrival);
  return reader;
}

absl::Status Generations::CheckBegin(const GenerateSpec& spec, const Session* session) const {
  if (spec.resume_from != 0) {
    return spec.request_id.empty()
               ? absl::InvalidArgumentError("resume_from: needs the request_id to resume")
               : absl::NotFoundError(absl::StrCat("resume_from: request_id '", spec.request_id,
                                                  "' is not known (any more); set resume_from "
                                                  "to 0 to begin anew"));
  }
  if (spec.max_tokens < 1 || spec.max_tokens > context_->limits.max_generated_tokens) {
    return absl::InvalidArgumentError(absl::StrCat("max_tokens: is ", spec.max_tokens,
                                                   "; it must be from 1 to ",
                                                   context_->limits.max_generated_tokens));
  }
  if (session != nullptr) {
    absl::Status writable = CheckWritable(*session, spec.expected_position);
    if (!writable.ok()) return writable;
  }
  if (spec.prompt.empty() && (session == nullptr || session->position() == 0)) {
    return absl::InvalidArgumentError(
        "prompt: is empty, and there is no past to continue; give a prompt");
  }
  absl::Status prompt =
      context_->tenants->CheckPrompt(spec.tenant, static_cast<int64_t>(spec.prompt.size()));
  return prompt.ok() ? CheckRoom(spec.tenant) : prompt;
}

absl::Status Generations::CheckRoom(const std::string& tenant) const {
  if (absl::Status room = context_->ledger->CheckRoom(); !room.ok()) return room;
  absl::Status tiers = CheckTierQuota(*sessions_, context_->tenants->QuotaOf(tenant), tenant);
  return tiers.ok() ? loop_->CheckRoom(tenant) : tiers;
}

absl::StatusOr<std::shared_ptr<Session>> Generations::ThrowAway(const GenerateSpec& spec) const {
  AdapterRef adapter;
  if (!spec.adapter.empty()) {
    const auto found = adapters_->Find({spec.tenant, spec.adapter});
    if (!found.ok()) return found.status();
    adapter = *found;
  }
  auto session = sessions_->MakeEmpty(memory::SettingsHistory(spec.settings));
  if (session.ok()) (*session)->adapter = std::move(adapter);
  return session;
}

std::shared_ptr<Request> Generations::NewRequest(const GenerateSpec& spec,
                                                 const Session& session) const {
  GenerationSettings settings{.sampling = spec.sampling,
                              .max_tokens = spec.max_tokens,
                              .stop_strings = spec.stop_strings,
                              .stop_tokens = spec.stop_tokens};
  settings.sampling.seed = spec.seed ? *spec.seed : DrawSeed();
  if (!spec.ignore_end_tokens) {
    settings.stop_tokens.insert(settings.stop_tokens.end(), end_tokens_.begin(), end_tokens_.end());
  }
  auto request = std::make_shared<Request>();
  RequestRecord& facts = request->facts;
  facts.fingerprint = spec.fingerprint;
  facts.settings = settings;
  facts.token_blocks = spec.token_blocks;
  facts.prompt_tokens = static_cast<int32_t>(spec.prompt.size());
  request->key.id = spec.request_id;
  request->key.owner.tenant = spec.tenant;
  if (spec.session) {
    request->key.owner = *spec.session;
  } else {
    facts.span = spec.settings;
    facts.prompt = spec.prompt;
    facts.adapter = BindingOf(session.adapter);
  }
  request->record = std::make_shared<GenerationRecord>(on_reader_change_);
  request->running = true;
  request->generation =
      std::make_unique<Generation>(context_->tokenizer, std::move(settings), spec.prompt);
  return request;
}

absl::StatusOr<Generations::Reader> Generations::Begin(const GenerateSpec& spec,
                                                       std::shared_ptr<Session> session) {
  if (absl::Status status = CheckBegin(spec, session.get()); !status.ok()) return status;
  const bool throw_away = session == nullptr;
  if (throw_away) {
    absl::StatusOr<std::shared_ptr<Session>> made = ThrowAway(spec);
    if (!made.ok()) return made.status();
    session = *std::move(made);
  }
  if (absl::Status status = sessions_->Wake(session.get()); !status.ok()) return status;
  const memory::Position prompt_end =
      session->position() + static_cast<memory::Position>(spec.prompt.size());
  absl::StatusOr<SessionWork> work = SessionWork::Begin(session, prompt_end + spec.max_tokens,
                                                        context_->limits.query_chunk_tokens);
  if (!work.ok()) return work.status();
  const int64_t tokens = static_cast<int64_t>(spec.prompt.size()) + spec.max_tokens;
  if (absl::Status status = context_->tenants->Charge(spec.tenant, tokens); !status.ok()) {
    return status;
  }
  std::shared_ptr<Request> request = NewRequest(spec, *session);
  if (!spec.request_id.empty()) {
    RequestBook& book = throw_away ? BookOf(spec.tenant) : session->requests;
    absl::Status added =
        book.Add(spec.request_id, request, context_->limits.max_requests_per_session);
    if (!added.ok()) {
      context_->tenants->Refund(spec.tenant, tokens);
      return added;
    }
  }
  const memory::Position prompt_begin = request->facts.prompt_begin = session->position();
  session->log.Append(spec.prompt);
  session->update_time = context_->now();
  context_->journal->Added(*session, prompt_begin);
  Tell(context_->ledger, request->record,
       GenerationStart{.seed = request->facts.settings.sampling.seed,
                       .position = prompt_end,
                       .prompt_tokens = request->facts.prompt_tokens});
  Reader reader = request->record->Attach(0);
  loop_->Add(std::make_shared<GenerationSequence>(context_, std::move(session), *std::move(work),
                                                  std::move(request), spec),
             spec.tenant, spec.arrival);
  return reader;
}

RequestBook& Generations::BookOf(const std::string& tenant) {
  const auto [book, added] = tenants_.try_emplace(tenant);
  if (added) {
    book->second.OnForget([this](const Request& r) { context_->journal->Forgotten(r); });
  }
  return book->second;
}

void Generations::Restore(std::vector<std::shared_ptr<Request>> requests) {
  tenants_.clear();
  for (std::shared_ptr<Request>& request : requests) {
    RequestBook& book = BookOf(request->key.owner.tenant);
    const std::string id = request->key.id;
    const absl::Status added =
        book.Add(id, std::move(request), std::numeric_limits<int32_t>::max());
    CHECK(added.ok()) << added;
  }
}

void Generations::Expire() {
  const absl::Time before = context_->now() - context_->limits.request_retention;
  for (auto& [tenant, book] : tenants_) book.Expire(before);
  std::erase_if(tenants_, [](const auto& entry) { return entry.second.empty(); });
}

}  // namespace eidetic
