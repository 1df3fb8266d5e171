// Decode steps of any model at any history and batch, against the memory's roof.
//
//   decode_bench --text FILE [--device cuda] [--model DIR|CONFIG.json] [--histories 4096,131072]
//                [--batches 1] [--policies se_attn,full] [--adapters 0,16]
//
// A config.json makes a model of random weights; its sessions get histories of real keys
// without being computed (real_keys.h). Prints one `bench` line a measurement. The bytes that a
// step must move: weights, read and write of each state, one read of each attended key and
// value; the index's bytes are told beside them. hit_at_8 is the share of the truly best 8
// blocks that the choices hold. It asserts nothing.
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "engine/backend/create_backend.h"
#include "engine/layers/span_plan.h"
#include "glog/logging.h"
#include "tests/bench/bench_model.h"
#include "tests/bench/measure.h"

ABSL_FLAG(std::string, device, "cuda", "as of eidetic-server");
ABSL_FLAG(std::string, model, "engine/model/demo", "model folder, or a config.json");
ABSL_FLAG(std::string, demo, "engine/model/demo", "folder of the demo model: its keys are used");
ABSL_FLAG(std::string, text, "", "a text for the demo model to read");
ABSL_FLAG(std::vector<std::string>, histories, std::vector<std::string>({"4096", "131072"}),
          "tokens of past");
ABSL_FLAG(std::vector<std::string>, batches, {"1"}, "sequences of a step");
ABSL_FLAG(std::vector<std::string>, policies, std::vector<std::string>({"se_attn", "full"}),
          "se_attn, full, window");
ABSL_FLAG(std::vector<std::string>, adapters, {"0"},
          "random adapters that the sessions share, each as often; 0: the base alone");
ABSL_FLAG(int32_t, adapter_rank, 16, "of their deltas");
ABSL_FLAG(bool, adapt_mamba, false, "deltas of Mamba's in_proj and out_proj too");
ABSL_FLAG(int32_t, key_tokens, 131072, "tokens that the demo model reads");
ABSL_FLAG(double, distant_host_share, 0,
          "of the distant blocks' pages, the oldest ones, those in pinned host memory");
ABSL_FLAG(int32_t, promoted_pages, 0,
          "with pages in host memory: pages of the device that hold copies of chosen ones");
ABSL_FLAG(int32_t, steps, 48, "steps timed at each point");
ABSL_FLAG(int32_t, first_candidates, 96, "two-stage: blocks re-ranked before the first proof");
ABSL_FLAG(int32_t, candidate_budget, 1024, "two-stage: blocks re-ranked at most");
ABSL_FLAG(int32_t, scan_channels, 0, "channels of a first partial scan; 0: all at once");
ABSL_FLAG(int32_t, hit_steps, 8,
          "further steps whose choices are compared with the exact rule's; 0: none");
ABSL_FLAG(bool, cuda_bf16_state, false, "as of eidetic-server");
ABSL_FLAG(bool, roofs, true, "measure copy and product rates first");

