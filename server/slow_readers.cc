#include "server/slow_readers.h"

#include <glog/logging.h>

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"

namespace eidetic {

SlowReaders::SlowReaders(absl::Duration timeout, std::function<void()> on_cut)
    : timeout_(timeout), on_cut_(std::move(on_cut)) {
  CHECK_GT(timeout_, absl::ZeroDuration());
  thread_ = std::thread([this] { Run(); });
}

SlowReaders::~SlowReaders() {
  {
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
  }
  thread_.join();
}

void SlowReaders::Add(std::weak_ptr<Stream> stream) {
  absl::MutexLock lock(&mutex_);
  added_.push_back(std::move(stream));
}

void SlowReaders::Run() {
  const absl::Duration interval = std::min(timeout_ / 4, absl::Seconds(1));
  for (;;) {
    std::vector<std::weak_ptr<Stream>> added;
    {
      absl::MutexLock lock(&mutex_);
      if (mutex_.AwaitWithTimeout(absl::Condition(&stopped_), interval)) return;
      added.swap(added_);
    }
    for (std::weak_ptr<Stream>& stream : added) watched_.push_back({std::move(stream)});
    LookAtAll(absl::Now());
  }
}

void SlowReaders::LookAtAll(absl::Time now) {
  std::erase_if(watched_, [&](Watched& watched) { return !Look(now, &watched); });
}

bool SlowReaders::Look(absl::Time now, Watched* watched) const {
  const std::shared_ptr<Stream> stream = watched->stream.lock();
  if (stream == nullptr) return false;
  const int64_t write = stream->WriteInFlight();
  if (write != watched->write) {
    watched->write = write;
    watched->since = now;
  } else if (write != 0 && now - watched->since >= timeout_ && stream->Cut(write)) {
    on_cut_();
    return false;
  }
  return true;
}

}  // namespace eidetic
