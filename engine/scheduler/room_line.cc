#include "engine/scheduler/room_line.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "memory/session_demand.h"

namespace eidetic {

void RoomLine::Begin(Request request) {
  Waiter waiter{.request = std::move(request), .arrival = arrivals_++, .since = parts_.now()};
  if (size() == 0) return Try(std::move(waiter), /*first=*/false);
  if (size() >= parts_.max_waiting) {
    return waiter.request.refuse(absl::ResourceExhaustedError(
        absl::StrCat("memory: ", size(),
                     " requests wait for it already; retry later, or raise the server's "
                     "limits")));
  }
  line_.push_back(std::move(waiter));
}

void RoomLine::Try(Waiter waiter, bool first) {
  const std::optional<SessionName> session = waiter.request.session;
  const MemoryNeed need = waiter.request.need;
  auto awake = [this, first, waiter = std::move(waiter)](const absl::Status& status) mutable {
    if (first) trying_first_ = false;
    const absl::Status begun = waiter.request.begin(status);
    if (!begun.ok()) Decide(std::move(waiter), begun);
  };
  session ? parts_.when_awake(*session, need, std::move(awake)) : awake(absl::OkStatus());
}

void RoomLine::Decide(Waiter waiter, const absl::Status& shortage) {
  const bool patient = parts_.now() - waiter.since < parts_.max_wait;
  if (!patient || !parts_.room_may_come()) return waiter.request.refuse(shortage);
  const auto place = std::find_if(line_.begin(), line_.end(), [&](const Waiter& other) {
    return other.arrival > waiter.arrival;
  });
  line_.insert(place, std::move(waiter));
}

void RoomLine::OnTurn(const Signs& signs) {
  if (line_.empty() || trying_first_) return;
  const Waiter& next = line_.front();
  const bool tired = parts_.now() - next.since >= parts_.max_wait;
  const bool tried = signs == signs_ && next.arrival == tried_;
  if (tried && !tired && parts_.room_may_come()) return;
  signs_ = signs;
  tried_ = next.arrival;
  Waiter waiter = std::move(line_.front());
  line_.pop_front();
  trying_first_ = true;
  Try(std::move(waiter), /*first=*/true);
}

bool RoomLine::HasOne(const SessionName& session) const {
  return std::any_of(line_.begin(), line_.end(), [&](const Waiter& waiter) {
    return waiter.request.session && *waiter.request.session == session;
  });
}

void RoomLine::Close(const absl::Status& why) {
  for (Waiter& waiter : std::exchange(line_, {})) waiter.request.refuse(why);
}

}  // namespace eidetic
