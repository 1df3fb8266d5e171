// Whole models over the CPU backend: weights that come from elsewhere than a folder.
#include <glog/logging.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "engine/backend/cpu/cpu_backend.h"
#include "engine/layers/hybrid_model.h"
#include "engine/model/weight_source.h"
#include "memory/session_memory.h"

namespace eidetic {
namespace {

using memory::TokenId;

constexpr int32_t kBlock = 16;
constexpr char kDemoConfig[] = "engine/model/demo/config.json";

class LoadedModelTest : public ::testing::Test {
 protected:
  // What the model says of each token of `tokens` given those before it, computed in steps of
  // `chunk` tokens with full attention.
  std::vector<SampledToken> Score(HybridModel* model, const std::vector<TokenId>& tokens,
                                  int32_t chunk) {
    memory::MemoryPool pool(backend_->arena(), backend_->indexer(), model->Geometry(kBlock),
                            {.max_pages = 256, .max_state_slots = 4});
    auto session = *memory::SessionMemory::Create(&pool, memory::SummaryKind::kNone);
    CHECK_EQ(session->BeginWork(), absl::OkStatus());
    const std::span<const TokenId> all(tokens);
    std::vector<SampledToken> scored;
    for (size_t begin = 0; begin + 1 < all.size(); begin += chunk) {
      StepChunk step;
      step.tokens = all.subspan(begin, std::min<size_t>(chunk, all.size() - 1 - begin));
      step.begin = static_cast<memory::Position>(begin);
      step.memory = session.get();
      step.settings.policy = memory::AttentionPolicy::kFull;
      step.output = ChunkOutput::kScore;
      step.targets = all.subspan(begin + 1, step.tokens.size());
      step.top_logprobs = 20;
      const auto end = static_cast<memory::Position>(begin + step.tokens.size());
      CHECK_EQ(session->Reserve(end), absl::OkStatus());
      model->Submit({step});
      StepResult result = model->Await();
      CHECK_EQ(result.status, absl::OkStatus());
      session->Publish(end);
      for (SampledToken& token : result.chunks[0].scored) scored.push_back(std::move(token));
    }
    return scored;
  }

  std::unique_ptr<HybridModel> LoadRandom(uint64_t seed) {
    auto model = HybridModel::LoadRandom(kDemoConfig, seed, backend_.get());
    CHECK(model.ok()) << model.status();
    return *std::move(model);
  }

  std::unique_ptr<Backend> backend_ = CreateCpuBackend({.threads = 2, .memory_bytes = 1 << 30});
};

std::vector<float> Logprobs(const std::vector<SampledToken>& scored) {
  std::vector<float> numbers;
  for (const SampledToken& token : scored) {
    numbers.push_back(token.logprob);
    for (const TokenLogprob& top : token.top) numbers.push_back(top.logprob);
  }
  return numbers;
}

std::vector<TokenId> Tokens(int32_t count, int32_t vocab) {
  std::vector<TokenId> tokens;
  for (int32_t i = 0; i < count; ++i) tokens.push_back(i * 37 % vocab);
  return tokens;
}

TEST_F(LoadedModelTest, RandomWeightsMakeAModelThatRuns) {
  const std::vector<TokenId> tokens = Tokens(70, 6144);
  const auto model = LoadRandom(1), again = LoadRandom(1), other = LoadRandom(2);
  EXPECT_EQ(model->parameter_count(), ParameterCount(model->description()));
  const std::vector<float> numbers = Logprobs(Score(model.get(), tokens, 32));
  ASSERT_EQ(numbers.size(), 69u * 21);
  for (const float number : numbers) {
    EXPECT_TRUE(std::isfinite(number));
    EXPECT_LE(number, 0);
  }
  EXPECT_EQ(numbers, Logprobs(Score(again.get(), tokens, 32)));
  EXPECT_NE(numbers, Logprobs(Score(other.get(), tokens, 32)));
  EXPECT_NE(model->content_hash(), other->content_hash());
}

TEST_F(LoadedModelTest, ABadConfigIsRefused) {
  EXPECT_EQ(HybridModel::LoadRandom("engine/model/none.json", 1, backend_.get()).status().code(),
            absl::StatusCode::kNotFound);
}

// Float32 tensors by name.
class Tensors final : public WeightSource {
 public:
  absl::StatusOr<TensorView> Get(std::string_view name,
                                 std::span<const int64_t> shape) const override {
    const auto tensor = tensors_.find(std::string(name));
    if (tensor == tensors_.end()) return absl::NotFoundError(std::string(name));
    TensorView view;
    view.shape.assign(shape.begin(), shape.end());
    view.data = std::as_bytes(std::span(tensor->second));
    return view;
  }
  std::string ContentHash() const override { return "none"; }

