// What a session costs when it is next needed: from the device's memory, from pinned host memory,
// from its checkpoint on the disk, and computed again from its log. From the disk twice: until its
// next tokens (`disk_seconds`), and until all of it is there (`disk_whole_seconds`, of which the
// rates are).
//
//   resume_bench --folder DIR [--device cpu] [--model DIR|CONFIG.json] [--tokens 8192,131072]
//
// A config.json makes a model of random weights. Prints a `bench` line a length, with the rates of
// disk and bus as the same run finds them. It asserts nothing.
#include <glog/logging.h>

#include <atomic>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/numbers.h"
#include "absl/time/clock.h"
#include "engine/backend/create_backend.h"
#include "engine/model/model_description.h"
#include "tests/bench/disk_rates.h"
#include "tests/bench/engine_calls.h"
#include "tests/bench/generation_listener.h"
#include "tests/bench/measure.h"

ABSL_FLAG(std::string, folder, "", "a folder to be made, and removed, on the disk to measure");
ABSL_FLAG(std::string, device, "cpu", "as of eidetic-server");
ABSL_FLAG(std::string, model, "engine/model/demo", "model folder, or a config.json");
ABSL_FLAG(std::string, demo, "engine/model/demo", "folder of the tokenizer for a config.json");
ABSL_FLAG(std::vector<std::string>, tokens, std::vector<std::string>({"8192", "131072"}),
          "lengths of the session's past");

namespace eidetic::bench {
namespace {

constexpr int64_t kAppend = 8192;  // tokens
constexpr uint64_t kWeightSeed = 1;
const SessionName kName{"bench", "long"};

// When the engine last drew a token: readers hear of it once it is durable.
class Draws : public EngineObserver {
 public:
  void OnFirstToken(StartTier, double) override { last_ = NowSeconds(); }
  void OnInterToken(double) override { last_ = NowSeconds(); }
  double last() const { return last_; }

