#include "engine/fake_model.h"

#include <glog/logging.h>

#include <cstring>
#include <functional>
#include <limits>
#include <utility>

#include "memory/span_retrieval.h"

namespace eidetic {
namespace {

// What a slot holds.
struct State {
  uint64_t hash;
  int64_t tokens;
};

uint64_t Mix(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * 0x9E3779B97F4A7C15u;
  return hash ^ (hash >> 29);
}

uint64_t AdapterHash(const ModelAdapter* adapter) {
  return adapter == nullptr ? 0 : std::hash<std::string>()(adapter->content_hash);
}

uint64_t SettingsHash(const memory::SpanSettings& settings) {
  uint64_t hash = Mix(static_cast<uint64_t>(settings.policy), settings.window_tokens);
  return Mix(hash, settings.span_blocks);
}

// What tells a chunk that begins at `begin`, never 0.
uint64_t BorderOf(memory::Position begin, const memory::SpanSettings& settings,
                  const ModelAdapter* adapter) {
  return Mix(begin + (uint64_t{1} << 40), SettingsHash(settings) ^ AdapterHash(adapter)) | 1;
}

float LogprobOf(uint64_t hash, memory::TokenId target) {
  return -static_cast<float>(Mix(hash, target) % 1000) / 100;
}

// What a token leaves in its page of each layer: the whole of its place there.
struct Row {
  uint64_t hash;  // of the past, this token included
  memory::TokenId token;
  int32_t layer;
  uint64_t border;  // BorderOf the chunk that begins here, or 0
  uint64_t mark;
};

Row& RowAt(const memory::SessionMemory& memory, int32_t layer, memory::Position position) {
  const memory::PageLayout& layout = memory.geometry().layout;
  CHECK_EQ(layout.page_bytes(), sizeof(Row) * layout.block_size);
  return static_cast<Row*>(
      memory.pages(layer)[position / layout.block_size])[position % layout.block_size];
}

void Remember(const memory::SessionMemory& memory, memory::Position position, const Row& row) {
  for (int32_t layer = 0; layer < memory.geometry().attention_layers; ++layer) {
    RowAt(memory, layer, position) = {row.hash, row.token, layer, row.border, Mix(row.hash, layer)};
  }
}

// Every row of the past is its own session's.
void CheckPages(const memory::SessionMemory& memory, uint64_t past) {
  for (int32_t layer = 0; layer < memory.geometry().attention_layers; ++layer) {
    uint64_t hash = 0;
    bool gap = false;  // before this row: late pages
    for (memory::Position p = 0; p < memory.published(); ++p) {
      if (memory.pages(layer)[p / memory.geometry().layout.block_size] == nullptr) {
        gap = true;
        continue;
      }
      const Row& row = RowAt(memory, layer, p);
      if (row.border != 0) hash = Mix(hash, row.border);
      hash = Mix(hash, row.token);
      if (std::exchange(gap, false)) hash = row.hash;
      CHECK(row.hash == hash && row.layer == layer && row.mark == Mix(hash, layer))
          << "foreign bytes in layer " << layer << " at position " << p;
    }
    CHECK_EQ(hash, past) << "pages and state are of two pasts, in layer " << layer;
  }
}

// Elements of block `block` in a tile; the summary's kind has vectors.
template <typename Visit>
void ForEachSummary(const memory::SessionMemory& memory, memory::BlockIndex block, Visit visit) {
  const memory::PageLayout& layout = memory.geometry().layout;
  const int64_t end = layout.SummaryOffset(layout.kv_heads, 0, SummaryVectors(memory.summary()));
  for (int64_t i = block % memory::kTileBlocks; i < end; i += memory::kTileBlocks) visit(i);
}

void CheckIndex(const memory::SessionMemory& memory) {
  const memory::PageLayout& layout = memory.geometry().layout;
  std::vector<memory::Bf16> tile(layout.tile_bytes(memory.summary()) / sizeof(memory::Bf16));
  for (int32_t layer = 0; layer < memory.geometry().attention_layers; ++layer) {
    for (memory::BlockIndex b = 0; b < memory.published() / layout.block_size; ++b) {
      if (memory.pages(layer)[b] == nullptr) continue;
      SummarizeBlock(layout, memory.summary(), memory.pages(layer)[b], b, tile.data());
      const auto* held =
          static_cast<const memory::Bf16*>(memory.tiles(layer)[b / memory::kTileBlocks]);
      ForEachSummary(memory, b, [&](int64_t i) {
        CHECK_EQ(std::memcmp(&held[i], &tile[i], sizeof(tile[i])), 0)
            << "foreign bytes in the index of layer " << layer << ", block " << b;
      });
    }
  }
}

// Wants some late pages, which of them depends on where the chunk begins. Whether there were any.
bool WantLatePages(const StepChunk& chunk) {
  if (!chunk.memory->late()) return false;
  const memory::MemoryGeometry& geometry = chunk.memory->geometry();
  for (int32_t layer = 0; layer < geometry.attention_layers; ++layer) {
    void* const* pages = chunk.memory->pages(layer);
    for (memory::BlockIndex b = 0; b < chunk.begin / geometry.layout.block_size; ++b) {
      if (pages[b] == nullptr && (b + chunk.begin) % 3 == 0) chunk.memory->Want(layer, b);
    }
  }
  return chunk.memory->missed();
}

// Summaries of the blocks that [begin, end) has completed.
void Summarize(const memory::SessionMemory& memory, memory::Position begin, memory::Position end) {
  const memory::PageLayout& layout = memory.geometry().layout;
  for (int32_t layer = 0; layer < memory.geometry().attention_layers; ++layer) {
    for (auto b = static_cast<memory::BlockIndex>(begin / layout.block_size);
         b < end / layout.block_size; ++b) {
      SummarizeBlock(layout, memory.summary(), memory.pages(layer)[b], b,
                     memory.tiles(layer)[b / memory::kTileBlocks]);
    }
  }
}

// The span of every layer, where it says which pages are hot.
void AddChoices(const StepChunk& chunk, const std::vector<SpanUse>& span,
                std::vector<memory::ChosenBlocks>* choices) {
  if (chunk.kind != memory::TokenKind::kGenerated || !chunk.memory->has_host_pages()) return;
  for (int32_t layer = 0; layer < chunk.memory->geometry().attention_layers; ++layer) {
    memory::ChosenBlocks& choice = choices->emplace_back();
    choice.table = chunk.memory->page_table(layer);
    for (const SpanUse& use : span) choice.blocks.push_back(use.block);
  }
}

// The first span_blocks distant blocks, with falling mass.
std::vector<SpanUse> Span(const StepChunk& chunk, int32_t block_size) {
  const memory::SpanSettings& settings = chunk.settings;
  const bool retrieves =
      settings.policy == memory::AttentionPolicy::kSeAttn &&
      (settings.retrieve_in_prefill || chunk.kind == memory::TokenKind::kGenerated);
  std::vector<SpanUse> span;
  const int64_t distant_end = (chunk.begin - settings.window_tokens) / block_size;
  for (int64_t block = settings.sink_blocks; retrieves && block < distant_end; ++block) {
    if (static_cast<int32_t>(span.size()) == settings.span_blocks) break;
    span.push_back({.block = static_cast<memory::BlockIndex>(block),
                    .mass = 0.1 / (1.0 + static_cast<double>(block))});
  }
  return span;
}

}  // namespace

FakeModel::FakeModel(int32_t vocab_size, Draw draw)
    : draw_(draw ? std::move(draw) : [](uint64_t hash, memory::Position position) {
        return static_cast<memory::TokenId>('a' + Mix(hash, position) % 26);
      }) {
  description_.vocab_size = vocab_size;
  description_.trained_context = 4096;
}

memory::MemoryGeometry FakeModel::Geometry(int32_t block_size) const {
  block_size_ = block_size;
  return {.layout = {.block_size = block_size, .kv_heads = 1, .head_dim = 4},
          .attention_layers = 2,
          .state_bytes = sizeof(State)};
}

absl::StatusOr<std::shared_ptr<const ModelAdapter>> FakeModel::LoadAdapter(
    const AdapterWeights& weights) {
  auto adapter = std::make_shared<ModelAdapter>();
  adapter->content_hash = weights.content_hash();
  return adapter;
}

void FakeModel::Submit(std::vector<StepChunk> chunks) {
  CHECK(submitted_.empty()) << "one step at a time";
  CHECK(!chunks.empty());
  submitted_ = std::move(chunks);
}

ChunkResult FakeModel::Compute(const StepChunk& chunk) const {
  CHECK(chunk.memory->working());
  State state = *static_cast<const State*>(chunk.memory->state());
  CHECK_EQ(state.tokens, chunk.begin) << "a chunk is out of order";
  CHECK_EQ(chunk.memory->published(), chunk.begin);
  CHECK(chunk.memory->summary() ==
        memory::SummaryFor(chunk.settings, chunk.memory->geometry().bounding));
  CHECK_LE(chunk.begin + static_cast<int64_t>(chunk.tokens.size()), chunk.memory->reserved());
  if (!chunk.tokens.empty() && WantLatePages(chunk)) return {};
  CheckPages(*chunk.memory, state.hash);
  const bool indexed = SummaryVectors(chunk.memory->summary()) > 0;
  if (indexed) CheckIndex(*chunk.memory);
  ChunkResult result;
  const auto score = [&](memory::TokenId target) {
    if (target < 0) return;
    result.scored.push_back({.token = target, .logprob = LogprobOf(state.hash, target), .top = {}});
  };
  if (!chunk.tokens.empty()) {
    state.hash = Mix(state.hash, BorderOf(chunk.begin, chunk.settings, chunk.adapter));
  } else if (chunk.output == ChunkOutput::kScore) {
    CHECK_EQ(chunk.targets.size(), 1u);
    score(chunk.targets[0]);
  }
  for (size_t row = 0; row < chunk.tokens.size(); ++row) {
    CHECK_LT(chunk.tokens[row], description_.vocab_size);
    state.hash = Mix(state.hash, chunk.tokens[row]);
    Remember(*chunk.memory, state.tokens,
             {state.hash, chunk.tokens[row], 0,
              row == 0 ? BorderOf(chunk.begin, chunk.settings, chunk.adapter) : 0, 0});
    ++state.tokens;
    if (chunk.output == ChunkOutput::kScore) score(chunk.targets[row]);
  }
  if (indexed) Summarize(*chunk.memory, chunk.begin, state.tokens);
  *static_cast<State*>(chunk.memory->next_state()) = state;
  if (chunk.output == ChunkOutput::kSample) {
    CHECK_EQ(chunk.sample.position, state.tokens);
    result.sampled.token = draw_(Mix(state.hash, chunk.sample.params->seed), state.tokens);
    result.sampled.logprob = -1;
  }
  if (chunk.want_span) result.span = Span(chunk, block_size_);
  return result;
}

float FakeModel::LogprobAfter(const memory::TokenLog& past, int32_t query_chunk_tokens,
                              const memory::SpanSettings& settings, memory::TokenId token) {
  uint64_t hash = 0;
  for (memory::Chunk chunk = past.ChunkAt(0, query_chunk_tokens); !chunk.empty();
       chunk = past.ChunkAt(chunk.end, query_chunk_tokens)) {
    hash = Mix(hash, BorderOf(chunk.begin, settings, nullptr));
    for (memory::TokenId each : past.Slice(chunk.begin, chunk.end)) hash = Mix(hash, each);
  }
  return LogprobOf(hash, token);
}

void FakeModel::WaitForPermit() {
  absl::MutexLock lock(&mutex_);
  const auto allowed = [this]()
                           ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !held_ || permits_ > 0; };
  mutex_.Await(absl::Condition(&allowed));
  if (held_) --permits_;
}

