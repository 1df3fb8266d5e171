#include "engine/layers/output_head.h"

#include <algorithm>

namespace eidetic {

OutputHead::OutputHead(const ModelDescription& description, const Matrix* table,
                       WeightLoader* loader, memory::Arena* arena)
    : description_(description),
      projection_(table),
      gathered_(arena),
      normed_(arena),
      logits_(arena) {
  final_norm_ =
      loader->LoadVector(description.names.final_norm, ".weight", 0, {description.d_model});
  if (!description.tied_embeddings) {
    lm_head_ = loader->LoadMatrix(description.names.lm_head, 0, description.vocab_size,
                                  description.d_model);
    projection_ = lm_head_.get();
  }
}

void OutputHead::Run(Backend* backend, std::span<const Row> rows, ChunkOutput output) {
  for (size_t begin = 0; begin < rows.size(); begin += kMaxLogitRows) {
    const auto part = rows.subspan(begin, std::min<size_t>(kMaxLogitRows, rows.size() - begin));
    Tile& tile = tiles_.emplace_back();
    tile.rows.assign(part.begin(), part.end());
    tile.output = output;
    RunTile(backend, &tile);
  }
}

void OutputHead::RunTile(Backend* backend, Tile* tile) {
  const int64_t count = static_cast<int64_t>(tile->rows.size());
  const int64_t dim = description_.d_model;
  auto* gathered = static_cast<float*>(gathered_.Ensure(count * dim * sizeof(float)));
  auto* logits =
      static_cast<float*>(logits_.Ensure(count * description_.vocab_size * sizeof(float)));
  for (int64_t r = 0; r < count; ++r) {
    tile->from.push_back(tile->rows[r].hidden);
    tile->to.push_back(gathered + r * dim);
    tile->samples.push_back(tile->rows[r].chunk->sample);
    tile->targets.push_back(tile->rows[r].target);
    tile->adapters.Add(1, tile->rows[r].chunk->adapter);
  }
  tile->out.resize(count);
  backend->CopyRows({.from = tile->from, .to = tile->to, .row_bytes = dim * sizeof(float)});
  const MatMulParams product = {
      .x = gathered,
      .x_number = Number::kFloat32,
      .norm = {.weight = final_norm_->data(), .eps = description_.norm_eps},
      .w = projection_,
      .out = logits,
      .out_number = Number::kFloat32,
      .rows = count,
      .multiplier = description_.multipliers.logits};
  const auto norms =
      tile->adapters.Norms([](const ModelAdapter& own) { return own.final_norm.get(); });
  MultiplyAdapted(backend, product, norms, {}, &normed_);
  if (tile->output == ChunkOutput::kSample) {
    backend->SampleTokens({.logits = logits,
                           .vocab = description_.vocab_size,
                           .rows = tile->samples,
                           .out = tile->out});
    return;
  }
  int32_t top = 0;
  for (const Row& row : tile->rows) top = std::max(top, row.chunk->top_logprobs);
  backend->ScoreTokens({.logits = logits,
                        .vocab = description_.vocab_size,
                        .top_logprobs = top,
                        .targets = tile->targets,
                        .out = tile->out});
}

void OutputHead::Finish() {
  for (Tile& tile : tiles_) {
    for (size_t r = 0; r < tile.rows.size(); ++r) {
      SampledToken& out = *tile.rows[r].out;
      out = std::move(tile.out[r]);
      if (tile.output != ChunkOutput::kScore) continue;
      const size_t wanted = tile.rows[r].chunk->top_logprobs;
      out.top.resize(std::min(out.top.size(), wanted));
    }
  }
  tiles_.clear();
}

}  // namespace eidetic
