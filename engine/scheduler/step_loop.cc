#include "engine/scheduler/step_loop.h"

#include <glog/logging.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/layers/span_plan.h"
#include "engine/scheduler/session_chunk.h"

namespace eidetic {

StepLoop::StepLoop(const EngineContext* context, HybridModel* model, memory::MemoryPool* pool,
                   Mailbox* mailbox, TenantBook* tenants, std::function<void()> on_turn)
    : context_(context),
      model_(model),
      pool_(pool),
      mailbox_(mailbox),
      tenants_(tenants),
      on_turn_(std::move(on_turn)) {}

absl::Status StepLoop::CheckRoom(const std::string& tenant) const {
  if (!lost_.ok()) return lost_;
  const EngineLimits& limits = context_->limits;
  if (absl::Status status = tenants_->CheckQueue(tenant); !status.ok()) return status;
  const TenantBook::Account& account = *tenants_->Of(tenant);
  if (account.seats >= limits.max_tenant_sequences) {
    return QuotaError({.tenant = tenant,
                       .quota = "max_tenant_sequences",
                       .what = absl::StrCat(account.seats, " requests of it are running or queued"),
                       .retry = account.between_ends});
  }
  if (seats_.size() < static_cast<size_t>(limits.max_sequences)) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("sequences: all ", limits.max_sequences,
                   " are taken by running requests; retry later, or raise the server's limit"));
}

void StepLoop::Add(std::shared_ptr<Sequence> sequence, const std::string& tenant,
                   absl::Time arrival) {
  TenantBook::Account* const account = tenants_->Of(tenant);
  ++account->seats;
  // Until the next look at it: more may come before.
  ++account->queued;
  seats_.push_back({.sequence = std::move(sequence),
                    .account = account,
                    .arrival = arrivals_++,
                    .last_step = steps_,
                    .ready_since = arrival});
}

void StepLoop::Run() {
  bool idle = false;
  for (;;) {
    std::vector<Mailbox::Command> commands =
        mailbox_->Take(idle ? kIdleTurn : absl::ZeroDuration());
    if (mailbox_->closed()) return CancelAll(std::move(commands));
    for (Mailbox::Command& command : commands) command(absl::OkStatus());
    commands.clear();
    idle = !Step();
    if (idle) context_->ledger->Flush();
    on_turn_();
  }
}

void StepLoop::CancelAll(std::vector<Mailbox::Command> commands) {
  for (Mailbox::Command& command : commands) command(Mailbox::Closed());
  for (Mailbox::Command& command : mailbox_->Take(absl::ZeroDuration())) {
    command(Mailbox::Closed());
  }
  EndAll(Mailbox::Closed());
  context_->ledger->Flush();
}

void StepLoop::EndAll(const absl::Status& why) {
  for (const Seat& seat : seats_) {
    seat.sequence->Cancel(why);
    seat.account->running = seat.account->queued = seat.account->seats = 0;
  }
  seats_.clear();
}

bool StepLoop::Step() {
  LookAtAll();
  Crowd crowd = Collect();
  std::vector<Seat*> chosen;
  std::vector<StepChunk> batch;
  for (int32_t i : Plan(crowd.candidates, crowd.tenants, context_->limits.plan)) {
    chosen.push_back(crowd.seats[i]);
    batch.push_back(std::move(crowd.chunks[i]));
  }
  if (batch.empty()) {
    pool_->BetweenSteps({});
    return false;
  }
  RunBatch(chosen, batch);
  // Before the next command: who was told of an end may ask for the place at once.
  LookAtAll();
  return true;
}

void StepLoop::LookAtAll() {
  for (Seat& seat : seats_) {
    seat.state = seat.sequence->Look();
    seat.account->running = seat.account->queued = 0;
    if (seat.state != Sequence::State::kEnded) continue;
    --seat.account->seats;
    tenants_->Ended(seat.account);
  }
  std::erase_if(seats_, [](const Seat& seat) { return seat.state == Sequence::State::kEnded; });
  running_ = queued_ = 0;
  for (Seat& seat : seats_) {
    if (seat.state == Sequence::State::kWaiting) continue;
    ++(seat.started ? running_ : queued_);
    ++(seat.started ? seat.account->running : seat.account->queued);
  }
}

bool StepLoop::Queues(const Seat& seat) const {
  const int64_t most = tenants_->QuotaOf(seat.account->tenant).max_running_requests;
  return !seat.started && most > 0 && seat.account->running >= most;
}

int32_t StepLoop::Crowd::TenantOf(const TenantBook::Account* account, double weight) {
  const auto found = std::find(accounts.begin(), accounts.end(), account);
  if (found != accounts.end()) return static_cast<int32_t>(found - accounts.begin());
  accounts.push_back(account);
  tenants.push_back({.weight = weight, .served = account->served});
  return static_cast<int32_t>(tenants.size()) - 1;
}