StepResult FakeModel::Await() {
  CHECK(!submitted_.empty());
  WaitForPermit();
  StepResult result;
  std::vector<SeenChunk> seen;
  for (const StepChunk& chunk : submitted_) {
    result.chunks.push_back(Compute(chunk));
    if (chunk.memory->missed()) continue;
    AddChoices(chunk, result.chunks.back().span, &result.choices);
    seen.push_back({.begin = chunk.begin,
                    .tokens = static_cast<int64_t>(chunk.tokens.size()),
                    .kind = chunk.kind,
                    .output = chunk.output});
  }
  submitted_.clear();
  absl::MutexLock lock(&mutex_);
  steps_.push_back(std::move(seen));
  if (broken_) {
    for (ChunkResult& chunk : result.chunks) {
      chunk.sampled = {};
      chunk.sampled.logprob = -std::numeric_limits<float>::infinity();
    }
  }
  return result;
}

void FakeModel::Hold() {
  absl::MutexLock lock(&mutex_);
  held_ = true;
  permits_ = 0;
}

void FakeModel::Allow(int64_t steps) {
  absl::MutexLock lock(&mutex_);
  permits_ += steps;
}

void FakeModel::Release() {
  absl::MutexLock lock(&mutex_);
  held_ = false;
}

void FakeModel::Break() {
  absl::MutexLock lock(&mutex_);
  broken_ = true;
}

std::vector<std::vector<FakeModel::SeenChunk>> FakeModel::steps() const {
  absl::MutexLock lock(&mutex_);
  return steps_;
}

}  // namespace eidetic
