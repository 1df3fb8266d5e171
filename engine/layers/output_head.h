// Hidden states to tokens: final norm, vocabulary projection, sampling and scoring.
//
// Thread safety: none. Ownership: owns its weights (with tied embeddings it borrows the
//   table) and working memory; borrows backend and description.
// Preconditions: every chunk's hidden state stands in its slot or in the batch's rows.
#ifndef EIDETIC_ENGINE_LAYERS_OUTPUT_HEAD_H_
#define EIDETIC_ENGINE_LAYERS_OUTPUT_HEAD_H_

#include <deque>
#include <memory>
#include <vector>

#include "engine/layers/step_batch.h"
#include "engine/layers/weight_loader.h"
#include "engine/model/model_description.h"

namespace eidetic {

// Rows whose logits are in memory at once: bounds the working memory of scoring
// (at a vocabulary of 128k, 128 rows of float32 are 64 MiB).
inline constexpr int64_t kMaxLogitRows = 128;

class OutputHead {
 public:
  // `table`: the embedding, used as the projection when the two are tied.
  OutputHead(const ModelDescription& description, const Matrix* table, WeightLoader* loader,
             memory::Arena* arena);

  // One row of logits that somebody wants.
  struct Row {
    const void* hidden = nullptr;  // [d_model], before the final norm
    const StepChunk* chunk = nullptr;
    memory::TokenId target = -1;  // kScore
    SampledToken* out = nullptr;
  };
  // Starts filling every row's `out`. All rows of one call are sampled or all are scored.
  void Run(Backend* backend, std::span<const Row> rows, ChunkOutput output);
  // After Synchronize: every `out` of the calls since the last Finish is filled.
  void Finish();

 private:
  // Rows computed together, with the host memory that the backend reads and writes.
  struct Tile {
    std::vector<Row> rows;
    ChunkOutput output;
    std::vector<const void*> from;
    std::vector<void*> to;
    std::vector<SampleRow> samples;
    std::vector<memory::TokenId> targets;
    std::vector<SampledToken> out;
    BatchAdapters adapters;
  };
  void RunTile(Backend* backend, Tile* tile);

  const ModelDescription& description_;
  std::unique_ptr<Vector> final_norm_;
  std::unique_ptr<Matrix> lm_head_;  // null with tied embeddings
  const Matrix* projection_;
  Buffer gathered_;         // float32 [rows, d_model]
  Buffer normed_;           // [rows, d_model], with adapters
  Buffer logits_;           // float32 [rows, vocab]
  std::deque<Tile> tiles_;  // under way; a deque, so that nothing moves
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_LAYERS_OUTPUT_HEAD_H_
