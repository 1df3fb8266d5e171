// Span-Expanded Attention: grouped-query attention over sinks, expansion span, window.
//
// Thread safety: none. Ownership: owns weights and working memory; borrows the backend
//   and the description. Preconditions: the batch's memories are working(), with pages
//   reserved for every row.
// Source: Span-Expanded Attention, arXiv 2412.13328; which tokens: span_plan.h.
#ifndef EIDETIC_ENGINE_LAYERS_SE_ATTENTION_LAYER_H_
#define EIDETIC_ENGINE_LAYERS_SE_ATTENTION_LAYER_H_

#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "engine/layers/adapter_loader.h"
#include "engine/layers/span_plan.h"
#include "engine/layers/step_batch.h"
#include "engine/layers/weight_loader.h"
#include "engine/model/model_description.h"
#include "memory/page_layout.h"

namespace eidetic {

// Working memory that all attention layers share.
struct AttentionBuffers {
  explicit AttentionBuffers(memory::Arena* arena)
      : projected(arena), convolved(arena), attended(arena), normed(arena), spans(arena) {}
  Buffer projected;  // [T, (q_heads + 2 kv_heads) * head_dim]
  Buffer convolved;  // the same, when there is a convolution
  Buffer attended;   // [T, q_heads * head_dim]
  Buffer normed;     // [T, d_model], with adapters
  // int32 blocks, then their float mass; each [attention layers, retrievals, kv_heads, max_span].
  // All layers' lie together, so that one copy takes them to the host.
  Buffer spans;
};

// What one attention layer asks of the backend in a step.
struct AttentionTrace {
  std::vector<AttentionChunk> chunks;            // [chunks]
  std::vector<RetrievalRequest> retrievals;      // those with a span
  std::vector<SpanAttentionRequest> attentions;  // [chunks]
  int32_t max_span = 0;
  const int32_t* blocks = nullptr;  // [retrievals, kv_heads, max_span], in AttentionBuffers::spans
  std::vector<LateBlock> late;      // once the step has ended
};

// What one step's layers retrieved, as one of them adds to it.
struct CollectedSpans {
  int32_t retrieving_layers = 0;              // that the mass is the mean of
  std::vector<std::vector<SpanUse>> uses;     // [chunks]: those that want them
  std::vector<memory::ChosenBlocks> choices;  // as StepResult
};

class SeAttentionLayer {
 public:
  // `index`: which of the model's attention layers this is (the row of the page tables).
  SeAttentionLayer(const ModelDescription& description, int32_t layer, int32_t index,
                   WeightLoader* loader);

  void LoadAdapter(AdapterLoader* loader, LayerAdapter* adapter) const;

  // residual += attention(norm(residual)); appends keys and values to the pages. residual is
  // float32 [T, d_model]; a convolution's state lies at `conv_offset` of the slots.
  void Run(Backend* backend, const StepBatch& batch, const memory::PageLayout& layout,
           size_t conv_offset, float* residual, AttentionBuffers* buffers, RetrievalStats* stats);

  // After the step: the sessions hear which pages it wanted that are still to come.
  void WantLate(const StepBatch& batch) const;
  // Of the step's span buffer, the numbers of one layer's blocks; 0: it retrieved nothing.
  int64_t span_numbers() const;
  // After the step, with the span buffer's content (the blocks alone if no chunk wants a span):
  // adds what this layer retrieved.
  void CollectSpans(const StepBatch& batch, std::span<const int32_t> numbers,
                    CollectedSpans* spans) const;

 private:
  // The matrices that the first one is stacked of.
  std::vector<WeightLoader::Part> Parts() const;
  // The first product, with the convolution if there is one: [T, (q_heads + 2 kv_heads) *
  // head_dim].
  void* Project(Backend* backend, const StepBatch& batch, size_t conv_offset, const float* residual,
                AttentionBuffers* buffers) const;
  void Finish(Backend* backend, const StepBatch& batch, const void* attended, float* residual,
              AttentionBuffers* buffers) const;
  void Plan(const StepBatch& batch, const memory::PageLayout& layout);
  void Retrieve(Backend* backend, const StepBatch& batch, const memory::PageLayout& layout,
                const void* q, int64_t q_stride, AttentionBuffers* buffers, RetrievalStats* stats);

  const ModelDescription& description_;
  const int32_t layer_, index_;
  const bool retrieves_;
  std::unique_ptr<Vector> norm_;
  std::unique_ptr<Matrix> qkv_, o_;
  std::unique_ptr<Vector> qkv_bias_, o_bias_;        // null unless attention has biases
  std::unique_ptr<Vector> conv_weight_, conv_bias_;  // null unless attention has a convolution
  AttentionTrace trace_;                             // of the step under way
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_LAYERS_SE_ATTENTION_LAYER_H_
