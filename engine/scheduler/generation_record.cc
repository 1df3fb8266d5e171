#include "engine/scheduler/generation_record.h"

#include <glog/logging.h>

#include <algorithm>
#include <utility>

namespace eidetic {
namespace {

bool IsStart(const GenerationEvent& event) {
  return std::holds_alternative<GenerationStart>(event);
}

bool IsEnd(const GenerationEvent& event) {
  return std::holds_alternative<GenerationFinish>(event) ||
         std::holds_alternative<absl::Status>(event);
}

}  // namespace

GenerationRecord::GenerationRecord(std::function<void()> on_reader_change)
    : on_reader_change_(std::move(on_reader_change)) {}

bool GenerationRecord::EndedLocked() const { return !events_.empty() && IsEnd(events_.back()); }

void GenerationRecord::Publish(GenerationEvent event) {
  std::vector<std::function<void()>> notifications;
  {
    absl::MutexLock lock(&mutex_);
    CHECK(!EndedLocked()) << "published after the end";
    CHECK(events_.empty() ? IsStart(event) || IsEnd(event) : !IsStart(event));
    events_.push_back(std::move(event));
    UpdateLagLocked();
    for (GenerationReader* reader : readers_) {
      if (reader->notify_ && reader->HasNextLocked()) {
        notifications.push_back(std::exchange(reader->notify_, nullptr));
      }
    }
  }
  for (const auto& notify : notifications) notify();
}

void GenerationRecord::PublishAnnounced(GenerationEvent event) {
  --announced_;
  if (!ended()) Publish(std::move(event));
}

std::unique_ptr<GenerationReader> GenerationRecord::Attach(int64_t after) {
  std::unique_ptr<GenerationReader> reader(new GenerationReader(shared_from_this(), after));
  absl::MutexLock lock(&mutex_);
  readers_.push_back(reader.get());
  UpdateLagLocked();
  return reader;
}

bool GenerationRecord::ended() const {
  absl::MutexLock lock(&mutex_);
  return EndedLocked();
}

bool GenerationRecord::finished() const {
  absl::MutexLock lock(&mutex_);
  return EndedLocked() && std::holds_alternative<GenerationFinish>(events_.back());
}

int64_t GenerationRecord::tokens() const {
  absl::MutexLock lock(&mutex_);
  return std::count_if(events_.begin(), events_.end(), [](const GenerationEvent& e) {
    return std::holds_alternative<TokenEvent>(e);
  });
}

int32_t GenerationRecord::readers() const {
  absl::MutexLock lock(&mutex_);
  return static_cast<int32_t>(readers_.size());
}

std::optional<int64_t> GenerationRecord::slowest_lag() const {
  const int64_t lag = slowest_lag_.load(std::memory_order_acquire);
  return lag == kNoReader ? std::nullopt : std::optional(lag + announced_.load());
}

void GenerationRecord::UpdateLagLocked() {
  int64_t lag = kNoReader;
  for (const GenerationReader* reader : readers_) {
    lag = std::max(lag, static_cast<int64_t>(events_.size() - reader->cursor_));
  }
  slowest_lag_.store(lag, std::memory_order_release);
}

GenerationReader::GenerationReader(std::shared_ptr<GenerationRecord> record, int64_t after)
    : record_(std::move(record)), after_(after) {}

GenerationReader::~GenerationReader() {
  {
    absl::MutexLock lock(&record_->mutex_);
    std::erase(record_->readers_, this);
    record_->UpdateLagLocked();
  }
  record_->on_reader_change_();
}

bool GenerationReader::HasNextLocked() {
  const std::deque<GenerationEvent>& events = record_->events_;
  const auto seen = [this](const GenerationEvent& event) {
    const TokenEvent* token = std::get_if<TokenEvent>(&event);
    return token != nullptr && token->sequence_number <= after_;
  };
  const size_t before = cursor_;
  while (cursor_ < events.size() && seen(events[cursor_])) ++cursor_;
  if (cursor_ != before) record_->UpdateLagLocked();
  return cursor_ < events.size();
}

std::optional<GenerationEvent> GenerationReader::TryNext() {
  std::optional<GenerationEvent> event;
  bool caught_up = false;
  {
    absl::MutexLock lock(&record_->mutex_);
    if (!HasNextLocked()) return std::nullopt;
    event = record_->events_[cursor_++];
    record_->UpdateLagLocked();
    caught_up = cursor_ == record_->events_.size();
  }
  if (caught_up) record_->on_reader_change_();
  return event;
}

void GenerationReader::NotifyWhenReady(std::function<void()> notify) {
  {
    absl::MutexLock lock(&record_->mutex_);
    CHECK(!notify_) << "a notification is outstanding already";
    if (!HasNextLocked()) {
      notify_ = std::move(notify);
      return;
    }
  }
  notify();
}

}  // namespace eidetic
