// What it costs that everything outlives the process.
//
//   durable_bench --folder DIR [--device cpu] [--model DIR|CONFIG.json] [--streams 8]
//                 [--tokens 128] [--rounds 5] [--paced_ms 0]
//
// Generations of many sessions with a data folder and without one, in turns; how long an append
// takes until it is durable, alone and beside them, and a checkpoint; the bytes that the process
// had the kernel write (none where --folder lies in memory). Prints `bench` lines, asserts nothing.
// --paced_ms: nothing is computed, and a step takes so long without the processor, as on a GPU.
#include <glog/logging.h>

#include <atomic>
#include <cstdio>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/str_cat.h"
#include "tests/bench/disk_rates.h"
#include "tests/bench/engine_calls.h"
#include "tests/bench/generation_listener.h"
#include "tests/bench/measure.h"
#include "tests/bench/service_engine.h"
#include "tests/bench/some_tokens.h"

ABSL_FLAG(std::string, folder, "", "a folder to be made, and removed, on the disk to measure");
ABSL_FLAG(std::string, device, "cpu", "as of eidetic-server");
ABSL_FLAG(std::string, model, "engine/model/demo", "model folder, or a config.json");
ABSL_FLAG(std::string, demo, "engine/model/demo", "folder of the tokenizer for a config.json");
ABSL_FLAG(int32_t, streams, 8, "sessions that generate at once");
ABSL_FLAG(int32_t, tokens, 128, "tokens that each generates");
ABSL_FLAG(int32_t, rounds, 5, "of each kind, in turn");
ABSL_FLAG(double, paced_ms, 0, "of a step of a device that computes nothing; 0: --device computes");

namespace eidetic::bench {
namespace {

constexpr int kAppends = 200, kCheckpoints = 20;
constexpr int64_t kCheckpointTokens = 64;  // new in each

ServiceOptions OptionsFromFlags() {
  ServiceOptions options;
  options.device = absl::GetFlag(FLAGS_device);
  options.model = absl::GetFlag(FLAGS_model);
  options.tokenizer = absl::GetFlag(FLAGS_demo);
  options.streams = absl::GetFlag(FLAGS_streams);
  options.tokens = absl::GetFlag(FLAGS_tokens);
  options.rounds = absl::GetFlag(FLAGS_rounds);
  options.prefill_sessions = 1;
  options.paced_step = absl::Milliseconds(absl::GetFlag(FLAGS_paced_ms));
  options.limits.keeping.checkpoint_idle = options.limits.keeping.sleep_after = absl::Hours(1);
  return options;
}

SessionName NameOf(int64_t stream) { return {"bench", absl::StrCat("s", stream)}; }

void CreateSession(ServiceEngine* service, const SessionName& name) {
  Await<SessionInfo>([&](auto done) {
    service->engine().CreateSession(name, service->settings(), "", std::nullopt, "", "", done);
  });
}

void DeleteSession(ServiceEngine* service, const SessionName& name) {
  AwaitOk([&](auto done) { service->engine().DeleteSession(name, std::nullopt, done); });
}

// All streams, each in a session of its own. Seconds.
double Generate(ServiceEngine* service, const ServiceOptions& options) {
  std::vector<GenerateSpec> specs;
  for (int64_t i = 0; i < options.streams; ++i) {
    CreateSession(service, NameOf(i));
    GenerateSpec& spec = specs.emplace_back(service->Spec(options, i));
    spec.session = NameOf(i);
    spec.request_id = "r";
    spec.fingerprint = "f";
  }
  const double begin = NowSeconds();
  RunAll(&service->engine(), std::move(specs));
  const double seconds = NowSeconds() - begin;
  for (int64_t i = 0; i < options.streams; ++i) DeleteSession(service, NameOf(i));
  return seconds;
}

void PrintTimes(const char* what, const std::vector<double>& seconds) {
  std::printf("bench name=time_to_durable what=%s count=%zu p50_ms=%.3f p99_ms=%.3f\n", what,
              seconds.size(), 1e3 * Quantile(seconds, 0.5), 1e3 * Quantile(seconds, 0.99));
  std::fflush(stdout);
}

void PrintJournal(const EngineStats& before, const EngineStats& after, double tokens) {
  const auto commits = static_cast<double>(after.journal_commits - before.journal_commits);
  const double seconds = after.journal_sync_seconds - before.journal_sync_seconds;
  std::printf(
      "bench name=journal_commits commits=%.0f sync_seconds=%.4f sync_ms=%.3f "
      "tokens_per_commit=%.1f record_bytes_per_token=%.1f\n",
      commits, seconds, 1e3 * seconds / commits, tokens / commits,
      static_cast<double>(after.journal_bytes - before.journal_bytes) / tokens);
  std::fflush(stdout);
}

// What rounds of one kind took, each.
struct Rounds {
  std::vector<double> tokens_per_second, loop_us_per_token, journal_us_per_token;

