// What happened, in order: journaled first, told second.
//
// What: the loop's thread records changes in a batch and adds what is to be told of them. Flush
//   hands both on: once the journal has the batch, and all before it, everything is told, on
//   the journal's thread. So nothing is acknowledged that a crash could take back, and no step
//   waits for the disk. Without a journal Flush tells at once; the loop flushes while the device
//   works.
// Thread safety: the loop's thread calls everything. Ownership: owns what waits; borrows the
//   journal, which outlives it. Preconditions: what is told may outlive whoever added it.
#ifndef EIDETIC_ENGINE_DURABLE_LEDGER_H_
#define EIDETIC_ENGINE_DURABLE_LEDGER_H_

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "memory/durable/journal.h"

namespace eidetic {

class Ledger {
 public:
  // OK: what was recorded before is durable. Else why it is not; it may come back after a crash.
  using Telling = absl::AnyInvocable<void(const absl::Status& durable)>;

  // `journal` null: nothing outlives the process.
  explicit Ledger(memory::Journal* journal) : journal_(journal) {}

  // Null without a journal.
  memory::JournalBatch* batch() { return journal_ == nullptr ? nullptr : &batch_; }
  void Tell(Telling tell) { tellings_.push_back(std::move(tell)); }
  void Flush();

  // Not OK: why nothing can be made durable at present; nothing may be changed meanwhile.
  absl::Status health() const { return journal_ ? journal_->health() : absl::OkStatus(); }

 private:
  memory::Journal* journal_;
  memory::JournalBatch batch_;
  std::vector<Telling> tellings_;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_DURABLE_LEDGER_H_
