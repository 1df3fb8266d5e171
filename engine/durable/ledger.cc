#include "engine/durable/ledger.h"

#include <memory>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace eidetic {

Ledger::Ledger(memory::Journal* journal, std::function<void(double)> on_commit)
    : journal_(journal), on_commit_(std::move(on_commit)) {
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

void Ledger::Flush() {
  if (tellings_.empty() && batch_.empty()) return;
  if (journal_ == nullptr) {
    absl::MutexLock lock(&mutex_);
    flushed_.push_back(std::exchange(tellings_, {}));
    return;
  }
  auto tellings = std::make_shared<Tellings>(std::exchange(tellings_, {}));
  const absl::Time begin = absl::Now();
  const bool observed = on_commit_ && !batch_.empty();
  journal_->Submit(std::exchange(batch_, {}),
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
