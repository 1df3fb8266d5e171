#include "engine/layers/hybrid_model.h"

#include <glog/logging.h>

#include <algorithm>
#include <utility>

#include "engine/layers/adapter_loader.h"
#include "engine/layers/mamba2_layer.h"
#include "engine/layers/mlp_layer.h"
#include "engine/layers/output_head.h"
#include "engine/layers/se_attention_layer.h"
#include "engine/layers/state_layout.h"
#include "engine/layers/step_batch.h"
#include "engine/layers/weight_loader.h"
#include "engine/model/random_weights.h"
#include "engine/model/safetensors.h"

namespace eidetic {
namespace {

struct Layer {
  std::unique_ptr<Mamba2Layer> mamba2;  // one of these two
  std::unique_ptr<SeAttentionLayer> attention;
  std::unique_ptr<MlpLayer> mlp;  // null without an MLP
};

class LoadedModel final : public HybridModel {
 public:
  LoadedModel(ModelDescription description, std::string content_hash, Backend* backend)
      : description_(std::move(description)),
        content_hash_(std::move(content_hash)),
        backend_(backend),
        state_layout_(description_, backend->ssm_element_bytes()),
        residual_(backend->arena()),
        mamba2_buffers_(backend->arena()),
        attention_buffers_(backend->arena()),
        mlp_buffers_(backend->arena()) {}

  absl::Status LoadWeights(const WeightSource& source);

  const ModelDescription& description() const override { return description_; }
  const std::string& content_hash() const override { return content_hash_; }
  int64_t parameter_count() const override { return parameter_count_; }
  memory::MemoryGeometry Geometry(int32_t block_size) const override;
  absl::StatusOr<std::shared_ptr<const ModelAdapter>> LoadAdapter(
      const AdapterWeights& weights) override;
  void Submit(std::vector<StepChunk> chunks) override;
  StepResult Await() override;

 private:
  void RunStep();
  void RunLayers(const StepBatch& batch);
  void KeepHiddenStates(StepBatch* batch);
  void RunOutputs(const StepBatch& batch);
  void CollectSpans(const StepBatch& batch);
  void WantLate(const StepBatch& batch);
  // Each chunk's uses, over all layers and heads, into its result.
  void MergeUses(const StepBatch& batch, std::vector<std::vector<SpanUse>>* all);

  const ModelDescription description_;
  const std::string content_hash_;
  Backend* const backend_;
  const StateLayout state_layout_;
  int64_t parameter_count_ = 0;
  std::unique_ptr<Matrix> embedding_;
  std::vector<Layer> layers_;
  std::unique_ptr<OutputHead> head_;

  Buffer residual_;  // float32 [T, d_model]
  Mamba2Buffers mamba2_buffers_;
  AttentionBuffers attention_buffers_;
  MlpBuffers mlp_buffers_;

