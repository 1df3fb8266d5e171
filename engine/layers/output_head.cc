#include "engine/layers/output_head.h"

#include <algorithm>

namespace eidetic {

OutputHead::OutputHead(const ModelDescription& description, const Matrix* table,
                       WeightLoader* loader, memory::Arena* arena)
    : description_(description), projection_(table), gathered_(arena), logits_(arena) {
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
    RunTile(backend, rows.subspan(begin, std::min<size_t>(kMaxLogitRows, rows.size() - begin)),
            output);
  }
}

void OutputHead::RunTile(Backend* backend, std::span<const Row> rows, ChunkOutput output) {
  const size_t element = backend->activation_bytes();
  const int64_t count = static_cast<int64_t>(rows.size());
  const int64_t dim = description_.d_model;
  void* gathered = gathered_.Ensure(count * dim * element);
  void* logits = logits_.Ensure(count * description_.vocab_size * element);
  std::vector<const void*> from;
  std::vector<void*> to;
  std::vector<SampleRow> samples;
  std::vector<memory::TokenId> targets;
  for (int64_t r = 0; r < count; ++r) {
    from.push_back(rows[r].hidden);
    to.push_back(Offset(gathered, r * dim, element));
    samples.push_back(rows[r].chunk->sample);
    targets.push_back(rows[r].target);
  }
  backend->CopyRows({.from = from, .to = to, .row_bytes = dim * element});
  backend->RmsNorm({.x = gathered,
                    .weight = final_norm_->data(),
                    .out = gathered,
                    .rows = count,
                    .dim = dim,
                    .x_stride = dim,
                    .eps = description_.norm_eps});
  backend->MatMul({.x = gathered,
                   .w = projection_,
                   .out = logits,
                   .rows = count,
                   .multiplier = description_.multipliers.logits});
  std::vector<SampledToken> out(count);
  if (output == ChunkOutput::kSample) {
    backend->SampleTokens(
        {.logits = logits, .vocab = description_.vocab_size, .rows = samples, .out = out});
  } else {
    int32_t top = 0;
    for (const Row& row : rows) top = std::max(top, row.chunk->top_logprobs);
    backend->ScoreTokens({.logits = logits,
                          .vocab = description_.vocab_size,
                          .top_logprobs = top,
                          .targets = targets,
                          .out = out});
  }
  backend->Synchronize();
  for (int64_t r = 0; r < count; ++r) {
    *rows[r].out = std::move(out[r]);
    if (output == ChunkOutput::kScore) {
      std::vector<TokenLogprob>& top = rows[r].out->top;
      top.resize(std::min<size_t>(top.size(), rows[r].chunk->top_logprobs));
    }
  }
}

}  // namespace eidetic
