// The loop that steps the model.
//
// What: between steps it runs what was posted; then it plans, submits, awaits, and
//   hands each sequence its result. Who waits for results hears of them from the ledger,
//   while the next step runs.
// Thread safety: Run on one thread; everything else on that thread too, from a
//   command. Ownership: owns the sequences; borrows the rest, which outlives it.
// Preconditions: none.
#ifndef EIDETIC_ENGINE_SCHEDULER_STEP_LOOP_H_
#define EIDETIC_ENGINE_SCHEDULER_STEP_LOOP_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "engine/layers/hybrid_model.h"
#include "engine/scheduler/mailbox.h"
#include "engine/scheduler/plan.h"
#include "engine/scheduler/sequence.h"
#include "engine/scheduler/tenant_book.h"

namespace eidetic {

class StepLoop {
 public:
  // Without work the loop turns this often, so that its heartbeat shows it alive.
  static constexpr absl::Duration kIdleTurn = absl::Milliseconds(100);

  // `on_turn` is called at the end of each turn.
  StepLoop(const EngineContext* context, HybridModel* model, memory::MemoryPool* pool,
           Mailbox* mailbox, TenantBook* tenants, std::function<void()> on_turn);

  // Until the mailbox closes; then cancels every command and sequence.
  void Run();

  // Whether a sequence of `tenant` may come. RESOURCE_EXHAUSTED when max_sequences are there, or as
  // many as one tenant may have; UNAVAILABLE once the device is lost.
  absl::Status CheckRoom(const std::string& tenant) const;
  // `arrival`: when its request came; none: now, once it is ready.
  void Add(std::shared_ptr<Sequence> sequence, const std::string& tenant,
           absl::Time arrival = absl::InfinitePast());
  // Every sequence is told `why`, and ends.
  void EndAll(const absl::Status& why);

  // Not OK: the device is lost, nothing runs any more, and no turn is made.
  const absl::Status& lost() const { return lost_; }
  // All that have not ended.
  int64_t sequences() const { return static_cast<int64_t>(seats_.size()); }
  int64_t running() const { return running_; }
  int64_t queued() const { return queued_; }
  // Tokens so far that had been computed before.
  int64_t recomputed() const { return recomputed_; }

 private:
  struct Seat {
    std::shared_ptr<Sequence> sequence;
    TenantBook::Account* account = nullptr;
    Sequence::State state = Sequence::State::kWaiting;
    int64_t arrival = 0;
    int64_t last_step = 0;  // see PlanCandidate
    absl::Time ready_since = absl::InfinitePast();
    absl::Time stuck_since = absl::InfiniteFuture();  // its chunk has no room
    bool started = false;
  };

  // One step, if anything is ready; whether there was one.
  bool Step();
  // Asks every sequence for its state; those that have ended leave.
  void LookAtAll();
  // Room for the chunk, which was promised when its sequence was admitted, and the late pages that
  // its last try wanted. False while others share what has to move for it, and while pages are
  // read; a sequence that room holds up too long ends.
  bool MakeReady(Seat* seat, const StepChunk& chunk, absl::Time now);
  // The ready sequences' next chunks, and what Plan is to know of them and of their tenants.
  struct Crowd {
    std::vector<Seat*> seats;
    std::vector<StepChunk> chunks;
    std::vector<PlanCandidate> candidates;
    std::vector<PlanTenant> tenants;
    std::vector<const TenantBook::Account*> accounts;  // of the tenants

    int32_t TenantOf(const TenantBook::Account* account, double weight);
  };
  Crowd Collect();
  // Whether it waits, since its tenant has as many at work as it may.
  bool Queues(const Seat& seat) const;
  void RunBatch(const std::vector<Seat*>& seats, const std::vector<StepChunk>& batch);
  void Observe(const std::vector<StepChunk>& batch, double seconds,
               const RetrievalStats& retrieval);
  // Nothing of the step under way is published; from now on nothing runs.
  void LoseDevice(const absl::Status& why);
  void CancelAll(std::vector<Mailbox::Command> commands);

  const EngineContext* context_;
  HybridModel* model_;
  memory::MemoryPool* pool_;
  Mailbox* mailbox_;
  TenantBook* tenants_;
  std::function<void()> on_turn_;
  std::vector<Seat> seats_;
  absl::Status lost_;  // not OK: why nothing runs any more
  int64_t steps_ = 0;
  int64_t arrivals_ = 0;
  int64_t running_ = 0, queued_ = 0;
  int64_t recomputed_ = 0;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_SCHEDULER_STEP_LOOP_H_
