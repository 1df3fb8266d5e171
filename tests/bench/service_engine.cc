#include "tests/bench/service_engine.h"

#include <glog/logging.h>
#include <time.h>

#include <algorithm>
#include <utility>

#include "engine/backend/create_backend.h"
#include "engine/model/model_description.h"
#include "tests/bench/paced_backend.h"
#include "tests/bench/some_tokens.h"

namespace eidetic::bench {
namespace {

constexpr uint64_t kWeightSeed = 1;

// Pages, state slots and places for all streams and all prefills at once. Twice: a round may
// begin while the last one's sessions are let go.
EngineLimits LimitsFor(const ServiceOptions& options) {
  const auto description = std::filesystem::is_directory(options.model)
                               ? ParseModelConfig(options.model)
                               : ParseModelConfigFile(options.model);
  CHECK(description.ok()) << description.status();
  EngineLimits limits = options.limits;
  const auto blocks = [&](int64_t tokens) { return tokens / limits.block_tokens + 2; };
  const int64_t all_blocks = options.streams * blocks(options.prompt_tokens + options.tokens) +
                             options.prefill_sessions * blocks(options.prefill_tokens);
  const int32_t sequences = options.streams + options.prefill_sessions;
  limits.memory.max_pages =
      static_cast<int32_t>(2 * all_blocks * std::max<int64_t>(1, description->attention_layers()));
  limits.memory.max_state_slots = 4 * sequences;
  limits.plan.max_batch_sequences =
      options.max_batch_sequences > 0 ? options.max_batch_sequences : sequences;
  limits.max_sequences = limits.max_tenant_sequences = 2 * sequences;
  limits.max_generated_tokens = std::max(limits.max_generated_tokens, options.tokens);
  return limits;
}

std::unique_ptr<Backend> MakeBackend(const ServiceOptions& options) {
  auto created = CreateBackend({.device = options.device});
  CHECK(created.ok()) << created.status();
  return *std::move(created);
}

std::unique_ptr<Backend> MakePaced(const ServiceOptions& options, Backend* storage) {
  if (options.paced_step == absl::ZeroDuration()) return nullptr;
  return std::make_unique<PacedBackend>(storage, options.paced_step);
}

double ThreadSeconds() {
  timespec time;
  CHECK_EQ(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time), 0);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

std::unique_ptr<Engine> MakeEngine(const ServiceOptions& options, Backend* backend,
                                   EngineObserver* observer) {
  const Engine::Options engine = {
      .limits = LimitsFor(options), .observer = observer, .data_folder = options.data_folder};
  auto created =
      std::filesystem::is_directory(options.model)
          ? Engine::Create(options.model, backend, engine)
          : Engine::CreateRandom(options.model, kWeightSeed, options.tokenizer, backend, engine);
  CHECK(created.ok()) << created.status();
  return *std::move(created);
}

}  // namespace

void SummingMetrics::OnStep(const Step& step) {
  Metrics::OnStep(step);
  absl::MutexLock lock(&mutex_);
  ++totals_.steps;
  totals_.prefill_tokens += step.prefill_tokens;
  totals_.seconds += step.seconds;
}

void SummingMetrics::OnStepApplied() {
  Metrics::OnStepApplied();
  absl::MutexLock lock(&mutex_);
  totals_.loop_seconds = ThreadSeconds();
}

void SummingMetrics::OnCommit(double seconds) {
  Metrics::OnCommit(seconds);
  absl::MutexLock lock(&mutex_);
  totals_.journal_seconds = ThreadSeconds();
  commits_.push_back(seconds);
}

std::vector<double> SummingMetrics::TakeCommits() {
  absl::MutexLock lock(&mutex_);
  return std::exchange(commits_, {});
}

StepTotals SummingMetrics::totals() const {
  absl::MutexLock lock(&mutex_);
  return totals_;
}

ServiceEngine::ServiceEngine(const ServiceOptions& options)
    : backend_(MakeBackend(options)),
      paced_(MakePaced(options, backend_.get())),
      metrics_(std::make_unique<SummingMetrics>("models/bench", backend().name())),
      engine_(MakeEngine(options, paced_ ? paced_.get() : backend_.get(), metrics_.get())) {}

memory::SpanSettings ServiceEngine::settings() const {
  return memory::DefaultSpanSettings(
      engine_->model().Geometry(engine_->limits().block_tokens).bounding);
}

GenerateSpec ServiceEngine::Spec(const ServiceOptions& options, int64_t stream) const {
  GenerateSpec spec;
  spec.tenant = "bench";
  spec.settings = settings();
  spec.prompt = SomeTokens(options.prompt_tokens, stream);
  spec.sampling.temperature = options.temperature;
  spec.seed = stream;
  spec.max_tokens = options.tokens;
  spec.ignore_end_tokens = true;
  return spec;
}

}  // namespace eidetic::bench