StepLoop::Crowd StepLoop::Collect() {
  Crowd crowd;
  const absl::Time now = context_->now();
  tenants_->BeginStep();
  for (Seat& seat : seats_) {
    if (seat.state == Sequence::State::kWaiting) continue;
    if (seat.ready_since == absl::InfinitePast()) seat.ready_since = now;
    if (Queues(seat)) continue;
    StepChunk chunk = seat.sequence->NextChunk();
    if (!MakeReady(&seat, chunk, now)) continue;
    // Who waits for its own reader rests: it holds nobody's share.
    if (seat.state != Sequence::State::kPaused) tenants_->AtWork(seat.account);
    // It begins in this step or a later one: it counts from here on.
    if (!seat.started) ++seat.account->running;
    crowd.candidates.push_back(
        {.chunk_tokens = static_cast<int64_t>(chunk.tokens.size()),
         .decoding = chunk.output == ChunkOutput::kSample && chunk.tokens.size() <= 1,
         .paused = seat.state == Sequence::State::kPaused,
         .last_step = seat.last_step,
         .arrival = seat.arrival,
         .tenant = crowd.TenantOf(seat.account, tenants_->QuotaOf(seat.account->tenant).weight)});
    crowd.chunks.push_back(std::move(chunk));
    crowd.seats.push_back(&seat);
  }
  return crowd;
}

bool StepLoop::MakeReady(Seat* seat, const StepChunk& chunk, absl::Time now) {
  if (!chunk.memory->TakeLanded()) return false;
  if (EndOf(chunk) <= chunk.memory->reserved()) return true;
  const SpanPlan plan = PlanSpan(chunk.settings, context_->limits.block_tokens, /*retrieves=*/true,
                                 chunk.begin, chunk.kind);
  if (chunk.memory->Grow(EndOf(chunk), plan.first, plan.last)) {
    seat->stuck_since = absl::InfiniteFuture();
    return true;
  }
  seat->stuck_since = std::min(seat->stuck_since, now);
  if (now - seat->stuck_since >= context_->limits.max_memory_wait) {
    seat->sequence->Cancel(absl::ResourceExhaustedError(
        "memory: forks of the session hold what it would have to move to go on; delete them, or "
        "let them rest until they sleep"));
  }
  return false;
}

void StepLoop::RunBatch(const std::vector<Seat*>& seats, const std::vector<StepChunk>& batch) {
  ++steps_;
  const absl::Time begin = context_->now();
  for (Seat* seat : seats) {
    seat->last_step = steps_;
    if (std::exchange(seat->started, true)) continue;
    context_->observer->OnQueued(absl::ToDoubleSeconds(begin - seat->ready_since));
  }
  context_->ledger->Flush();  // the last step's tokens are told while this one runs
  model_->Submit(batch);
  StepResult result = model_->Await();
  if (!result.status.ok()) return LoseDevice(result.status);
  CHECK_EQ(result.chunks.size(), batch.size());
  // Before Apply, which may end a session and its memory, and tells who waits for the tokens.
  Observe(batch, absl::ToDoubleSeconds(context_->now() - begin), result.retrieval);
  // Before Apply, which may end a session whose tables the choices name.
  pool_->BetweenSteps(result.choices);
  for (size_t i = 0; i < batch.size(); ++i) {
    tenants_->Served(seats[i]->account, std::max<int64_t>(1, batch[i].tokens.size()));
    if (batch[i].memory->missed()) continue;  // nothing was published: it is computed again
    if (!batch[i].tokens.empty()) batch[i].memory->Publish(EndOf(batch[i]));
    seats[i]->sequence->Apply(batch[i], std::move(result.chunks[i]));
  }
  context_->observer->OnStepApplied();
}

void StepLoop::LoseDevice(const absl::Status& why) {
  LOG(ERROR) << "the device is lost, restart the server: " << why;
  lost_ = why;
  EndAll(why);
}

void StepLoop::Observe(const std::vector<StepChunk>& batch, double seconds,
                       const RetrievalStats& retrieval) {
  EngineObserver::Step step{
      .seconds = seconds, .sequences = static_cast<int64_t>(batch.size()), .retrieval = retrieval};
  for (const StepChunk& chunk : batch) {
    if (chunk.memory->missed()) continue;
    const bool decode = chunk.kind == memory::TokenKind::kGenerated;
    (decode ? step.decode_tokens : step.prefill_tokens) += chunk.tokens.size();
    recomputed_ += chunk.recomputed;
  }
  context_->observer->OnStep(step);
}

}  // namespace eidetic
