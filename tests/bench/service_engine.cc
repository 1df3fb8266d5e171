#include "tests/bench/service_engine.h"

#include <glog/logging.h>

#include <algorithm>
#include <utility>

#include "engine/backend/create_backend.h"
#include "engine/model/model_description.h"
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

StepTotals SummingMetrics::totals() const {
  absl::MutexLock lock(&mutex_);
  return totals_;
}

ServiceEngine::ServiceEngine(const ServiceOptions& options)
    : backend_(MakeBackend(options)),
      metrics_(std::make_unique<SummingMetrics>("models/bench", backend_->name())),
      engine_(MakeEngine(options, backend_.get(), metrics_.get())) {}

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