 private:
  std::atomic<double> last_ = 0;
};

struct Bench {
  Backend* backend;
  Draws* draws;
  std::filesystem::path model, folder;
  int64_t tokens = 0;
  int64_t layers = 0;  // of attention
};

// `device_share`: of the session's pages, those that the device has room for.
std::unique_ptr<Engine> Open(const Bench& bench, double device_share = 1) {
  EngineLimits limits;
  limits.keeping.checkpoint_idle = limits.keeping.sleep_after = absl::Hours(1);
  limits.keeping.checkpoint_tokens = int64_t{1} << 40;
  const int64_t pages = bench.layers * (bench.tokens / limits.block_tokens + 8);
  limits.memory.max_pages = static_cast<int32_t>(pages * device_share) + 2000;
  if (device_share < 1) {
    limits.memory.max_host_pages = static_cast<int32_t>(pages);
    limits.memory.max_promoted_pages = 0;
  }
  limits.memory.max_state_slots = 8;
  const Engine::Options options = {
      .limits = limits, .observer = bench.draws, .data_folder = bench.folder};
  auto engine = std::filesystem::is_directory(bench.model)
                    ? Engine::Create(bench.model, bench.backend, options)
                    : Engine::CreateRandom(bench.model, kWeightSeed, absl::GetFlag(FLAGS_demo),
                                           bench.backend, options);
  CHECK(engine.ok()) << engine.status();
  return *std::move(engine);
}

// Seconds until a prompt of one token was answered with a second token, the first that retrieval
// had a part in.
double Resume(const Bench& bench, Engine& engine) {
  GenerateSpec spec;
  spec.session = kName;
  spec.tenant = kName.tenant;
  spec.prompt = {100};
  spec.sampling.temperature = 0;
  spec.max_tokens = 2;
  spec.ignore_end_tokens = true;
  const double begin = NowSeconds();
  GenerationListener::Start(&engine, spec)->WaitForEnd();
  return bench.draws->last() - begin;
}

// Seconds until the session has all of its memory: a score forks it.
double ResumeWhole(Engine& engine) {
  const double begin = NowSeconds();
  Await<std::vector<SampledToken>>(
      [&](auto done) { engine.Score(kName, {}, "bench", {100}, 0, nullptr, done); });
  return NowSeconds() - begin;
}

double Median3(const Bench& bench, Engine& engine) {
  std::vector<double> seconds;
  for (int i = 0; i < 3; ++i) seconds.push_back(Resume(bench, engine));
  return Median(seconds);
}

// Creates the session with its past, in a new data folder. Seconds that computing took.
double Compute(const Bench& bench, Engine* engine) {
  memory::SpanSettings settings = memory::DefaultSpanSettings(bench.backend->bounding());
  settings.retrieve_in_prefill = false;  // the quickest way there is
  Await<SessionInfo>(
      [&](auto done) { engine->CreateSession(kName, settings, "", std::nullopt, "", "", done); });
  std::mt19937 random(1);
  const double begin = NowSeconds();
  for (int64_t left = bench.tokens; left > 0; left -= kAppend) {
    std::vector<memory::TokenId> tokens(std::min(kAppend, left));
    for (memory::TokenId& token : tokens) token = 100 + static_cast<int32_t>(random() % 4000);
    AppendAndDrain(engine, kName, std::move(tokens));
  }
  return NowSeconds() - begin;
}

struct Figures {
  double compute = 0, memory = 0, write = 0, disk = 0, cached = 0;  // seconds
  double disk_whole = 0, cached_whole = 0;
  std::optional<double> host;
  int64_t bytes = 0;  // of the checkpoint
  DiskRates rates;
};

Figures Measure(const Bench& bench) {
  Figures figures;
  {
    auto engine = Open(bench);
    figures.compute = Compute(bench, engine.get());
    figures.memory = Median3(bench, *engine);
    const double begin = NowSeconds();
    CheckpointAll(engine.get());
    figures.write = NowSeconds() - begin;
  }
  const std::filesystem::path extents = bench.folder / "extents";
  figures.rates = MeasureDisk(extents, bench.folder / "rate");
  figures.bytes = figures.rates.bytes;
  DropCaches(extents);
  figures.disk = Resume(bench, *Open(bench));
  figures.cached = Resume(bench, *Open(bench));
  figures.cached_whole = ResumeWhole(*Open(bench));
  DropCaches(extents);
  figures.disk_whole = ResumeWhole(*Open(bench));
  if (bench.backend->host_arena() != nullptr) {
    auto engine = Open(bench, /*device_share=*/0.1);
    Resume(bench, *engine);
    figures.host = Median3(bench, *engine);
  }
  return figures;
}

double BusBytesPerSecond(Backend* backend) {
  constexpr size_t kBytes = size_t{256} << 20;
  const std::vector<char> from(kBytes, 1);
  auto to = backend->arena()->Allocate(kBytes);
  CHECK(to.ok()) << to.status();
  const double seconds =
      TimeOnBackend(backend, 3, [&] { backend->arena()->CopyFromHost(*to, from.data(), kBytes); });
  backend->arena()->Free(*to, kBytes);
  return kBytes / seconds;
}

void Print(const Bench& bench, const Figures& f, double bus) {
  std::printf("bench name=resume device=%s model=%s tokens=%lld checkpoint_bytes=%lld",
              bench.backend->device_kind().c_str(), bench.model.filename().c_str(),
              static_cast<long long>(bench.tokens), static_cast<long long>(f.bytes));
  std::printf(" compute_seconds=%.3f memory_seconds=%.5f", f.compute, f.memory);
  if (f.host) std::printf(" host_seconds=%.5f host_ratio=%.0f", *f.host, f.compute / *f.host);
  std::printf(
      " disk_seconds=%.4f cached_seconds=%.4f disk_whole_seconds=%.4f"
      " cached_whole_seconds=%.4f write_seconds=%.3f",
      f.disk, f.cached, f.disk_whole, f.cached_whole, f.write);
  std::printf(" memory_ratio=%.0f disk_ratio=%.1f cached_ratio=%.1f", f.compute / f.memory,
              f.compute / f.disk, f.compute / f.cached);
  const auto bytes = static_cast<double>(f.bytes);
  std::printf(
      " load_gb_per_second=%.3f cached_load_gb_per_second=%.3f write_gb_per_second=%.3f"
      " disk_read_gb_per_second=%.3f disk_write_gb_per_second=%.3f bus_gb_per_second=%.3f\n",
      bytes / f.disk_whole / 1e9, bytes / f.cached_whole / 1e9, bytes / f.write / 1e9,
      f.rates.read_bytes_per_second / 1e9, f.rates.write_bytes_per_second / 1e9, bus / 1e9);
  std::fflush(stdout);
}

void Run() {
  const std::filesystem::path folder = absl::GetFlag(FLAGS_folder);
  CHECK(!folder.empty()) << "--folder: name one on the disk to measure";
  CHECK(!std::filesystem::exists(folder)) << "--folder is there already";
  const std::filesystem::path model = absl::GetFlag(FLAGS_model);
  const auto description =
      std::filesystem::is_directory(model) ? ParseModelConfig(model) : ParseModelConfigFile(model);
  CHECK(description.ok()) << description.status();
  auto backend = CreateBackend({.device = absl::GetFlag(FLAGS_device)});
  CHECK(backend.ok()) << backend.status();
  const double bus = BusBytesPerSecond(backend->get());
  Draws draws;
  for (const std::string& word : absl::GetFlag(FLAGS_tokens)) {
    Bench bench = {.backend = backend->get(),
                   .draws = &draws,
                   .model = model,
                   .folder = folder,
                   .layers = description->attention_layers()};
    CHECK(absl::SimpleAtoi(word, &bench.tokens)) << "--tokens: " << word << " is no number";
    Print(bench, Measure(bench), bus);
    std::filesystem::remove_all(folder);
  }
}

}  // namespace
}  // namespace eidetic::bench

int main(int argc, char** argv) {
  google::InitGoogleLogging(argv[0]);
  absl::ParseCommandLine(argc, argv);
  eidetic::bench::Run();
}
