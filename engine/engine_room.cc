// How the engine makes room: for who waits, before it is asked for, and by deleting what expired.
#include "engine/engine_impl.h"

namespace eidetic {

bool EngineImpl::MakeRoom(int64_t pages) {
  if (sessions_.MakeRoom(pages)) return true;
  return keeper_ && keeper_->SleepForPages(pages);
}

void EngineImpl::KeepMarks() {
  const EngineLimits::Marks& marks = context_.limits.marks;
  const auto beyond = [](int64_t used, int64_t capacity, double high, double low) {
    const bool full = used > high * static_cast<double>(capacity);
    return full ? used - static_cast<int64_t>(low * static_cast<double>(capacity)) : 0;
  };
  if (memory::PageStore* const host = pool_.host_pages(); host != nullptr && keeper_) {
    const int64_t pages =
        beyond(host->used_count(), host->capacity(), marks.host_high, marks.host_low);
    if (pages > 0) keeper_->SleepForHostPages(pages);
  }
  // Copies of pages of the host go by themselves when they are in the way.
  const int64_t copies = pool_.promoted() == nullptr ? 0 : pool_.promoted()->size();
  const int64_t pages = beyond(pool_.pages().used_count() - copies, pool_.pages().capacity(),
                               marks.device_high, marks.device_low);
  if (pages > 0) MakeRoom(pages);
}

void EngineImpl::CountTiers() {
  tiers_ = {};
  sessions_.ForEach([this](const std::shared_ptr<Session>& session) {
    ++tiers_[static_cast<size_t>(sessions_.TierOf(*session))];
  });
}

bool EngineImpl::RoomMayCome() const {
  return loop_.sequences() > 0 || (keeper_ && keeper_->RoomMayCome());
}

RoomLine::Parts EngineImpl::LineParts() {
  return {
      .when_awake = [this](const SessionName& session, MemoryNeed need,
                           SessionKeeper::Then then) { WhenAwake(session, need, std::move(then)); },
      .room_may_come = [this] { return RoomMayCome(); },
      .now = context_.now,
      .max_wait = context_.limits.max_memory_wait,
      .max_waiting = context_.limits.max_sequences};
}

RoomLine::Signs EngineImpl::RoomSigns() {
  memory::PageStore* const host = pool_.host_pages();
  return {pool_.pages().free_count(),
          host == nullptr ? 0 : host->free_count(),
          pool_.tiles().free_count(),
          pool_.slots().used_count(),
          loop_.sequences(),
          keeper_ ? keeper_->progress() : 0,
          RoomMayCome(),
          ledger_.health().ok()};
}

void EngineImpl::DeleteExpired() {
  for (const SessionName& name : sessions_.Expired()) {
    if (line_.HasOne(name) || (keeper_ && keeper_->IsWaitedFor(name))) continue;
    if (Delete(name, std::nullopt).ok()) ++expired_;
  }
}

}  // namespace eidetic
