#include "engine/backend/attention_scene.h"

#include <algorithm>
#include <cmath>

#include "memory/span_settings.h"

namespace eidetic {

using memory::kTileBlocks;

float AttentionCase::scale() const { return 1.0f / std::sqrt(static_cast<float>(head_dim)); }

int64_t AttentionCase::window_begin() const {
  return std::max<int64_t>(0, context - window) / block_size * block_size;
}

Scene::Scene(const AttentionCase& c, const SceneInputs& in, uint64_t round, OpRun& run)
    : c_(c),
      in_(in),
      run_(run),
      layout_{.block_size = c.block_size,
              .kv_heads = c.kv_heads,
              .head_dim = c.head_dim,
              .element_bytes = run->kv_element_bytes()},
      summary_(memory::SummaryFor(c.rule, run->bounding())),
      q_stride_(c.query_width()) {
  const int64_t blocks = (c.tokens() + c.block_size - 1) / c.block_size;
  for (int64_t b = 0; b < blocks; ++b) pages_.push_back(run.Bytes(layout_.page_bytes()));
  std::rotate(pages_.begin(), pages_.begin() + static_cast<int64_t>(round) % blocks, pages_.end());
  page_table_ = run.Addresses(pages_);
  if (summary_ != memory::SummaryKind::kNone) {
    std::vector<void*> tiles;
    for (int64_t b = 0; b < blocks; b += kTileBlocks) {
      tiles.push_back(run.Bytes(layout_.tile_bytes(summary_)));
    }
    tile_table_ = run.Addresses(tiles);
  }
  q_ = run.Activations(in.queries);
  if (c.context > 0) Append(0, c.context);
  Append(c.context, c.tokens());
}

std::vector<float> Scene::Pages() {
  std::vector<float> all;
  for (void* page : pages_) {
    for (float value : run_.ReadFloats(page, layout_.page_bytes() / 4)) all.push_back(value);
  }
  return all;
}

void Scene::SetLate(const std::set<int32_t>& blocks) {
  std::vector<void*> pages = pages_;
  for (const int32_t block : blocks) pages.at(block) = nullptr;
  page_table_ = run_.Addresses(pages);
}

std::vector<int32_t> Scene::Retrieve(RetrievalStats* stats, std::vector<LateBlock>* late) {
  blocks_ = static_cast<int32_t*>(run_.Zeros(c_.kv_heads * c_.span));
  const AttentionChunk chunk = Chunk(0);
  const RetrievalRequest request = ToRetrieve(0);
  run_->RetrieveSpan({.q = q_,
                      .q_stride = q_stride_,
                      .q_heads = c_.q_heads,
                      .layout = layout_,
                      .chunks = {&chunk, 1},
                      .requests = {&request, 1},
                      .blocks = blocks_,
                      .max_span = c_.span,
                      .stats = stats,
                      .late = late});
  run_.Synchronize();
  return run_.ReadInts(blocks_, c_.kv_heads * c_.span);
}

std::vector<float> Scene::Attend() {
  const AttentionChunk chunk = Chunk(0);
  void* mass = run_.Zeros(c_.kv_heads * c_.span + 1);
  void* out = run_.ActivationZeros(c_.rows * c_.query_width());
  const SpanAttentionRequest request = ToAttend(0, 0, static_cast<float*>(mass));
  run_->SpanAttention({.q = q_,
                       .q_stride = q_stride_,
                       .q_heads = c_.q_heads,
                       .layout = layout_,
                       .rotary_dim = c_.rotary_dim,
                       .rope_theta = 10000.0f,
                       .scale = c_.scale(),
                       .chunks = {&chunk, 1},
                       .requests = {&request, 1},
                       .blocks = blocks_,
                       .max_span = c_.span,
                       .out = out});
  std::vector<float> result = run_.ReadActivations(out, c_.rows * c_.query_width());
  for (float share : run_.ReadFloats(mass, c_.kv_heads * c_.span)) result.push_back(share);
  return result;
}

AttentionChunk Scene::Chunk(int64_t row_begin) const {
  AttentionChunk chunk = ChunkOf(c_.context, c_.tokens());
  chunk.row_begin = row_begin;
  return chunk;
}

RetrievalRequest Scene::ToRetrieve(int32_t chunk) const {
  return {.chunk = chunk,
          .first = c_.sinks,
          .last = c_.last_distant(),
          .rule = c_.rule,
          .span_blocks = c_.span,
          .first_candidates = c_.first_candidates,
          .candidate_budget = c_.candidate_budget,
          .scan_channels = c_.scan_channels};
}

SpanAttentionRequest Scene::ToAttend(int32_t chunk, int32_t span_row, float* mass) const {
  return {.chunk = chunk,
          .sink_blocks = c_.sinks,
          .span_row = c_.span > 0 ? span_row : -1,
          .span_count = c_.span,
          .window_begin = c_.window_begin(),
          .remap = c_.remap,
          .mass = mass};
}

AttentionChunk Scene::ChunkOf(int64_t begin, int64_t end) const {
  return {.row_begin = 0,
          .row_count = end - begin,
          .begin = begin,
          .pages = page_table_,
          .tiles = tile_table_,
          .summary = summary_};
}

// Positions [begin, end), each row key | value.
void Scene::Append(int64_t begin, int64_t end) {
  const int64_t width = c_.kv_width();
  std::vector<float> rows;
  for (int64_t t = begin; t < end; ++t) {
    rows.insert(rows.end(), in_.keys.begin() + t * width, in_.keys.begin() + (t + 1) * width);
    rows.insert(rows.end(), in_.values.begin() + t * width, in_.values.begin() + (t + 1) * width);
  }
  void* both = run_.Activations(rows);
  const AttentionChunk chunk = ChunkOf(begin, end);
  run_->AppendKv({.k = both,
                  .v = run_.After(both, width),
                  .kv_stride = 2 * width,
                  .layout = layout_,
                  .chunks = {&chunk, 1}});
  run_.Synchronize();  // `chunk` goes
}

}  // namespace eidetic
