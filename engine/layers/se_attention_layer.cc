#include "engine/layers/se_attention_layer.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "memory/session_memory.h"

namespace eidetic {
namespace {

// What a choice reads of the index, all KV heads, by formula. A partial scan reads only some
// channels' codes (half a byte each), and every token's scale of two bytes.
int64_t IndexBytes(const memory::PageLayout& layout, memory::SummaryKind summary,
                   const RetrievalRequest& request) {
  const int64_t blocks = request.last - request.first;
  const bool partial = summary == memory::SummaryKind::kCodes && request.scan_channels > 0 &&
                       request.scan_channels < layout.head_dim && blocks > kPartialScanFrom;
  if (partial) {
    return blocks * layout.kv_heads * layout.block_size * (request.scan_channels / 2 + 2);
  }
  return static_cast<int64_t>(layout.tile_bytes(summary)) * blocks / memory::kTileBlocks;
}

}  // namespace

SeAttentionLayer::SeAttentionLayer(const ModelDescription& description, int32_t layer,
                                   int32_t index, WeightLoader* loader)
    : description_(description),
      layer_(layer),
      index_(index),
      retrieves_(description.layers[layer].retrieves) {
  const AttentionDescription& a = description.attention;
  const TensorNames& names = description.names;
  const int64_t q_rows = int64_t{a.q_heads} * a.head_dim;
  const int64_t kv_rows = int64_t{a.kv_heads} * a.head_dim;
  norm_ = loader->LoadVector(names.mixer_norm, ".weight", layer, {description.d_model});
  const int64_t qkv_rows = q_rows + 2 * kv_rows;
  const std::vector<WeightLoader::Part> parts = Parts();
  qkv_ = loader->LoadStacked(parts, layer, description.d_model);
  o_ = loader->LoadMatrix(names.o, layer, description.d_model, q_rows);
  if (a.bias) {
    qkv_bias_ = loader->LoadStackedBias(parts, layer);
    o_bias_ = loader->LoadVector(names.o, ".bias", layer, {description.d_model});
  }
  if (a.conv_width > 0) {
    conv_weight_ = loader->LoadVector(names.qkv_conv, ".weight", layer, {qkv_rows, a.conv_width});
    if (a.conv_bias) conv_bias_ = loader->LoadVector(names.qkv_conv, ".bias", layer, {qkv_rows});
  }
}

std::vector<WeightLoader::Part> SeAttentionLayer::Parts() const {
  const AttentionDescription& a = description_.attention;
  const TensorNames& names = description_.names;
  const int64_t q_rows = int64_t{a.q_heads} * a.head_dim;
  const int64_t kv_rows = int64_t{a.kv_heads} * a.head_dim;
  if (!names.qkv.empty()) return {{names.qkv, q_rows + 2 * kv_rows}};
  return {{names.q, q_rows}, {names.k, kv_rows}, {names.v, kv_rows}};
}

void SeAttentionLayer::LoadAdapter(AdapterLoader* loader, LayerAdapter* adapter) const {
  const AttentionDescription& a = description_.attention;
  const TensorNames& names = description_.names;
  const int64_t dim = description_.d_model, q_rows = int64_t{a.q_heads} * a.head_dim;
  adapter->mixer_norm = loader->LoadWhole(names.mixer_norm, ".weight", layer_, {dim});
  for (const WeightLoader::Part& part : Parts()) {
    adapter->in.push_back(loader->LoadDelta(part.pattern, layer_, part.rows, dim));
  }
  adapter->out = loader->LoadDelta(names.o, layer_, dim, q_rows);
  if (a.conv_width == 0) return;
  const int64_t channels = qkv_->rows();
  adapter->conv_weight =
      loader->LoadWhole(names.qkv_conv, ".weight", layer_, {channels, a.conv_width});
  if (!a.conv_bias) return;
  adapter->conv_bias = loader->LoadWhole(names.qkv_conv, ".bias", layer_, {channels});
}

void SeAttentionLayer::Plan(const StepBatch& batch, const memory::PageLayout& layout) {
  trace_ = AttentionTrace();
  for (size_t i = 0; i < batch.chunks.size(); ++i) {
    const StepChunk& chunk = *batch.chunks[i];
    const SpanPlan plan =
        PlanSpan(chunk.settings, layout.block_size, retrieves_, chunk.begin, chunk.kind);
    const memory::SummaryKind summary = chunk.memory->summary();
    const int32_t request = static_cast<int32_t>(i);
    trace_.chunks.push_back(
        {.row_begin = batch.row_begin[i],
         .row_count = static_cast<int64_t>(chunk.tokens.size()),
         .begin = chunk.begin,
         .pages = chunk.memory->pages(index_),
         .tiles = summary == memory::SummaryKind::kNone ? nullptr : chunk.memory->tiles(index_),
         .summary = summary});
    trace_.attentions.push_back({.chunk = request,
                                 .sink_blocks = plan.sink_blocks,
                                 .span_row = -1,
                                 .span_count = plan.span_count,
                                 .window_begin = plan.window_begin,
                                 .remap = plan.remap});
    if (plan.span_count > 0) {
      trace_.attentions.back().span_row = static_cast<int32_t>(trace_.retrievals.size());
      trace_.retrievals.push_back({.chunk = request,
                                   .first = plan.first,
                                   .last = plan.last,
                                   .rule = chunk.settings.rule,
                                   .span_blocks = plan.span_count,
                                   .first_candidates = chunk.settings.first_candidates,
                                   .candidate_budget = chunk.settings.candidate_budget,
                                   .scan_channels = chunk.settings.scan_channels});
      trace_.max_span = std::max(trace_.max_span, plan.span_count);
    }
  }
}

void SeAttentionLayer::Retrieve(Backend* backend, const StepBatch& batch,
                                const memory::PageLayout& layout, const void* q, int64_t q_stride,
                                AttentionBuffers* buffers, RetrievalStats* stats) {
  if (trace_.retrievals.empty()) return;
  for (const RetrievalRequest& request : trace_.retrievals) {
    const memory::SummaryKind summary = trace_.chunks[request.chunk].summary;
    if (memory::SummaryFor(request.rule, summary) == memory::SummaryKind::kNone) continue;
    if (request.span_blocks == request.last - request.first) continue;  // all, unread
    stats->bytes_read += IndexBytes(layout, summary, request);
  }
  const size_t row = static_cast<size_t>(layout.kv_heads) * trace_.max_span;
  const int64_t layers = description_.attention_layers();
  auto* numbers =
      static_cast<int32_t*>(buffers->spans.Ensure(2 * layers * span_numbers() * sizeof(int32_t)));
  int32_t* blocks = numbers + index_ * span_numbers();
  auto* mass = reinterpret_cast<float*>(numbers + (layers + index_) * span_numbers());
  trace_.blocks = blocks;
  for (SpanAttentionRequest& request : trace_.attentions) {
    const bool wanted = batch.chunks[request.chunk]->want_span;
    if (wanted && request.span_row >= 0) request.mass = mass + request.span_row * row;
  }
  const bool late = std::any_of(batch.chunks.begin(), batch.chunks.end(),
                                [](const StepChunk* chunk) { return chunk->memory->late(); });
  backend->RetrieveSpan({.q = q,
                         .q_stride = q_stride,
                         .q_heads = description_.attention.q_heads,
                         .layout = layout,
                         .chunks = trace_.chunks,
                         .requests = trace_.retrievals,
                         .blocks = blocks,
                         .max_span = trace_.max_span,
                         .stats = stats,
                         .late = late ? &trace_.late : nullptr});
}

void SeAttentionLayer::WantLate(const StepBatch& batch) const {
  for (const LateBlock& wanted : trace_.late) {
    batch.chunks[wanted.chunk]->memory->Want(index_, wanted.block);
  }
}

void* SeAttentionLayer::Project(Backend* backend, const StepBatch& batch, size_t conv_offset,
                                const float* residual, AttentionBuffers* buffers) const {
  const AttentionDescription& a = description_.attention;
  const int64_t stride = qkv_->rows();
  const size_t bytes = batch.rows * stride * backend->activation_bytes();
  void* qkv = buffers->projected.Ensure(bytes);
  const MatMulParams product = {.x = residual,
                                .x_number = Number::kFloat32,
                                .norm = {.weight = norm_->data(), .eps = description_.norm_eps},
                                .w = qkv_.get(),
                                .bias = DataOrNull(qkv_bias_),
                                .out = qkv,
                                .rows = batch.rows};
  std::vector<ProductDelta> deltas;
  for (const WeightLoader::Part& part : Parts()) {
    const size_t i = deltas.size();
    const int64_t begin = deltas.empty() ? 0 : deltas.back().begin + deltas.back().count;
    const auto segments = batch.adapters.Deltas(
        [&](const ModelAdapter& own) { return &own.layers[layer_].in[i]; }, 1.0f);
    deltas.push_back({segments, begin, part.rows});
  }
  const auto norms = batch.adapters.Norms(
      [this](const ModelAdapter& own) { return own.layers[layer_].mixer_norm.get(); });
  MultiplyAdapted(backend, product, norms, deltas, &buffers->normed);
  if (conv_weight_ == nullptr) return qkv;
  void* convolved = buffers->convolved.Ensure(bytes);
  backend->CausalConv1d(
      {.x = qkv,
       .weight = conv_weight_->data(),
       .bias = DataOrNull(conv_bias_),
       .out = convolved,
       .channels = stride,
       .width = a.conv_width,
       .x_stride = stride,
       .silu = false,
       .sequences = batch.states,
       .state_offset = conv_offset,
       .own = batch.adapters.Convolutions(layer_, {conv_weight_->data(), DataOrNull(conv_bias_)})});
  return convolved;
}

void SeAttentionLayer::Run(Backend* backend, const StepBatch& batch,
                           const memory::PageLayout& layout, size_t conv_offset, float* residual,
                           AttentionBuffers* buffers, RetrievalStats* stats) {
  const AttentionDescription& a = description_.attention;
  const size_t element = backend->activation_bytes();
  const int64_t q_dim = int64_t{a.q_heads} * a.head_dim;
  const int64_t kv_dim = int64_t{a.kv_heads} * a.head_dim;
  const int64_t stride = q_dim + 2 * kv_dim;
  void* qkv = Project(backend, batch, conv_offset, residual, buffers);
  Plan(batch, layout);
  backend->AppendKv({.k = Offset(qkv, q_dim, element),
                     .v = Offset(qkv, q_dim + kv_dim, element),
                     .kv_stride = stride,
                     .layout = layout,
                     .chunks = trace_.chunks});
  Retrieve(backend, batch, layout, qkv, stride, buffers, stats);
  void* attended = buffers->attended.Ensure(batch.rows * q_dim * element);
  backend->SpanAttention({.q = qkv,
                          .q_stride = stride,
                          .q_heads = a.q_heads,
                          .layout = layout,
                          .rotary_dim = a.rotary_dim,
                          .rope_theta = a.rope_theta,
                          .scale = a.scale,
                          .chunks = trace_.chunks,
                          .requests = trace_.attentions,
                          .blocks = trace_.blocks,
                          .max_span = trace_.max_span,
                          .out = attended});
  Finish(backend, batch, attended, residual, buffers);
}

void SeAttentionLayer::Finish(Backend* backend, const StepBatch& batch, const void* attended,
                              float* residual, AttentionBuffers* buffers) const {
  const MatMulParams product = {.x = attended,
                                .w = o_.get(),
                                .bias = DataOrNull(o_bias_),
                                .out = residual,
                                .out_number = Number::kFloat32,
                                .rows = batch.rows,
                                .multiplier = description_.multipliers.residual,
                                .accumulate = true};
  const auto deltas = batch.adapters.Deltas(
      [this](const ModelAdapter& own) { return &own.layers[layer_].out; }, product.multiplier);
  const ProductDelta delta = {deltas, 0, o_->rows()};
  MultiplyAdapted(backend, product, {}, {&delta, 1}, &buffers->normed);
}

int64_t SeAttentionLayer::span_numbers() const {
  return static_cast<int64_t>(trace_.retrievals.size()) * description_.attention.kv_heads *
         trace_.max_span;
}

void SeAttentionLayer::CollectSpans(const StepBatch& batch, std::span<const int32_t> numbers,
                                    CollectedSpans* spans) const {
  const int32_t kv_heads = description_.attention.kv_heads;
  const int64_t row = int64_t{kv_heads} * trace_.max_span;
  const int64_t masses = description_.attention_layers() * span_numbers();
  const double share = 1.0 / (static_cast<double>(spans->retrieving_layers) * kv_heads);
  for (size_t r = 0; r < trace_.retrievals.size(); ++r) {
    const RetrievalRequest& request = trace_.retrievals[r];
    const StepChunk& chunk = *batch.chunks[request.chunk];
    const int64_t begin = index_ * span_numbers() + static_cast<int64_t>(r) * row;
    if (!chunk.want_span && !ReportsChoices(chunk)) continue;
    memory::ChosenBlocks choice{.table = chunk.memory->page_table(index_), .blocks = {}};
    for (int32_t g = 0; g < kv_heads; ++g) {
      // The mass rows are [kv_heads, span_blocks], the block rows [kv_heads, max_span].
      const int32_t* chosen = numbers.data() + begin + int64_t{g} * trace_.max_span;
      choice.blocks.insert(choice.blocks.end(), chosen, chosen + request.span_blocks);
      for (int32_t i = 0; chunk.want_span && i < request.span_blocks; ++i) {
        const int64_t at = masses + begin + int64_t{g} * request.span_blocks + i;
        spans->uses[request.chunk].push_back(
            {chosen[i], std::bit_cast<float>(numbers[at]) * share});
      }
    }
    if (ReportsChoices(chunk)) spans->choices.push_back(std::move(choice));
  }
}

}  // namespace eidetic
