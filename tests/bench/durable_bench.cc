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

#include <algorithm>
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

// What one round took; of making and deleting its sessions nothing counts.
struct RoundCost {
  double seconds = 0, loop_seconds = 0, journal_seconds = 0;  // the latter two: of a processor
  double sync_seconds = 0;
  int64_t commits = 0, record_bytes = 0, written_bytes = 0;
};

// All streams, each in a session of its own. `durable` gets each commit's seconds until then.
RoundCost Generate(ServiceEngine* service, const ServiceOptions& options,
                   std::vector<double>* durable) {
  std::vector<GenerateSpec> specs;
  for (int64_t i = 0; i < options.streams; ++i) {
    CreateSession(service, NameOf(i));
    GenerateSpec& spec = specs.emplace_back(service->Spec(options, i));
    spec.session = NameOf(i);
    spec.request_id = "r";
    spec.fingerprint = "f";
  }
  service->metrics().TakeCommits();
  const StepTotals totals = service->metrics().totals();
  const EngineStats stats = service->engine().Stats();
  const int64_t written = WrittenBytes();
  const double begin = NowSeconds();
  RunAll(&service->engine(), std::move(specs));
  RoundCost cost{.seconds = NowSeconds() - begin};
  const EngineStats stats_after = service->engine().Stats();
  const StepTotals totals_after = service->metrics().totals();
  cost.loop_seconds = totals_after.loop_seconds - totals.loop_seconds;
  cost.journal_seconds = totals_after.journal_seconds - totals.journal_seconds;
  cost.sync_seconds = stats_after.journal_sync_seconds - stats.journal_sync_seconds;
  cost.commits = stats_after.journal_commits - stats.journal_commits;
  cost.record_bytes = stats_after.journal_bytes - stats.journal_bytes;
  cost.written_bytes = WrittenBytes() - written;
  for (double seconds : service->metrics().TakeCommits()) durable->push_back(seconds);
  for (int64_t i = 0; i < options.streams; ++i) DeleteSession(service, NameOf(i));
  return cost;
}

void PrintTimes(const char* what, const std::vector<double>& seconds) {
  std::printf("bench name=time_to_durable what=%s count=%zu p50_ms=%.3f p99_ms=%.3f\n", what,
              seconds.size(), 1e3 * Quantile(seconds, 0.5), 1e3 * Quantile(seconds, 0.99));
  std::fflush(stdout);
}

// All rounds of one kind.
struct Rounds {
  std::vector<double> tokens_per_second, loop_us_per_token, durable;
  RoundCost sum;

  void Run(ServiceEngine* service, const ServiceOptions& options) {
    const auto tokens = static_cast<double>(options.streams) * options.tokens;
    const RoundCost cost = Generate(service, options, &durable);
    tokens_per_second.push_back(tokens / cost.seconds);
    loop_us_per_token.push_back(1e6 * cost.loop_seconds / tokens);
    sum.journal_seconds += cost.journal_seconds;
    sum.sync_seconds += cost.sync_seconds;
    sum.commits += cost.commits;
    sum.record_bytes += cost.record_bytes;
    sum.written_bytes += cost.written_bytes;
  }
};

void PrintJournal(const Rounds& rounds, double tokens) {
  const RoundCost& sum = rounds.sum;
  const auto commits = static_cast<double>(std::max<int64_t>(1, sum.commits));
  std::printf(
      "bench name=journal_commits commits=%lld sync_seconds=%.4f ms_per_commit=%.3f "
      "tokens_per_commit=%.1f journal_us_per_token=%.3f record_bytes_per_token=%.1f "
      "written_bytes_per_token=%.1f\n",
      static_cast<long long>(sum.commits), sum.sync_seconds, 1e3 * sum.sync_seconds / commits,
      tokens / commits, 1e6 * sum.journal_seconds / tokens,
      static_cast<double>(sum.record_bytes) / tokens,
      static_cast<double>(sum.written_bytes) / tokens);
  PrintTimes("generations", rounds.durable);
}

void BenchThroughput(ServiceEngine* without, ServiceEngine* with, const ServiceOptions& options) {
  std::vector<double> warm_up, ratios;
  Generate(without, options, &warm_up);
  Generate(with, options, &warm_up);
  Rounds off, on;
  for (int round = 0; round < options.rounds; ++round) {
    off.Run(without, options);
    on.Run(with, options);
    ratios.push_back(on.tokens_per_second.back() / off.tokens_per_second.back());
  }
  std::printf(
      "bench name=journal_throughput backend=%s model=%s step_ms=%.2f streams=%d tokens=%d "
      "rounds=%d off_tokens_per_second=%.1f on_tokens_per_second=%.1f ratio=%.4f "
      "lowest_ratio=%.4f off_loop_us_per_token=%.3f on_loop_us_per_token=%.3f\n",
      with->backend().name().c_str(), options.model.filename().c_str(),
      absl::ToDoubleMilliseconds(options.paced_step), options.streams, options.tokens,
      options.rounds, Median(off.tokens_per_second), Median(on.tokens_per_second), Median(ratios),
      Quantile(ratios, 0), Median(off.loop_us_per_token), Median(on.loop_us_per_token));
  PrintJournal(on, static_cast<double>(options.streams) * options.tokens * options.rounds);
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
  std::vector<double> durable;
  Generate(service, options, &durable);
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
