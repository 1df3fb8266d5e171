#include "engine/durable/ledger.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace eidetic {

Ledger::Ledger(memory::Journal* journal, int64_t max_waiting_bytes,
               std::function<void(double)> on_commit)
    : journal_(journal), max_waiting_bytes_(max_waiting_bytes), on_commit_(std::move(on_commit)) {
  if (journal == nullptr) thread_ = std::thread([this] { TellFlushed(); });
}

Ledger::~Ledger() {
  if (!thread_.joinable()) return;
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  thread_.join();
}

absl::Status Ledger::CheckRoom() const {
  if (absl::Status status = health(); !status.ok()) return status;
  const int64_t waiting = stats().waiting_bytes + batch_.bytes();
  if (waiting <= max_waiting_bytes_) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("journal: ", waiting, " bytes wait for the disk, more than the limit of ",
                   max_waiting_bytes_, "; retry later, and see why the disk is slow"));
}

void Ledger::Flush() {
  if (tellings_.empty() && batch_.empty()) return;
  if (journal_ == nullptr) {
    absl::MutexLock lock(&mutex_);
    flushed_.push_back(std::exchange(tellings_, {}));
    return;
  }
  // The next step's are likely as many.
  auto tellings = std::make_shared<Tellings>();
  tellings->reserve(tellings_.size());
  tellings->swap(tellings_);
  memory::JournalBatch batch;
  batch.ReserveFor(batch_);
  std::swap(batch, batch_);
  const absl::Time begin = absl::Now();
  const bool observed = on_commit_ && !batch.empty();
  journal_->Submit(std::move(batch),
                   [this, tellings, begin, observed](const absl::Status& durable) {
                     if (observed && durable.ok())
                       on_commit_(absl::ToDoubleSeconds(absl::Now() - begin));
                     for (Telling& tell : *tellings) tell(durable);
                   });
}

void Ledger::TellFlushed() {
  for (;;) {
    Tellings tellings;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(this, &Ledger::Awake));
      if (flushed_.empty()) return;
      tellings = std::move(flushed_.front());
      flushed_.pop_front();
    }
    for (Telling& tell : tellings) tell(absl::OkStatus());
  }
}

}  // namespace eidetic