  void Run(ServiceEngine* service, const ServiceOptions& options) {
    const auto tokens = static_cast<double>(options.streams) * options.tokens;
    const StepTotals before = service->metrics().totals();
    tokens_per_second.push_back(tokens / Generate(service, options));
    const StepTotals after = service->metrics().totals();
    loop_us_per_token.push_back(1e6 * (after.loop_seconds - before.loop_seconds) / tokens);
    journal_us_per_token.push_back(1e6 * (after.journal_seconds - before.journal_seconds) / tokens);
  }
};

void BenchThroughput(ServiceEngine* without, ServiceEngine* with, const ServiceOptions& options) {
  Generate(without, options);  // warm-up
  Generate(with, options);
  with->metrics().TakeCommits();
  Rounds off, on;
  std::vector<double> ratios;
  const EngineStats before = with->engine().Stats();
  const int64_t written = WrittenBytes();
  for (int round = 0; round < options.rounds; ++round) {
    off.Run(without, options);
    on.Run(with, options);
    ratios.push_back(on.tokens_per_second.back() / off.tokens_per_second.back());
  }
  const auto tokens = static_cast<double>(options.streams) * options.tokens * options.rounds;
  std::printf(
      "bench name=journal_throughput backend=%s model=%s step_ms=%.2f streams=%d tokens=%d "
      "rounds=%d off_tokens_per_second=%.1f on_tokens_per_second=%.1f ratio=%.4f "
      "lowest_ratio=%.4f off_loop_us_per_token=%.3f on_loop_us_per_token=%.3f "
      "journal_us_per_token=%.3f "
      "written_bytes_per_token=%.1f\n",
      with->backend().name().c_str(), options.model.filename().c_str(),
      absl::ToDoubleMilliseconds(options.paced_step), options.streams, options.tokens,
      options.rounds, Median(off.tokens_per_second), Median(on.tokens_per_second), Median(ratios),
      Quantile(ratios, 0), Median(off.loop_us_per_token), Median(on.loop_us_per_token),
      Median(on.journal_us_per_token), static_cast<double>(WrittenBytes() - written) / tokens);
  PrintJournal(before, with->engine().Stats(), tokens);
  PrintTimes("generations", with->metrics().TakeCommits());
}

// Appends of one token each, one after the other, until there are enough or `stop`.
std::vector<double> TimeAppends(ServiceEngine* service, const std::atomic<bool>& stop) {
  const std::shared_ptr<AppendStream> stream = OpenAppend(&service->engine(), NameOf(-1));
  std::vector<double> seconds;
  for (int i = 0; i < kAppends && !stop; ++i) {
    const double begin = NowSeconds();
    Append(stream.get(), {100});
    seconds.push_back(NowSeconds() - begin);
  }
  return seconds;
}

void BenchAppends(ServiceEngine* service, const ServiceOptions& options) {
  std::atomic<bool> stop = false;
  PrintTimes("append", TimeAppends(service, stop));
  std::vector<double> beside;
  std::thread appends([&] { beside = TimeAppends(service, stop); });
  Generate(service, options);
  stop = true;
  appends.join();
  PrintTimes("append_beside_generations", beside);
}

void BenchCheckpoints(ServiceEngine* service) {
  std::vector<double> seconds;
  const int64_t written = WrittenBytes(), begun = service->engine().Stats().checkpoint_bytes;
  for (int i = 0; i < kCheckpoints; ++i) {
    AppendAndDrain(&service->engine(), NameOf(-1), SomeTokens(kCheckpointTokens, i));
    const double begin = NowSeconds();
    CheckpointAll(&service->engine());
    seconds.push_back(NowSeconds() - begin);
  }
  PrintTimes("checkpoint", seconds);
  const double tokens = kCheckpoints * kCheckpointTokens;
  std::printf(
      "bench name=checkpoint_writes tokens_between=%lld extent_bytes_per_token=%.0f "
      "written_bytes_per_token=%.0f\n",
      static_cast<long long>(kCheckpointTokens),
      static_cast<double>(service->engine().Stats().checkpoint_bytes - begun) / tokens,
      static_cast<double>(WrittenBytes() - written) / tokens);
}

void Run() {
  ServiceOptions options = OptionsFromFlags();
  const std::filesystem::path folder = absl::GetFlag(FLAGS_folder);
  CHECK(!folder.empty()) << "--folder: name one on the disk to measure";
  CHECK(!std::filesystem::exists(folder)) << "--folder is there already";
  {
    ServiceEngine without(options);
    options.data_folder = folder;
    ServiceEngine with(options);
    BenchThroughput(&without, &with, options);
    CreateSession(&with, NameOf(-1));
    BenchAppends(&with, options);
    BenchCheckpoints(&with);
  }
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace eidetic::bench

int main(int argc, char** argv) {
  google::InitGoogleLogging(argv[0]);
  absl::ParseCommandLine(argc, argv);
  eidetic::bench::Run();
}
