// Requests for which there was no memory: they wait, in the order in which they came.
//
// What: whoever begins is tried at once while nobody waits. Who finds a shortage stands in line,
//   and the first is tried again when something has changed. One that waits holds nothing that can
//   not be taken from it, and what runs has reserved all that it needs to end: so waiting ends.
// Thread safety: the loop's thread. Ownership: owns what waits. Preconditions: as stated.
#ifndef EIDETIC_ENGINE_SCHEDULER_ROOM_LINE_H_
#define EIDETIC_ENGINE_SCHEDULER_ROOM_LINE_H_

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "engine/session.h"
#include "engine/session_name.h"

namespace eidetic {

class RoomLine {
 public:
  struct Parts {
    // Calls the second once the session has its memory, or with why it has not.
    std::function<void(const SessionName&, MemoryNeed, absl::AnyInvocable<void(absl::Status)>)>
        when_awake;
    // Whether others may give memory back without being asked.
    std::function<bool()> room_may_come;
    std::function<absl::Time()> now;
    absl::Duration max_wait;
    int32_t max_waiting = 0;
  };
  explicit RoomLine(Parts parts) : parts_(std::move(parts)) {}

  struct Request {
    std::optional<SessionName> session;  // that it needs awake
    MemoryNeed need = MemoryNeed::kToStep;
    // Begins, once the session is awake, or tells why it can not. A shortage (IsShortage) is given
    // back instead, and nothing has changed.
    absl::AnyInvocable<absl::Status(const absl::Status& awake)> begin;
    absl::AnyInvocable<void(const absl::Status& why)> refuse;
  };
  void Begin(Request request);

  // Numbers one of which changes when memory may have come free.
  using Signs = std::array<int64_t, 8>;
  // Once a turn of the loop.
  void OnTurn(const Signs& signs);
  // All who wait are told `why`.
  void Close(const absl::Status& why);

  // Whether one that stands in line needs the session.
  bool HasOne(const SessionName& session) const;
  int64_t size() const { return static_cast<int64_t>(line_.size()) + (trying_first_ ? 1 : 0); }

 private:
  struct Waiter {
    Request request;
    int64_t arrival = 0;
    absl::Time since;
  };
  void Try(Waiter waiter, bool first);
  void Decide(Waiter waiter, const absl::Status& shortage);

  const Parts parts_;
  std::deque<Waiter> line_;  // by arrival
  bool trying_first_ = false;
  int64_t arrivals_ = 0;
  int64_t tried_ = -1;  // the arrival that was tried last, at these signs
  Signs signs_ = {};
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_SCHEDULER_ROOM_LINE_H_