namespace eidetic::bench {
namespace {

constexpr int32_t kQuerySteps = 64;
constexpr int kWarmUpSteps = 4;

std::vector<int64_t> Numbers(const std::vector<std::string>& words) {
  std::vector<int64_t> numbers;
  for (const std::string& word : words) {
    int64_t number = 0;
    CHECK(absl::SimpleAtoi(word, &number)) << "'" << word << "' is no number";
    numbers.push_back(number);
  }
  return numbers;
}

memory::SpanSettings SettingsFor(const std::string& policy) {
  memory::SpanSettings settings;
  settings.first_candidates = absl::GetFlag(FLAGS_first_candidates);
  settings.candidate_budget = absl::GetFlag(FLAGS_candidate_budget);
  settings.scan_channels = absl::GetFlag(FLAGS_scan_channels);
  CHECK(policy == "se_attn" || policy == "full" || policy == "window") << policy;
  if (policy == "full") settings.policy = memory::AttentionPolicy::kFull;
  if (policy == "window") settings.policy = memory::AttentionPolicy::kWindow;
  return settings;
}

// Bytes of one step by formula.
struct StepBytes {
  double weights = 0, states = 0, keys_values = 0, index = 0;
  double must() const { return weights + states + keys_values; }
};

StepBytes CountBytes(const BenchModel& model, const memory::SpanSettings& settings, int64_t batch,
                     int64_t history) {
  const ModelDescription& d = model.model().description();
  const memory::PageLayout& layout = model.geometry().layout;
  const int64_t embedding = d.tied_embeddings ? 0 : int64_t{d.vocab_size} * d.d_model;
  StepBytes bytes;
  bytes.weights = 2.0 * (model.model().parameter_count() - embedding);
  bytes.states = 2.0 * batch * model.geometry().state_bytes;
  for (const LayerDescription& layer : d.layers) {
    if (layer.mixer != MixerKind::kAttention) continue;
    const SpanPlan plan = PlanSpan(settings, layout.block_size, layer.retrieves, history,
                                   memory::TokenKind::kGenerated);
    const int64_t window = history + 1 - plan.window_begin;
    const int64_t tokens = (plan.sink_blocks + plan.span_count) * layout.block_size + window;
    bytes.keys_values +=
        static_cast<double>(batch) * tokens * layout.page_bytes() / layout.block_size;
    if (plan.span_count > 0) {
      bytes.index += static_cast<double>(batch) * (plan.last - plan.first) * layout.kv_heads *
                     layout.code_bytes();
    }
  }
  return bytes;
}

// Of one session that is at rest: pages on the device, index, one state slot.
double DeviceBytes(const BenchModel& model, const BenchSession& session, int64_t host_pages) {
  const memory::MemoryGeometry& geometry = model.geometry();
  const memory::SummaryKind summary = session.memory->summary();
  const double index =
      summary == memory::SummaryKind::kNone
          ? 0
          : static_cast<double>(session.memory->tile_count()) * geometry.layout.tile_bytes(summary);
  const int64_t pages = session.memory->page_count() - host_pages;
  return static_cast<double>(pages) * geometry.layout.page_bytes() + index + geometry.state_bytes;
}

// What choosing from pages of the host did, since the pool began.
struct HostUse {
  int64_t chosen = 0, chosen_on_device = 0, bus_bytes = 0;
};

HostUse UseOf(memory::MemoryPool& pool) {
  if (pool.promoted() == nullptr) return {};
  const memory::PromotionStats& stats = pool.promoted()->stats();
  return {stats.chosen, stats.chosen_on_device, pool.span_bus_bytes()};
}

// Of the timed steps. Candidates' keys are read to choose: those on the host over the bus too.
void PrintHostUse(const HostUse& before, const HostUse& after, double candidate_bytes, int steps) {
  const double chosen = std::max<int64_t>(1, after.chosen - before.chosen);
  std::printf(
      "bench name=decode_host promoted_pages=%d chosen_on_device=%.4f span_bus_mb_a_step=%.3f "
      "candidate_mb_a_step=%.3f\n",
      absl::GetFlag(FLAGS_promoted_pages),
      (after.chosen_on_device - before.chosen_on_device) / chosen,
      (after.bus_bytes - before.bus_bytes) / 1e6 / steps, candidate_bytes / 1e6 / steps);
}

// Moves that share of its distant pages; how many they were.
int64_t MoveOldest(const BenchModel& model, const memory::SpanSettings& settings,
                   BenchSession* session) {
  const SpanPlan plan = PlanSpan(settings, model.geometry().layout.block_size, /*retrieves=*/true,
                                 session->log.size(), memory::TokenKind::kGenerated);
  const int64_t pages = int64_t{plan.last - plan.first} * model.geometry().attention_layers;
  const auto wanted = static_cast<int64_t>(absl::GetFlag(FLAGS_distant_host_share) * pages);
  return session->memory->MoveToHost(plan.first, plan.last, wanted);
}

void BenchPoint(BenchModel* model, const RealKeys& keys, const std::string& policy, int64_t batch,
                int64_t history, std::span<const ModelAdapter* const> adapters,
                const Roofs& roofs) {
  const memory::SpanSettings settings = SettingsFor(policy);
  std::vector<BenchSession> sessions;
  int64_t host_pages = 0;
  for (int64_t i = 0; i < batch; ++i) {
    sessions.push_back(model->NewSession(settings));
    if (!adapters.empty()) sessions.back().adapter = adapters[i % adapters.size()];
    model->Fill(&sessions.back(), keys, history, i * 4099);
    // At once: all histories together may be more than the device holds.
    host_pages += MoveOldest(*model, settings, &sessions.back());
    CHECK_EQ(sessions.back().memory->Reserve(history + absl::GetFlag(FLAGS_steps) + 64),
             absl::OkStatus());
  }
  const double device_bytes = DeviceBytes(*model, sessions.front(), host_pages / batch);
  std::vector<double> seconds;
  RetrievalStats stats;
  HostUse before;
  for (int i = -kWarmUpSteps; i < absl::GetFlag(FLAGS_steps); ++i) {
    model->NextQueries(batch);
    const double begin = NowSeconds();
    const RetrievalStats step = model->Decode(sessions);
    if (i == -1) before = UseOf(model->pool());
    if (i < 0) continue;
    seconds.push_back(NowSeconds() - begin);
    stats.candidates_read += step.candidates_read;
    stats.choices += step.choices;
    stats.proven += step.proven;
  }
  const bool retrieves = settings.policy == memory::AttentionPolicy::kSeAttn;
  const double hits = retrieves ? model->HitShare(sessions, absl::GetFlag(FLAGS_hit_steps)) : 0.0;
  const double step = Median(seconds);
  const StepBytes bytes = CountBytes(*model, settings, batch, history);
  const double choices = std::max<double>(1, stats.choices);
  std::printf(
      "bench name=decode model=%s policy=%s batch=%lld history_tokens=%lld adapters=%zu "
      "step_ms=%.4f "
      "p99_ms=%.4f tokens_per_second=%.1f must_move_gb=%.4f index_gb=%.4f roof_ratio=%.3f "
      "candidate_blocks_per_choice=%.1f share_proven=%.4f hit_at_%d=%.4f "
      "distant_host_share=%.3f session_device_mb=%.1f session_host_mb=%.1f\n",
      absl::GetFlag(FLAGS_model).c_str(), policy.c_str(), static_cast<long long>(batch),
      static_cast<long long>(history), adapters.size(), step * 1e3, Quantile(seconds, 0.99) * 1e3,
      batch / step, bytes.must() / 1e9, bytes.index / 1e9,
      roofs.copy_bytes_per_second > 0 ? bytes.must() / roofs.copy_bytes_per_second / step : 0.0,
      stats.candidates_read / choices, stats.proven / choices, settings.span_blocks, hits,
      absl::GetFlag(FLAGS_distant_host_share), device_bytes / 1e6,
      host_pages / batch * model->geometry().layout.page_bytes() / 1e6);
  if (host_pages > 0) {
    const memory::PageLayout& layout = model->geometry().layout;
    PrintHostUse(
        before, UseOf(model->pool()),
        static_cast<double>(stats.candidates_read) * layout.page_bytes() / 2 / layout.kv_heads,
        absl::GetFlag(FLAGS_steps));
  }
  std::fflush(stdout);
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  CHECK(file.good()) << "--text: can not read " << path;
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void Run() {
  auto created = CreateBackend({.device = absl::GetFlag(FLAGS_device),
                                .cuda = {.bf16_state = absl::GetFlag(FLAGS_cuda_bf16_state)}});
  CHECK(created.ok()) << created.status();
  Backend* backend = created->get();
  Roofs roofs;
  if (absl::GetFlag(FLAGS_roofs)) {
    roofs = MeasureRoofs(backend);
    PrintRoofs(*backend, roofs);
  }
  const RealKeys keys =
      ReadRealKeys(backend, absl::GetFlag(FLAGS_demo), ReadFile(absl::GetFlag(FLAGS_text)),
                   absl::GetFlag(FLAGS_key_tokens), kQuerySteps);
  const std::vector<int64_t> batches = Numbers(absl::GetFlag(FLAGS_batches));
  const std::vector<int64_t> histories = Numbers(absl::GetFlag(FLAGS_histories));
  const int64_t most = *std::max_element(batches.begin(), batches.end());
  const int64_t longest = *std::max_element(histories.begin(), histories.end());
  const std::string path = absl::GetFlag(FLAGS_model);
  BenchModel model({.model = path,
                    .max_pages = static_cast<int32_t>(most * (longest / 32 + 64) * 8),
                    .max_host_pages = absl::GetFlag(FLAGS_distant_host_share) > 0
                                          ? static_cast<int32_t>(most * (longest / 32 + 64) * 8)
                                          : 0,
                    .max_promoted_pages = absl::GetFlag(FLAGS_promoted_pages),
                    .max_state_slots = static_cast<int32_t>(2 * most + 2)},
                   backend);
  const std::vector<int64_t> counts = Numbers(absl::GetFlag(FLAGS_adapters));
  std::vector<const ModelAdapter*> adapters;
  while (std::ssize(adapters) < *std::max_element(counts.begin(), counts.end())) {
    adapters.push_back(model.AddRandomAdapter(absl::GetFlag(FLAGS_adapter_rank),
                                              absl::GetFlag(FLAGS_adapt_mamba)));
  }
  for (const int64_t history : histories) {
    for (const int64_t batch : batches) {
      for (const std::string& policy : absl::GetFlag(FLAGS_policies)) {
        for (const int64_t count : counts) {
          BenchPoint(&model, keys, policy, batch, history, std::span(adapters).first(count), roofs);
        }
      }
    }
  }
}

}  // namespace
}  // namespace eidetic::bench

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  eidetic::bench::Run();
  return 0;
}
