// What a session costs when its server starts anew: loaded from its checkpoint against computed
// again from its log, on the demo model and the CPU; and what checkpoints write.
//
// usage: resume_bench FOLDER [TOKENS...]   (a folder that is not there yet; 4096 16384)
#include <glog/logging.h>

#include <cstdio>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "engine/backend/cpu/cpu_backend.h"
#include "engine/engine.h"

namespace eidetic {
namespace {

constexpr char kDemo[] = "engine/model/demo";
constexpr int64_t kAppend = 2048;  // tokens
const SessionName kName{"bench", "long"};

template <typename Result>
Result Wait(const std::function<void(std::function<void(Result)>)>& call) {
  absl::Notification done;
  std::optional<Result> result;
  call([&](Result r) {
    result.emplace(std::move(r));
    done.Notify();
  });
  done.WaitForNotification();
  return *std::move(result);
}

std::unique_ptr<Engine> Open(Backend* backend, const std::filesystem::path& folder) {
  EngineLimits limits;
  limits.keeping.checkpoint_idle = absl::Hours(1);
  auto engine = Engine::Create(kDemo, backend, {.limits = limits, .data_folder = folder});
  CHECK(engine.ok()) << engine.status();
  return *std::move(engine);
}

void Append(Engine& engine, int64_t count, std::mt19937* random) {
  auto stream = Wait<absl::StatusOr<std::shared_ptr<AppendStream>>>([&](auto done) {
    engine.OpenAppend(
        kName, [](auto, auto) {}, done);
  });
  CHECK(stream.ok()) << stream.status();
  std::vector<memory::TokenId> tokens(count);
  for (memory::TokenId& token : tokens) token = 100 + static_cast<int32_t>((*random)() % 4000);
  const auto end = Wait<absl::StatusOr<memory::Position>>(
      [&](auto done) { (*stream)->Append(tokens, std::nullopt, done); });
  CHECK(end.ok()) << end.status();
  const auto drained = Wait<absl::Status>([&](auto done) { (*stream)->Drain(done); });
  CHECK(drained.ok()) << drained;
}

void CheckpointAll(Engine& engine) {
  const auto status = Wait<absl::Status>(
      [&](auto done) { engine.CheckpointAll(absl::Now() + absl::Minutes(1), done); });
  CHECK(status.ok()) << status;
}

// Seconds until the session's memory is there and one more token is computed.
double Resume(Engine& engine) {
  const absl::Time begin = absl::Now();
  const auto scored = Wait<absl::StatusOr<std::vector<SampledToken>>>(
      [&](auto done) { engine.Score(kName, {}, {100}, 0, nullptr, done); });
  CHECK(scored.ok()) << scored.status();
  return absl::ToDoubleSeconds(absl::Now() - begin);
}

void Run(Backend* backend, const std::filesystem::path& folder, int64_t tokens) {
  std::mt19937 random(1);
  double write_seconds = 0;
  int64_t written = 0;
  {
    auto engine = Open(backend, folder);
    const auto made = Wait<absl::StatusOr<SessionInfo>>(
        [&](auto done) { engine->CreateSession(kName, {}, std::nullopt, "", "", done); });
    CHECK(made.ok()) << made.status();
    for (int64_t done = 0; done < tokens; done += kAppend) {
      Append(*engine, std::min(kAppend, tokens - done), &random);
      const absl::Time begin = absl::Now();
      CheckpointAll(*engine);
      write_seconds += absl::ToDoubleSeconds(absl::Now() - begin);
    }
    absl::SleepFor(absl::Milliseconds(300));  // the loop's next turn tells
    written = engine->Stats().checkpoint_bytes;
  }
  const double loaded = Resume(*Open(backend, folder));
  std::filesystem::remove_all(folder / "extents");
  const double computed = Resume(*Open(backend, folder));
  std::printf(
      "bench name=resume tokens=%lld checkpoints=%lld bytes_per_token=%.0f write_seconds=%.3f "
      "load_seconds=%.4f compute_seconds=%.3f ratio=%.1f\n",
      static_cast<long long>(tokens), static_cast<long long>((tokens + kAppend - 1) / kAppend),
      static_cast<double>(written) / static_cast<double>(tokens), write_seconds, loaded, computed,
      computed / loaded);
}

}  // namespace
}  // namespace eidetic

int main(int argc, char** argv) {
  google::InitGoogleLogging(argv[0]);
  CHECK_GE(argc, 2) << "usage: resume_bench FOLDER [TOKENS...]";
  std::vector<int64_t> sizes;
  for (int i = 2; i < argc; ++i) {
    CHECK(absl::SimpleAtoi(argv[i], &sizes.emplace_back())) << argv[i] << " is no number";
  }
  if (sizes.empty()) sizes = {4096, 16384};
  const auto backend = eidetic::CreateCpuBackend({.threads = 2, .memory_bytes = size_t{2} << 30});
  for (const int64_t tokens : sizes) {
    const auto folder = std::filesystem::path(argv[1]) / std::to_string(tokens);
    CHECK(!std::filesystem::exists(folder)) << folder << " is there already";
    eidetic::Run(backend.get(), folder, tokens);
  }
}
