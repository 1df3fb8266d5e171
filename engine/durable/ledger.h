// What happened, in order: journaled first, told second.
//
// What: the loop's thread records changes in a batch and adds what is to be told of them. Flush
//   hands both on: once the journal has the batch, and all before it, everything is told, on
//   the journal's thread. So nothing is acknowledged that a crash could take back, and no step
//   waits for the disk. Without a journal a thread of its own tells, so that no step waits for
//   those who listen either.
// Thread safety: the loop's thread calls everything. Ownership: owns what waits and its thread;
//   borrows the journal, which outlives it. Destruction tells what was flushed.
// Preconditions: what is told may outlive whoever added it.
#ifndef EIDETIC_ENGINE_DURABLE_LEDGER_H_
#define EIDETIC_ENGINE_DURABLE_LEDGER_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "memory/durable/journal.h"

namespace eidetic {

class Ledger {
 public:
  // OK: what was recorded before is durable. Else why it is not; it may come back after a crash.
  using Telling = absl::AnyInvocable<void(const absl::Status& durable)>;

  // `journal` null: nothing outlives the process. `max_waiting_bytes`: see CheckRoom. `on_commit`
  // hears, on the journal's thread, how many seconds each Flush took until what it handed on was
  // durable.
  Ledger(memory::Journal* journal, int64_t max_waiting_bytes,
         std::function<void(double)> on_commit);
  ~Ledger();
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  // Null without a journal.
  memory::JournalBatch* batch() { return journal_ == nullptr ? nullptr : &batch_; }
  void Tell(Telling tell) { tellings_.push_back(std::move(tell)); }
  void Flush();

  // Not OK: why nothing can be made durable at present; nothing may be changed meanwhile.
  absl::Status health() const { return journal_ ? journal_->health() : absl::OkStatus(); }
  // Whether what is asked for now may be recorded: as health, and UNAVAILABLE while more than
  // max_waiting_bytes are recorded and not durable. What was begun goes on.
  absl::Status CheckRoom() const;
  memory::JournalStats stats() const {
    return journal_ ? journal_->stats() : memory::JournalStats();
  }

 private:
  using Tellings = std::vector<Telling>;
  bool Awake() const ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return stopping_ || !flushed_.empty(); }
  // The thread of a ledger without a journal.
  void TellFlushed();

  memory::Journal* journal_;
  const int64_t max_waiting_bytes_;
  const std::function<void(double)> on_commit_;
  memory::JournalBatch batch_;
  Tellings tellings_;

  absl::Mutex mutex_;
  std::deque<Tellings> flushed_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_DURABLE_LEDGER_H_
