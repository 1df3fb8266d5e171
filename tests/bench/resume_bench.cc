// What a session costs when it is next needed: from the device's memory, from pinned host memory,
// from its checkpoint on the disk, and computed again from its log. From the disk twice: until its
// next tokens (`disk_seconds`), and until all of it is there (`disk_whole_seconds`, of which the
// rates are). `cached`: as from the disk, while the system holds the files in its memory.
//
//   resume_bench --folder DIR [--device cpu] [--tokens 8192,131072]
//                [--model DIR | --model CONFIG.json --text FILE [--compute_tokens 65536]]
//
// A config.json makes a model of random weights. Its sessions get pasts of real keys without
// computing them (filling_backend.h); computing is timed over no more than --compute_tokens, and
// told for all by that rate: with retrieval off it does not depend on the length. Prints a `bench`
// line a length, with the rates of disk and bus as the same run finds them. It asserts nothing.
#include <glog/logging.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/numbers.h"
#include "engine/backend/create_backend.h"
#include "tests/bench/disk_rates.h"
#include "tests/bench/engine_calls.h"
#include "tests/bench/engine_starter.h"
#include "tests/bench/filling_backend.h"
#include "tests/bench/generation_listener.h"
#include "tests/bench/measure.h"
#include "tests/bench/replay_backend.h"

ABSL_FLAG(std::string, folder, "", "on the disk to measure; a new folder is made in it, and goes");
ABSL_FLAG(std::string, device, "cpu", "as of eidetic-server");
ABSL_FLAG(std::string, model, "engine/model/demo", "model folder, or a config.json");
ABSL_FLAG(std::string, demo, "engine/model/demo",
          "for a config.json: folder of the model whose keys and tokenizer are used");
ABSL_FLAG(std::string, text, "", "for a config.json: a text for that model to read");
ABSL_FLAG(int64_t, compute_tokens, 65536, "of a config.json's past, those computed at most");
ABSL_FLAG(std::vector<std::string>, tokens, std::vector<std::string>({"8192", "131072"}),
          "lengths of the session's past");

namespace eidetic::bench {
namespace {

constexpr int64_t kAppend = 8192;      // tokens
constexpr int64_t kKeyTokens = 65536;  // that the demo model reads
constexpr int32_t kQuerySteps = 64;
const SessionName kName{"bench", "long"};
using Room = EngineStarter::Room;

// When the engine last drew a token: readers hear of it once it is durable.
class Draws : public EngineObserver {
 public:
  void OnFirstToken(StartTier, double) override { last_ = NowSeconds(); }
  void OnInterToken(double) override { last_ = NowSeconds(); }
  double last() const { return last_; }

 private:
  std::atomic<double> last_ = 0;
};

// A new folder in --folder for as long as it lives.
class RunFolder {
 public:
  RunFolder() {
    const std::filesystem::path parent = absl::GetFlag(FLAGS_folder);
    CHECK(!parent.empty()) << "--folder: name one on the disk to measure";
    std::filesystem::create_directories(parent);
    std::string name = parent / "resume_bench.XXXXXX";
    CHECK(mkdtemp(name.data()) != nullptr) << "--folder: nothing can be made in " << parent;
    path_ = name;
  }
  ~RunFolder() { std::filesystem::remove_all(path_); }
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

struct Bench {
  const EngineStarter& starter;
  const Draws& draws;
  ReplayBackend& replay;
  FillingBackend& filling;
  bool fill = false;  // the past, rather than compute it
  int64_t tokens = 0;
  std::filesystem::path folder;

