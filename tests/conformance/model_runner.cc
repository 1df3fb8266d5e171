#include "tests/conformance/model_runner.h"

#include <glog/logging.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "engine/backend/create_backend.h"

namespace eidetic {

namespace {

std::unique_ptr<Backend> MakeBackend(const ModelRunner::Options& options) {
  auto backend = CreateBackend({.device = options.device,
                                .cpu = {.threads = options.threads},
                                .cuda = {.float32 = options.float32,
                                         .batch_invariant = options.batch_invariant,
                                         .bf16_state = options.bf16_state}});
  CHECK(backend.ok()) << backend.status();
  return *std::move(backend);
}

}  // namespace

ModelRunner::ModelRunner(const std::filesystem::path& folder, const Options& options)
    : options_(options), computing_(MakeBackend(options)), backend_(computing_.get()) {
  absl::StatusOr<std::unique_ptr<HybridModel>> model = HybridModel::Load(folder, &backend_);
  CHECK(model.ok()) << model.status();
  model_ = *std::move(model);
  pool_ = std::make_unique<memory::MemoryPool>(
      backend_.arena(), backend_.indexer(), model_->Geometry(options.block_tokens),
      memory::MemoryLimits{.max_pages = options.max_pages,
                           .max_host_pages = options.max_host_pages,
                           .max_promoted_pages = options.max_promoted_pages,
                           .max_state_slots = 64},
      backend_.host_arena() == nullptr ? &host_arena_ : backend_.host_arena());
}

std::shared_ptr<const ModelAdapter> ModelRunner::LoadAdapter(const std::filesystem::path& folder) {
  const auto weights = AdapterWeights::Open(folder);
  CHECK(weights.ok()) << weights.status();
  auto adapter = model_->LoadAdapter(**weights);
  CHECK(adapter.ok()) << adapter.status();
  return *std::move(adapter);
}

TestSession ModelRunner::NewSession(const memory::SpanSettings& settings) {
  TestSession session;
  session.settings = settings;
  absl::StatusOr<std::unique_ptr<memory::SessionMemory>> memory = memory::SessionMemory::Create(
      pool_.get(), memory::SummaryFor(settings, pool_->geometry().bounding));
  CHECK(memory.ok()) << memory.status();
  session.memory = *std::move(memory);
  CHECK_EQ(session.memory->BeginWork(), absl::OkStatus());
  return session;
}

TestSession ModelRunner::Fork(const TestSession& parent) { return Fork(parent, parent.settings); }

TestSession ModelRunner::Fork(const TestSession& parent, const memory::SpanSettings& settings) {
  TestSession child;
  child.settings = settings;
  child.log = parent.log;
  child.adapter = parent.adapter;
  child.logits = parent.logits;
  absl::StatusOr<std::unique_ptr<memory::SessionMemory>> memory =
      parent.memory->Fork(memory::SummaryFor(settings, pool_->geometry().bounding));
  CHECK(memory.ok()) << memory.status();
  child.memory = *std::move(memory);
  CHECK_EQ(child.memory->BeginWork(), absl::OkStatus());
  return child;
}

RetrievalStats ModelRunner::Step(std::span<TestSession* const> sessions) {
  std::vector<StepChunk> chunks;
  std::vector<TestSession*> stepped;
  std::vector<memory::Position> ends;
  for (TestSession* session : sessions) {
    const memory::Chunk chunk =
        session->log.ChunkAt(session->memory->published(), options_.query_chunk_tokens);
    if (chunk.empty()) continue;
    CHECK_EQ(session->memory->Reserve(chunk.end), absl::OkStatus());
    StepChunk step;
    step.tokens = session->log.Slice(chunk.begin, chunk.end);
    step.begin = chunk.begin;
    step.kind = chunk.kind;
    step.memory = session->memory.get();
    step.settings = session->settings;
    step.adapter = session->adapter.get();
    step.output = ChunkOutput::kSample;
    static const SamplingParams kGreedy = {.temperature = 0.0f};
    step.sample = {.params = &kGreedy, .position = chunk.end};
    chunks.push_back(step);
    stepped.push_back(session);
    ends.push_back(chunk.end);
  }
  model_->Submit(std::move(chunks));
  const StepResult result = model_->Await();
  std::vector<std::vector<float>> logits = backend_.TakeLogits();
  CHECK_EQ(logits.size(), stepped.size());
  for (size_t i = 0; i < stepped.size(); ++i) {
    if (stepped[i]->memory->missed()) continue;
    stepped[i]->memory->Publish(ends[i]);
    stepped[i]->logits = std::move(logits[i]);
  }
  pool_->BetweenSteps(result.choices);
  return result.retrieval;
}

void ModelRunner::Drain(TestSession* session) {
  while (session->memory->published() < session->log.size()) Step({&session, 1});
}

std::vector<std::vector<float>> ModelRunner::Append(TestSession* session,
                                                    std::span<const memory::TokenId> tokens) {
  session->log.Append(tokens);
  std::vector<std::vector<float>> all;
  while (session->memory->published() < session->log.size()) {
    const memory::Chunk chunk =
        session->log.ChunkAt(session->memory->published(), options_.query_chunk_tokens);
    CHECK_EQ(session->memory->Reserve(chunk.end), absl::OkStatus());
    const std::span<const memory::TokenId> ids = session->log.Slice(chunk.begin, chunk.end);
    // Any target makes the row's logits appear; the chunk's own tokens will do.
    StepChunk step;
    step.tokens = ids;
    step.begin = chunk.begin;
    step.kind = chunk.kind;
    step.memory = session->memory.get();
    step.settings = session->settings;
    step.adapter = session->adapter.get();
    step.output = ChunkOutput::kScore;
    step.targets = ids;
    model_->Submit({step});
    model_->Await();
    session->memory->Publish(chunk.end);
    for (std::vector<float>& row : backend_.TakeLogits()) all.push_back(std::move(row));
  }
  session->logits = all.back();
  return all;
}

std::vector<memory::TokenId> ModelRunner::Greedy(TestSession* session, int32_t count,
                                                 std::vector<std::vector<float>>* logits) {
  std::vector<memory::TokenId> drawn;
  for (int32_t i = 0; i < count; ++i) {
    const std::vector<float>& row = session->logits;
    if (logits != nullptr) logits->push_back(row);
    drawn.push_back(
        static_cast<memory::TokenId>(std::max_element(row.begin(), row.end()) - row.begin()));
    session->log.AppendGenerated(drawn.back());
    Drain(session);
  }
  return drawn;
}

memory::SpanSettings FullAttention() {
  memory::SpanSettings settings;
  settings.policy = memory::AttentionPolicy::kFull;
  return settings;
}

double RelativeError(std::span<const float> a, std::span<const float> b) {
  CHECK_EQ(a.size(), b.size());
  double worst = 0, norm = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double difference = std::abs(static_cast<double>(a[i]) - b[i]);
    // A NaN must never pass for agreement.
    if (!(difference <= worst)) worst = difference;
    norm = std::max(norm, std::abs(static_cast<double>(b[i])));
  }
  return worst / norm;
}

}  // namespace eidetic