  std::vector<float>& operator[](const std::string& name) { return tensors_[name]; }
  const std::vector<float>& at(const std::string& name) const { return tensors_.at(name); }

 private:
  std::map<std::string, std::vector<float>> tensors_;
};

constexpr int kDim = 32, kVocab = 48, kQ = 32, kKv = 16, kQkv = kQ + 2 * kKv, kConv = 4;
constexpr int kInner = 64, kChannels = 80, kHeads = 8, kMlp = 8;

constexpr char kMamba2Attn[] = R"({
    "d_model": 32, "n_layer": 3, "vocab_size": 45, "pad_vocab_size_multiple": 16,
    "ssm_cfg": {"layer": "Mamba2", "headdim": 8, "d_state": 8}, "attn_layer_idx": [1],
    "attn_cfg": {"causal": true, "num_heads": 4, "num_heads_kv": 2, "head_dim": 8, "d_conv": 4,
                 "rotary_emb_dim": 4, "qkv_proj_bias": false, "out_proj_bias": false}})";

constexpr char kBamba[] = R"({
    "model_type": "bamba", "vocab_size": 48, "hidden_size": 32, "intermediate_size": 8,
    "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
    "attention_bias": true, "attn_layer_indices": [1], "max_position_embeddings": 2048,
    "mamba_n_heads": 8, "mamba_d_head": 8, "mamba_n_groups": 1, "mamba_d_state": 8,
    "mamba_d_conv": 4, "tie_word_embeddings": true})";

// A model of kMamba2Attn, its numbers large enough that every tensor matters.
Tensors DrawMamba2Attn() {
  Tensors tensors;
  std::mt19937 random(5);
  const auto draw = [&](const std::string& name, int count) {
    std::normal_distribution<float> normal(0, 0.4f);
    for (int i = 0; i < count; ++i) tensors[name].push_back(normal(random));
  };
  draw("backbone.embedding.weight", kVocab * kDim);
  draw("backbone.norm_f.weight", kDim);
  for (const std::string layer : {"0.", "1.", "2."}) {
    const std::string mixer = "backbone.layers." + layer + "mixer.";
    draw("backbone.layers." + layer + "norm.weight", kDim);
    if (layer == "1.") {
      draw(mixer + "in_proj.weight", kQkv * kDim);
      draw(mixer + "conv1d.weight", kQkv * kConv);
      draw(mixer + "conv1d.bias", kQkv);
      draw(mixer + "out_proj.weight", kDim * kQ);
      continue;
    }
    draw(mixer + "in_proj.weight", (kInner + kChannels + kHeads) * kDim);
    draw(mixer + "conv1d.weight", kChannels * kConv);
    draw(mixer + "conv1d.bias", kChannels);
    for (const char* name : {"dt_bias", "A_log", "D"}) draw(mixer + name, kHeads);
    draw(mixer + "norm.weight", kInner);
    draw(mixer + "out_proj.weight", kDim * kInner);
  }
  return tensors;
}

std::vector<float> Part(const std::vector<float>& all, int begin, int count) {
  return {all.begin() + begin, all.begin() + begin + count};
}