  std::unique_ptr<Engine> Start(Room room = Room::kDevice) const {
    return starter.Start(folder, tokens, room);
  }
};

void NextQueries(const Bench& bench) {
  const AttentionDescription& attention = bench.starter.model().description().attention;
  bench.replay.NextStep(/*rows=*/1, attention.q_heads, attention.head_dim);
}

// Seconds until a prompt of one token was answered with a second token, the first that retrieval
// had a part in.
double Resume(const Bench& bench, Engine& engine) {
  NextQueries(bench);
  GenerateSpec spec;
  spec.session = kName;
  spec.tenant = kName.tenant;
  spec.prompt = {100};
  spec.sampling.temperature = 0;
  spec.max_tokens = 2;
  spec.ignore_end_tokens = true;
  const double begin = NowSeconds();
  GenerationListener::Start(&engine, spec)->WaitForEnd();
  return bench.draws.last() - begin;
}

// Seconds until the session has all of its memory: a score forks it.
double ResumeWhole(const Bench& bench, Engine& engine) {
  NextQueries(bench);
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

// Creates a session with so long a past. Seconds that its tokens took.
double Append(const Bench& bench, Engine* engine, const SessionName& name, int64_t count) {
  memory::SpanSettings settings = bench.starter.settings();
  settings.retrieve_in_prefill = false;  // the quickest way there
  Await<SessionInfo>(
      [&](auto done) { engine->CreateSession(name, settings, "", std::nullopt, "", "", done); });
  std::mt19937 random(1);
  const double begin = NowSeconds();
  for (int64_t left = count; left > 0; left -= kAppend) {
    std::vector<memory::TokenId> tokens(std::min(kAppend, left));
    for (memory::TokenId& token : tokens) token = 100 + static_cast<int32_t>(random() % 4000);
    AppendAndDrain(engine, name, std::move(tokens));
  }
  return NowSeconds() - begin;
}

struct Figures {
  int64_t compute_tokens = 0;  // that were computed
  double compute = 0;          // seconds, for all
  double memory = 0, write = 0, disk = 0, cached = 0;
  double disk_whole = 0, cached_whole = 0;
  std::optional<double> host;
  int64_t host_pages = 0, pages = 0;  // while `host` was measured
  int64_t bytes = 0;                  // that a wake reads
  DiskRates rates;
};

void MakePast(const Bench& bench, Engine* engine, Figures* figures) {
  figures->compute_tokens = bench.tokens;
  if (!bench.fill) {
    figures->compute = Append(bench, engine, kName, bench.tokens);
    return;
  }
  figures->compute_tokens = std::min(bench.tokens, absl::GetFlag(FLAGS_compute_tokens));
  const SessionName computed{kName.tenant, "computed"};
  figures->compute = Append(bench, engine, computed, figures->compute_tokens) *
                     static_cast<double>(bench.tokens) /
                     static_cast<double>(figures->compute_tokens);
  AwaitOk([&](auto done) { engine->DeleteSession(computed, std::nullopt, done); });
  bench.filling.Fill(true);
  Append(bench, engine, kName, bench.tokens);
  bench.filling.Fill(false);
}

void MeasureHost(const Bench& bench, Figures* figures) {
  auto engine = bench.Start(Room::kHost);
  Resume(bench, *engine);
  figures->host = Median3(bench, *engine);
  const EngineStats stats = engine->Stats();
  figures->host_pages = stats.host_pages_used;
  figures->pages = stats.host_pages_used + stats.pages_used;
}

Figures Measure(const Bench& bench, bool has_host_tier) {
  Figures figures;
  {
    auto engine = bench.Start();
    MakePast(bench, engine.get(), &figures);
    Resume(bench, *engine);
    figures.memory = Median3(bench, *engine);
    const double begin = NowSeconds();
    CheckpointAll(engine.get());
    figures.write = NowSeconds() - begin;
  }
  const std::filesystem::path extents = bench.folder / "extents";
  figures.rates = MeasureDisk(extents, bench.folder / "rate");
  DropCaches(extents);
  figures.disk = Resume(bench, *bench.Start());
  figures.cached = Resume(bench, *bench.Start());
  {
    auto engine = bench.Start();
    figures.cached_whole = ResumeWhole(bench, *engine);
    figures.bytes = engine->Stats().loaded_bytes;
  }
  DropCaches(extents);
  figures.disk_whole = ResumeWhole(bench, *bench.Start());
  if (has_host_tier) MeasureHost(bench, &figures);
  return figures;
}

// From pinned memory where the device has it.
double BusBytesPerSecond(Backend* backend) {
  constexpr size_t kBytes = size_t{256} << 20;
  memory::Arena* const pinned = backend->host_arena();
  const std::vector<char> pageable(pinned == nullptr ? kBytes : 0, 1);
  absl::StatusOr<void*> from(nullptr);
  if (pinned != nullptr) from = pinned->Allocate(kBytes);
  auto to = backend->arena()->Allocate(kBytes);
  CHECK(from.ok() && to.ok()) << from.status() << to.status();
  const double seconds = TimeOnBackend(backend, 3, [&] {
    if (pinned != nullptr) {
      backend->arena()->Copy(*to, *from, kBytes);
    } else {
      backend->arena()->CopyFromHost(*to, pageable.data(), kBytes);
    }
  });
  if (pinned != nullptr) pinned->Free(*from, kBytes);
  backend->arena()->Free(*to, kBytes);
  return kBytes / seconds;
}

void Print(const Bench& bench, const std::string& device, const Figures& f, double bus) {
  std::printf("bench name=resume device=%s model=%s tokens=%lld session_gb=%.4f", device.c_str(),
              std::filesystem::path(absl::GetFlag(FLAGS_model)).filename().c_str(),
              static_cast<long long>(bench.tokens), static_cast<double>(f.bytes) / 1e9);
  std::printf(" computed_tokens=%lld compute_seconds=%.3f memory_seconds=%.5f",
              static_cast<long long>(f.compute_tokens), f.compute, f.memory);
  if (f.host) {
    std::printf(" host_seconds=%.5f host_ratio=%.0f host_page_share=%.3f", *f.host,
                f.compute / *f.host, static_cast<double>(f.host_pages) / f.pages);
  }
  std::printf(
      " disk_seconds=%.4f cached_seconds=%.4f disk_whole_seconds=%.4f"
      " cached_whole_seconds=%.4f write_seconds=%.3f",
      f.disk, f.cached, f.disk_whole, f.cached_whole, f.write);
  std::printf(" memory_ratio=%.0f disk_ratio=%.1f cached_ratio=%.1f disk_whole_ratio=%.1f",
              f.compute / f.memory, f.compute / f.disk, f.compute / f.cached,
              f.compute / f.disk_whole);
  const auto bytes = static_cast<double>(f.bytes);
  const double load = bytes / f.disk_whole, cached = bytes / f.cached_whole;
  std::printf(
      " load_gb_per_second=%.3f cached_load_gb_per_second=%.3f write_gb_per_second=%.3f"
      " disk_read_gb_per_second=%.3f disk_write_gb_per_second=%.3f bus_gb_per_second=%.3f"
      " load_to_disk=%.3f cached_load_to_bus=%.3f\n",
      load / 1e9, cached / 1e9, bytes / f.write / 1e9, f.rates.read_bytes_per_second / 1e9,
      f.rates.write_bytes_per_second / 1e9, bus / 1e9, load / f.rates.read_bytes_per_second,
      cached / bus);
  std::fflush(stdout);
}

std::string ReadText() {
  const std::string path = absl::GetFlag(FLAGS_text);
  std::ifstream file(path, std::ios::binary);
  CHECK(file.good()) << "--text: can not read '" << path << "'";
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void Run() {
  auto backend = CreateBackend({.device = absl::GetFlag(FLAGS_device)});
  CHECK(backend.ok()) << backend.status();
  const double bus = BusBytesPerSecond(backend->get());
  const bool fill = !std::filesystem::is_directory(absl::GetFlag(FLAGS_model));
  RealKeys keys;
  if (fill) {
    keys = ReadRealKeys(backend->get(), absl::GetFlag(FLAGS_demo), ReadText(), kKeyTokens,
                        kQuerySteps);
  }
  ReplayBackend replay(backend->get());
  FillingBackend filling(&replay);
  Draws draws;
  const EngineStarter starter({.model = absl::GetFlag(FLAGS_model),
                               .tokenizer = absl::GetFlag(FLAGS_demo),
                               .backend = &filling,
                               .observer = &draws});
  if (fill) {
    const AttentionDescription& attention = starter.model().description().attention;
    replay.Replay(&keys);
    filling.TakeKeys(keys, attention.kv_heads, attention.head_dim);
  }
  for (const std::string& word : absl::GetFlag(FLAGS_tokens)) {
    const RunFolder folder;
    Bench bench = {starter, draws, replay, filling, fill, 0, folder.path()};
    CHECK(absl::SimpleAtoi(word, &bench.tokens)) << "--tokens: " << word << " is no number";
    Print(bench, (*backend)->device_kind(), Measure(bench, (*backend)->host_arena() != nullptr),
          bus);
  }
}

}  // namespace
}  // namespace eidetic::bench

int main(int argc, char** argv) {
  google::InitGoogleLogging(argv[0]);
  absl::ParseCommandLine(argc, argv);
  eidetic::bench::Run();
}