  std::vector<StepChunk> chunks_;  // of the step under way
  StepResult result_;
};

absl::Status LoadedModel::LoadWeights(const WeightSource& source) {
  WeightLoader loader(&source, backend_);
  const TensorNames& names = description_.names;
  const int64_t dim = description_.d_model;
  embedding_ = loader.LoadMatrix(names.embedding, 0, description_.vocab_size, dim);
  int32_t attention_index = 0;
  for (size_t i = 0; i < description_.layers.size(); ++i) {
    const int32_t number = static_cast<int32_t>(i);
    Layer layer;
    if (description_.layers[i].mixer == MixerKind::kMamba2) {
      layer.mamba2 = std::make_unique<Mamba2Layer>(description_, number, &loader);
    } else {
      layer.attention =
          std::make_unique<SeAttentionLayer>(description_, number, attention_index++, &loader);
    }
    if (description_.mlp_dim > 0) {
      layer.mlp = std::make_unique<MlpLayer>(description_, number, &loader);
    }
    if (!loader.status().ok()) return loader.status();
    layers_.push_back(std::move(layer));
  }
  head_ = std::make_unique<OutputHead>(description_, embedding_.get(), &loader, backend_->arena());
  parameter_count_ = loader.parameter_count();
  return loader.status();
}

memory::MemoryGeometry LoadedModel::Geometry(int32_t block_size) const {
  return {.layout = {.block_size = block_size,
                     .kv_heads = description_.attention.kv_heads,
                     .head_dim = description_.attention.head_dim,
                     .element_bytes = backend_->kv_element_bytes()},
          .attention_layers = description_.attention_layers(),
          .state_bytes = state_layout_.slot_bytes(),
          .bounding = backend_->bounding()};
}

absl::StatusOr<std::shared_ptr<const ModelAdapter>> LoadedModel::LoadAdapter(
    const AdapterWeights& weights) {
  CHECK(chunks_.empty()) << "a step is under way";
  AdapterLoader loader(&weights, backend_);
  auto adapter = std::make_shared<ModelAdapter>();
  for (const Layer& layer : layers_) {
    LayerAdapter& own = adapter->layers.emplace_back();
    if (layer.mamba2 != nullptr) layer.mamba2->LoadAdapter(&loader, &own);
    if (layer.attention != nullptr) layer.attention->LoadAdapter(&loader, &own);
    if (layer.mlp != nullptr) layer.mlp->LoadAdapter(&loader, &own);
  }
  adapter->final_norm =
      loader.LoadWhole(description_.names.final_norm, ".weight", 0, {description_.d_model});
  if (absl::Status status = loader.Finish(); !status.ok()) return status;
  adapter->content_hash = weights.content_hash();
  adapter->bytes = loader.bytes();
  return adapter;
}

void LoadedModel::Submit(std::vector<StepChunk> chunks) {
  CHECK(chunks_.empty()) << "a step is under way already";
  chunks_ = std::move(chunks);
}

StepResult LoadedModel::Await() {
  result_ = StepResult();
  result_.chunks.resize(chunks_.size());
  RunStep();
  chunks_.clear();
  return std::move(result_);
}

void LoadedModel::RunStep() {
  StepBatch batch = MakeBatch(chunks_);
  if (batch.rows > 0) {
    RunLayers(batch);
    KeepHiddenStates(&batch);
  }
  RunOutputs(batch);
  result_.status = backend_->Synchronize();
  head_->Finish();
  const AttentionDescription& attention = description_.attention;
  if (batch.rows > 0) {
    const int64_t block = batch.chunks[0]->memory->geometry().layout.block_size;
    result_.retrieval.bytes_read += result_.retrieval.candidates_read * block * attention.head_dim *
                                    backend_->kv_element_bytes();
  }
  if (!result_.status.ok()) return;
  CollectSpans(batch);
  WantLate(batch);
}

void LoadedModel::RunLayers(const StepBatch& batch) {
  const size_t bytes = batch.rows * description_.d_model * sizeof(float);
  auto* residual = static_cast<float*>(residual_.Ensure(bytes));
  const memory::PageLayout layout = batch.chunks[0]->memory->geometry().layout;
  backend_->Embed({.ids = batch.ids,
                   .table = embedding_.get(),
                   .multiplier = description_.multipliers.embedding,
                   .out = residual});
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    const size_t conv = state_layout_.conv(static_cast<int32_t>(i));
    if (layer.mamba2 != nullptr) {
      layer.mamba2->Run(backend_, batch, conv, state_layout_.ssm(static_cast<int32_t>(i)), residual,
                        &mamba2_buffers_);
    } else {
      layer.attention->Run(backend_, batch, layout, conv, residual, &attention_buffers_,
                           &result_.retrieval);
    }
    if (layer.mlp != nullptr) layer.mlp->Run(backend_, batch, residual, &mlp_buffers_);
  }
}

// The next token can be drawn from these later, without computing anything anew.
void LoadedModel::KeepHiddenStates(StepBatch* batch) {
  const auto* residual = static_cast<const float*>(residual_.data());
  for (const StateSpan& span : batch->states) {
    const int64_t last = span.row_begin + span.row_count - 1;
    batch->hidden_from.push_back(residual + last * description_.d_model);
    batch->hidden_to.push_back(static_cast<std::byte*>(span.state_out) + state_layout_.hidden());
  }
  backend_->CopyRows({.from = batch->hidden_from,
                      .to = batch->hidden_to,
                      .row_bytes = description_.d_model * sizeof(float)});
}

void LoadedModel::RunOutputs(const StepBatch& batch) {
  const auto* residual = static_cast<const float*>(residual_.data());
  std::vector<OutputHead::Row> samples, scores;
  std::vector<int64_t> row_begins(chunks_.size());  // of those with tokens
  for (size_t i = 0; i < batch.chunks.size(); ++i) {
    row_begins[batch.chunks[i] - chunks_.data()] = batch.row_begin[i];
  }
  for (size_t i = 0; i < chunks_.size(); ++i) {
    const StepChunk& chunk = chunks_[i];
    const int64_t rows = static_cast<int64_t>(chunk.tokens.size());
    const int64_t row_begin = row_begins[i];
    const auto hidden = [&](int64_t row) -> const void* {
      if (rows > 0) return residual + (row_begin + row) * description_.d_model;
      return static_cast<const std::byte*>(chunk.memory->state()) + state_layout_.hidden();
    };
    ChunkResult& result = result_.chunks[i];
    if (chunk.output == ChunkOutput::kSample) {
      samples.push_back({.hidden = hidden(rows - 1), .chunk = &chunk, .out = &result.sampled});
    } else if (chunk.output == ChunkOutput::kScore) {
      CHECK_EQ(static_cast<int64_t>(chunk.targets.size()), std::max<int64_t>(1, rows));
      const bool open_end = chunk.targets.back() < 0;
      result.scored.resize(chunk.targets.size() - (open_end ? 1 : 0));
      for (size_t r = 0; r < result.scored.size(); ++r) {
        scores.push_back({.hidden = hidden(static_cast<int64_t>(r)),
                          .chunk = &chunk,
                          .target = chunk.targets[r],
                          .out = &result.scored[r]});
      }
    }
  }
  head_->Run(backend_, samples, ChunkOutput::kSample);
  head_->Run(backend_, scores, ChunkOutput::kScore);
}

void LoadedModel::CollectSpans(const StepBatch& batch) {
  const bool wanted = std::any_of(batch.chunks.begin(), batch.chunks.end(),
                                  [](const StepChunk* chunk) { return chunk->want_span; });
  const bool reported = std::any_of(batch.chunks.begin(), batch.chunks.end(),
                                    [](const StepChunk* chunk) { return ReportsChoices(*chunk); });
  if (!wanted && !reported) return;
  CollectedSpans spans;
  spans.uses.resize(batch.chunks.size());
  int64_t size = 0;  // of one layer's blocks: those that retrieved did so alike
  for (const Layer& layer : layers_) {
    if (layer.attention == nullptr) continue;
    size = std::max(size, layer.attention->span_numbers());
  }
  if (size == 0) return;
  for (const LayerDescription& layer : description_.layers) {
    spans.retrieving_layers += layer.retrieves ? 1 : 0;
  }
  std::vector<int32_t> numbers((wanted ? 2 : 1) * description_.attention_layers() * size);
  backend_->CopyToHost(numbers.data(), attention_buffers_.spans.data(),
                       numbers.size() * sizeof(int32_t));
  for (const Layer& layer : layers_) {
    if (layer.attention != nullptr) layer.attention->CollectSpans(batch, numbers, &spans);
  }
  result_.choices = std::move(spans.choices);
  MergeUses(batch, &spans.uses);
}

void LoadedModel::WantLate(const StepBatch& batch) {
  if (batch.rows == 0) return;  // no layer ran
  for (const Layer& layer : layers_) {
    if (layer.attention != nullptr) layer.attention->WantLate(batch);
  }
}

void LoadedModel::MergeUses(const StepBatch& batch, std::vector<std::vector<SpanUse>>* all) {
  for (size_t i = 0; i < batch.chunks.size(); ++i) {
    if (!batch.chunks[i]->want_span) continue;
    std::vector<SpanUse>& uses = (*all)[i];
    std::stable_sort(uses.begin(), uses.end(),
                     [](const SpanUse& a, const SpanUse& b) { return a.block < b.block; });
    std::vector<SpanUse>& merged = result_.chunks[batch.chunks[i] - chunks_.data()].span;
    for (const SpanUse& use : uses) {
      if (merged.empty() || merged.back().block != use.block) {
        merged.push_back(use);
      } else {
        merged.back().mass += use.mass;
      }
    }
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<HybridModel>> HybridModel::Load(const std::filesystem::path& folder,
                                                               Backend* backend) {
  absl::StatusOr<ModelDescription> description = ParseModelConfig(folder);
  if (!description.ok()) return description.status();
  absl::StatusOr<std::unique_ptr<WeightFolder>> weights = WeightFolder::Open(folder);
  if (!weights.ok()) return weights.status();
  return Load(*std::move(description), **weights, backend);
}

absl::StatusOr<std::unique_ptr<HybridModel>> HybridModel::LoadRandom(
    const std::filesystem::path& config_file, uint64_t seed, Backend* backend) {
  absl::StatusOr<ModelDescription> description = ParseModelConfigFile(config_file);
  if (!description.ok()) return description.status();
  const auto weights = RandomWeights::Create(*description, seed);
  if (!weights.ok()) return weights.status();
  return Load(*std::move(description), **weights, backend);
}

absl::StatusOr<std::unique_ptr<HybridModel>> HybridModel::Load(ModelDescription description,
                                                               const WeightSource& weights,
                                                               Backend* backend) {
  auto model =
      std::make_unique<LoadedModel>(std::move(description), weights.ContentHash(), backend);
  if (absl::Status status = model->LoadWeights(weights); !status.ok()) return status;
  return model;
}

}  // namespace eidetic