// The Bamba that computes the same, provided that the attention's convolution passes its newest
// input on: what that convolution adds becomes the projections' bias, and the MLPs add nothing.
Tensors AsBamba(const Tensors& from) {
  Tensors to;
  to["model.embed_tokens.weight"] = from.at("backbone.embedding.weight");
  to["model.final_layernorm.weight"] = from.at("backbone.norm_f.weight");
  for (const std::string layer : {"0.", "1.", "2."}) {
    const std::string ours = "model.layers." + layer, theirs = "backbone.layers." + layer;
    to[ours + "input_layernorm.weight"] = from.at(theirs + "norm.weight");
    to[ours + "pre_ff_layernorm.weight"].assign(kDim, 1.0f);
    for (const char* name : {"gate_proj", "up_proj", "down_proj"}) {
      to[ours + "feed_forward." + name + ".weight"].assign(kDim * kMlp, 0.0f);
    }
    if (layer == "1.") continue;
    for (const char* name : {"in_proj.weight", "conv1d.weight", "conv1d.bias", "dt_bias", "A_log",
                             "D", "norm.weight", "out_proj.weight"}) {
      to[ours + "mamba." + name] = from.at(theirs + "mixer." + name);
    }
  }
  const std::string ours = "model.layers.1.self_attn.", theirs = "backbone.layers.1.mixer.";
  int begin = 0;
  for (const auto& [name, rows] : {std::pair("q", kQ), std::pair("k", kKv), std::pair("v", kKv)}) {
    to[ours + name + "_proj.weight"] =
        Part(from.at(theirs + "in_proj.weight"), begin * kDim, rows * kDim);
    to[ours + name + "_proj.bias"] = Part(from.at(theirs + "conv1d.bias"), begin, rows);
    begin += rows;
  }
  to[ours + "o_proj.weight"] = from.at(theirs + "out_proj.weight");
  to[ours + "o_proj.bias"].assign(kDim, 0.0f);
  return to;
}

TEST_F(LoadedModelTest, Mamba2AttnIsTheBambaWithTheSameWeights) {
  Tensors tensors = DrawMamba2Attn();
  std::vector<float>& convolution = tensors["backbone.layers.1.mixer.conv1d.weight"];
  for (size_t i = 0; i < convolution.size(); ++i) convolution[i] = i % kConv == kConv - 1;
  const auto ours = HybridModel::Load(*ParseModelConfigText(kMamba2Attn), tensors, backend_.get());
  ASSERT_TRUE(ours.ok()) << ours.status();
  const auto bamba =
      HybridModel::Load(*ParseModelConfigText(kBamba), AsBamba(tensors), backend_.get());
  ASSERT_TRUE(bamba.ok()) << bamba.status();
  const std::vector<TokenId> tokens = Tokens(60, 45);
  const std::vector<float> a = Logprobs(Score(ours->get(), tokens, 64));
  const std::vector<float> b = Logprobs(Score(bamba->get(), tokens, 64));
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-4) << i;

  tensors["backbone.layers.1.mixer.conv1d.bias"].assign(kQkv, 0.0f);  // it did matter
  const auto plain = HybridModel::Load(*ParseModelConfigText(kMamba2Attn), tensors, backend_.get());
  EXPECT_GT(std::abs(Logprobs(Score(plain->get(), tokens, 64)).back() - a.back()), 1e-3);
}

TEST_F(LoadedModelTest, AttentionsConvolutionReachesAcrossSteps) {
  const auto model =
      HybridModel::Load(*ParseModelConfigText(kMamba2Attn), DrawMamba2Attn(), backend_.get());
  ASSERT_TRUE(model.ok()) << model.status();
  const std::vector<TokenId> tokens = Tokens(50, 45);
  const std::vector<float> whole = Logprobs(Score(model->get(), tokens, 64));
  for (const int32_t chunk : {1, 2, 7, 16}) {
    const std::vector<float> cut = Logprobs(Score(model->get(), tokens, chunk));
    ASSERT_EQ(cut.size(), whole.size());
    for (size_t i = 0; i < cut.size(); ++i) EXPECT_NEAR(cut[i], whole[i], 1e-4) << chunk;
  }
}

TEST_F(LoadedModelTest, AMissingTensorIsNamed) {
  Tensors tensors = DrawMamba2Attn();
  const auto bamba = HybridModel::Load(*ParseModelConfigText(kBamba), tensors, backend_.get());
  EXPECT_EQ(bamba.status().message(), "model.embed_tokens.weight");
}

}  // namespace
}  // namespace eidetic
