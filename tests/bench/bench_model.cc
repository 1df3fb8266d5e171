#include "tests/bench/bench_model.h"

#include <glog/logging.h>

#include <algorithm>

#include "tests/bench/random_adapter.h"

namespace eidetic::bench {
namespace {

constexpr uint64_t kWeightSeed = 1;

std::unique_ptr<HybridModel> LoadModel(const std::filesystem::path& path, Backend* backend) {
  auto model = std::filesystem::is_directory(path)
                   ? HybridModel::Load(path, backend)
                   : HybridModel::LoadRandom(path, kWeightSeed, backend);
  CHECK(model.ok()) << model.status();
  return *std::move(model);
}

}  // namespace

BenchModel::BenchModel(const Options& options, Backend* backend)
    : options_(options), backend_(backend), model_(LoadModel(options.model, &backend_)) {
  pool_ = std::make_unique<memory::MemoryPool>(
      backend->arena(), backend->indexer(), model_->Geometry(options.block_tokens),
      memory::MemoryLimits{.max_pages = options.max_pages,
                           .max_host_pages = options.max_host_pages,
                           .max_promoted_pages = options.max_promoted_pages,
                           .max_state_slots = options.max_state_slots},
      backend->host_arena());
}

const ModelAdapter* BenchModel::AddRandomAdapter(int32_t rank, bool all_projections) {
  const RandomAdapter drawn(model_->description(), rank, all_projections, adapters_.size());
  auto adapter = model_->LoadAdapter(drawn.Weights());
  CHECK(adapter.ok()) << adapter.status();
  return adapters_.emplace_back(*std::move(adapter)).get();
}

BenchSession BenchModel::NewSession(const memory::SpanSettings& settings) {
  BenchSession session;
  session.settings = settings;
  auto memory = memory::SessionMemory::Create(
      pool_.get(), memory::SummaryFor(settings, pool_->geometry().bounding));
  CHECK(memory.ok()) << memory.status();
  session.memory = *std::move(memory);
  CHECK_EQ(session.memory->BeginWork(), absl::OkStatus());
  return session;
}

bool BenchModel::Prefill(std::span<BenchSession> sessions) {
  std::vector<StepChunk> chunks;
  std::vector<memory::Position> ends;
  for (BenchSession& session : sessions) {
    const memory::Chunk chunk =
        session.log.ChunkAt(session.memory->published(), options_.query_chunk_tokens);
    ends.push_back(chunk.end);
    if (chunk.empty()) continue;
    StepChunk& step = chunks.emplace_back();
    step.tokens = session.log.Slice(chunk.begin, chunk.end);
    step.begin = chunk.begin;
    step.kind = chunk.kind;
    step.memory = session.memory.get();
    step.settings = session.settings;
    step.adapter = session.adapter;
  }
  if (chunks.empty()) return false;
  model_->Submit(std::move(chunks));
  CHECK_EQ(model_->Await().status, absl::OkStatus());
  for (size_t i = 0; i < sessions.size(); ++i) {
    if (ends[i] > sessions[i].memory->published()) sessions[i].memory->Publish(ends[i]);
  }
  return true;
}

void BenchModel::Append(BenchSession* session, std::span<const memory::TokenId> tokens) {
  session->log.Append(tokens);
  CHECK_EQ(session->memory->Reserve(session->log.size() + 1), absl::OkStatus());
  while (Prefill({session, 1})) {
  }
}

void BenchModel::AppendRows(BenchSession* session, const void* rows, int64_t begin, int64_t count) {
  const memory::MemoryGeometry& geometry = pool_->geometry();
  const memory::SummaryKind summary = session->memory->summary();
  for (int32_t layer = 0; layer < geometry.attention_layers; ++layer) {
    const AttentionChunk chunk{
        .row_count = count,
        .begin = begin,
        .pages = session->memory->pages(layer),
        .tiles = summary == memory::SummaryKind::kNone ? nullptr : session->memory->tiles(layer),
        .summary = summary};
    backend_.AppendKv({.k = rows,
                       .v = rows,
                       .kv_stride = int64_t{geometry.layout.kv_heads} * geometry.layout.head_dim,
                       .layout = geometry.layout,
                       .chunks = {&chunk, 1}});
    CHECK_EQ(backend_.Synchronize(), absl::OkStatus());
  }
}

void BenchModel::Fill(BenchSession* session, const RealKeys& keys, int64_t tokens, int64_t shift) {
  CHECK_EQ(session->log.size(), 0);
  const memory::PageLayout& layout = pool_->geometry().layout;
  const int64_t width = int64_t{layout.kv_heads} * layout.head_dim;
  const int64_t chunk = options_.query_chunk_tokens;
  CHECK_EQ(session->memory->Reserve(tokens + 1), absl::OkStatus());
  std::vector<memory::Bf16> rows(chunk * width);
  const size_t bytes = rows.size() * sizeof(memory::Bf16);
  auto buffer = backend_.arena()->Allocate(bytes);
  CHECK(buffer.ok()) << buffer.status();
  for (int64_t begin = 0; begin < tokens; begin += chunk) {
    const int64_t count = std::min(chunk, tokens - begin);
    for (int64_t r = 0; r < count; ++r) {
      keys.KeyRow(shift + begin + r, layout.kv_heads, layout.head_dim, rows.data() + r * width);
    }
    backend_.arena()->CopyFromHost(*buffer, rows.data(), bytes);
    AppendRows(session, *buffer, begin, count);
  }
  backend_.arena()->Free(*buffer, bytes);
  session->log.Append(std::vector<memory::TokenId>(tokens, 100));
  session->memory->Publish(tokens);
  backend_.Replay(&keys);
}

void BenchModel::NextQueries(int64_t rows) {
  const AttentionDescription& attention = model_->description().attention;
  backend_.NextStep(rows, attention.q_heads, attention.head_dim);
}

RetrievalStats BenchModel::Decode(std::span<BenchSession* const> sessions) {
  static const SamplingParams kGreedy = {.temperature = 0.0f};
  std::vector<StepChunk> chunks;
  for (BenchSession* session : sessions) {
    const memory::Position begin = session->log.size();
    session->log.AppendGenerated(session->next);
    CHECK_EQ(session->memory->Reserve(begin + 1), absl::OkStatus());
    StepChunk& step = chunks.emplace_back();
    step.tokens = session->log.Slice(begin, begin + 1);
    step.begin = begin;
    step.kind = memory::TokenKind::kGenerated;
    step.memory = session->memory.get();
    step.settings = session->settings;
    step.adapter = session->adapter;
    step.output = ChunkOutput::kSample;
    step.sample = {.params = &kGreedy, .position = begin + 1};
  }
  model_->Submit(std::move(chunks));
  const StepResult result = model_->Await();
  CHECK_EQ(result.status, absl::OkStatus());
  pool_->BetweenSteps(result.choices);
  for (size_t i = 0; i < sessions.size(); ++i) {
    sessions[i]->memory->Publish(sessions[i]->log.size());
    sessions[i]->next = result.chunks[i].sampled.token;
  }
  return result.retrieval;
}

double BenchModel::HitShare(std::span<BenchSession> sessions, int steps) {
  ChoiceHits hits(backend_.backend());
  backend_.CountHits(&hits);
  for (int i = 0; i < steps; ++i) {
    NextQueries(std::ssize(sessions));
    Decode(sessions);
  }
  backend_.CountHits(nullptr);
  return hits.share();
}

RetrievalStats BenchModel::Decode(std::span<BenchSession> sessions) {
  std::vector<BenchSession*> pointers;
  for (BenchSession& session : sessions) pointers.push_back(&session);
  return Decode(std::span<BenchSession* const>(pointers));
}

}  // namespace eidetic::bench
