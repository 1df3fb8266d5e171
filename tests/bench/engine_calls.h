// Calls of an engine that wait for their answer and CHECK that it is good.
//
// Thread safety: any thread but the engine's. Ownership: borrows the engine.
// Preconditions: as Engine.
#ifndef EIDETIC_TESTS_BENCH_ENGINE_CALLS_H_
#define EIDETIC_TESTS_BENCH_ENGINE_CALLS_H_

#include <glog/logging.h>

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "engine/engine.h"

namespace eidetic::bench {

// The result of a call that answers through a callback: call(done).
template <typename T, typename Call>
T Await(const Call& call) {
  std::optional<T> result;
  absl::Notification done;
  call([&](absl::StatusOr<T> answer) {
    CHECK(answer.ok()) << answer.status();
    result = *std::move(answer);
    done.Notify();
  });
  done.WaitForNotification();
  return *std::move(result);
}

template <typename Call>
void AwaitOk(const Call& call) {
  absl::Notification done;
  call([&](const absl::Status& status) {
    CHECK(status.ok()) << status;
    done.Notify();
  });
  done.WaitForNotification();
}

inline std::shared_ptr<AppendStream> OpenAppend(Engine* engine, const SessionName& name) {
  return Await<std::shared_ptr<AppendStream>>([&](auto done) {
    engine->OpenAppend(
        name, [](memory::Position, memory::Position) {}, done);
  });
}

// Until they are durable.
inline void Append(AppendStream* stream, std::vector<memory::TokenId> tokens) {
  Await<memory::Position>(
      [&](auto done) { stream->Append(std::move(tokens), std::nullopt, done); });
}

// Until they are computed.
inline void AppendAndDrain(Engine* engine, const SessionName& name,
                           std::vector<memory::TokenId> tokens) {
  const std::shared_ptr<AppendStream> stream = OpenAppend(engine, name);
  Append(stream.get(), std::move(tokens));
  AwaitOk([&](auto done) { stream->Drain(done); });
}

inline void CheckpointAll(Engine* engine) {
  AwaitOk([&](auto done) { engine->CheckpointAll(absl::Now() + absl::Minutes(10), done); });
}

}  // namespace eidetic::bench

#endif  // EIDETIC_TESTS_BENCH_ENGINE_CALLS_H_
