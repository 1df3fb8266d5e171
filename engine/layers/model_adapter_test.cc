// Adapters over the CPU backend: beside the base in one batch, and against merged weights.
#include <glog/logging.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "engine/backend/cpu/cpu_backend.h"
#include "engine/layers/hybrid_model.h"
#include "engine/model/adapter_weights.h"
#include "engine/model/weight_source.h"
#include "memory/session_memory.h"

namespace eidetic {
namespace {

using memory::TokenId;
using ::testing::Test;

constexpr int32_t kBlock = 16, kVocab = 48, kRank = 3;
constexpr float kScale = 0.5f;

constexpr char kBamba[] = R"({
    "model_type": "bamba", "vocab_size": 48, "hidden_size": 32, "intermediate_size": 24,
    "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
    "attn_layer_indices": [1], "max_position_embeddings": 2048,
    "mamba_n_heads": 8, "mamba_d_head": 8, "mamba_n_groups": 1, "mamba_d_state": 8,
    "mamba_d_conv": 4, "tie_word_embeddings": true})";

constexpr char kMamba2Attn[] = R"({
    "d_model": 32, "n_layer": 3, "vocab_size": 45, "pad_vocab_size_multiple": 16,
    "ssm_cfg": {"layer": "Mamba2", "headdim": 8, "d_state": 8}, "attn_layer_idx": [1],
    "attn_cfg": {"causal": true, "num_heads": 4, "num_heads_kv": 2, "head_dim": 8, "d_conv": 4,
                 "rotary_emb_dim": 4, "qkv_proj_bias": false, "out_proj_bias": false}})";

std::vector<float> Draw(const std::string& name, uint64_t seed, int64_t count, float mean) {
  std::mt19937_64 random(std::hash<std::string>()(name) + seed);
  std::normal_distribution<float> normal(mean, 0.3f);
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

int64_t Elements(std::span<const int64_t> shape) {
  int64_t count = 1;
  for (const int64_t dim : shape) count *= dim;
  return count;
}

bool IsNorm(std::string_view name) { return name.find("norm") != name.npos; }

// Whatever a model asks for, in float32; remembers what that was.
class Drawn final : public WeightSource {
 public:
  struct Tensor {
    std::vector<int64_t> shape;
    std::vector<float> values;
  };
  absl::StatusOr<TensorView> Get(std::string_view name,
                                 std::span<const int64_t> shape) const override {
    const std::string key(name);
    if (!tensors.contains(key)) {
      tensors[key] = {{shape.begin(), shape.end()},
                      Draw(key, 1, Elements(shape), IsNorm(name) ? 1.0f : 0.0f)};
    }
    const Tensor& tensor = tensors.at(key);
    return TensorView{DType::kF32, tensor.shape, std::as_bytes(std::span(tensor.values))};
  }
  std::string ContentHash() const override { return "drawn"; }

  mutable std::map<std::string, Tensor> tensors;
};

// Of every projection that may have one a delta; every convolution and norm whole.
struct MadeAdapter {
  MadeAdapter(const Drawn& base, uint64_t seed) {
    for (const auto& [name, tensor] : base.tensors) {
      const std::string stem = name.substr(0, name.rfind('.'));
      const bool projection = absl::EndsWith(stem, "_proj") && tensor.shape.size() == 2 &&
                              name.find("feed_forward") == name.npos;
      if (projection) {
        Add(stem + ".lora_A.weight", seed, {kRank, tensor.shape[1]}, 0);
        Add(stem + ".lora_B.weight", seed, {tensor.shape[0], kRank}, 0);
      } else if (IsNorm(name) || name.find("conv1d") != name.npos) {
        Add(name, seed, tensor.shape, IsNorm(name) ? 1.0f : 0.0f);
      }
    }
  }
  void Add(const std::string& name, uint64_t seed, std::vector<int64_t> shape, float mean) {
    tensors[name] = {shape, Draw(name, seed, Elements(shape), mean)};
  }
  AdapterWeights Weights() const {
    std::map<std::string, TensorView> views;
    for (const auto& [name, tensor] : tensors) {
      views[name] = {DType::kF32, tensor.shape, std::as_bytes(std::span(tensor.values))};
    }
    return AdapterWeights(kRank, kScale, std::move(views), "hash");
  }
  // W + scale B A in place of W, and what is whole in place of the base's.
  Drawn MergedInto(const Drawn& base) const {
    Drawn merged = base;
    for (const auto& [name, tensor] : tensors) {
      if (absl::EndsWith(name, ".lora_A.weight")) {
        const std::string stem = name.substr(0, name.size() - std::string(".lora_A.weight").size());
        const Drawn::Tensor& b = tensors.at(stem + ".lora_B.weight");
        std::vector<float>& w = merged.tensors.at(stem + ".weight").values;
        const int64_t cols = tensor.shape[1];
        for (int64_t o = 0; o < b.shape[0]; ++o) {
          for (int64_t k = 0; k < cols; ++k) {
            double sum = 0;
            for (int64_t r = 0; r < kRank; ++r) {
              sum += double{b.values[o * kRank + r]} * tensor.values[r * cols + k];
            }
            w[o * cols + k] = static_cast<float>(w[o * cols + k] + kScale * sum);
          }
        }
      } else if (!absl::EndsWith(name, ".lora_B.weight")) {
        merged.tensors.at(name).values = tensor.values;
      }
    }
    return merged;
  }

  std::map<std::string, Drawn::Tensor> tensors;
};

std::vector<TokenId> Tokens(int32_t count, int32_t seed) {
  std::vector<TokenId> tokens;
  for (int32_t i = 0; i < count; ++i) tokens.push_back((i * 37 + seed * 11 + i * i) % 45);
  return tokens;
}

class ModelAdapterTest : public Test {
 protected:
  // One sequence of a batch.
  struct Text {
    std::vector<TokenId> tokens;
    const ModelAdapter* adapter = nullptr;
  };
  // What the model says of each text's tokens, all texts side by side, in steps of `chunk` tokens;
  // of every token the logprobs of the 20 best.
  std::vector<std::vector<float>> Score(HybridModel* model, const std::vector<Text>& texts,
                                        int32_t chunk) {
    memory::MemoryPool pool(backend_->arena(), backend_->indexer(), model->Geometry(kBlock),
                            {.max_pages = 256, .max_state_slots = 16});
    std::vector<std::unique_ptr<memory::SessionMemory>> memories;
    for (size_t i = 0; i < texts.size(); ++i) {
      memories.push_back(*memory::SessionMemory::Create(&pool, memory::SummaryKind::kNone));
      CHECK_EQ(memories[i]->BeginWork(), absl::OkStatus());
    }
    std::vector<std::vector<float>> scores(texts.size());
    bool left = true;
    for (size_t begin = 0; std::exchange(left, false); begin += chunk) {
      std::vector<StepChunk> steps;
      std::vector<size_t> whose;
      for (size_t i = 0; i < texts.size(); ++i) {
        const std::span<const TokenId> all(texts[i].tokens);
        if (begin + 1 >= all.size()) continue;
        left = true;
        StepChunk step;
        step.tokens = all.subspan(begin, std::min<size_t>(chunk, all.size() - 1 - begin));
        step.begin = static_cast<memory::Position>(begin);
        step.memory = memories[i].get();
        step.settings.policy = memory::AttentionPolicy::kFull;
        step.adapter = texts[i].adapter;
        step.output = ChunkOutput::kScore;
        step.targets = all.subspan(begin + 1, step.tokens.size());
        step.top_logprobs = 20;
        CHECK_EQ(memories[i]->Reserve(step.begin + std::ssize(step.tokens)), absl::OkStatus());
        steps.push_back(step);
        whose.push_back(i);
      }
      if (!left) break;
      model->Submit(steps);
      const StepResult result = model->Await();
      CHECK_EQ(result.status, absl::OkStatus());
      for (size_t s = 0; s < steps.size(); ++s) {
        memories[whose[s]]->Publish(steps[s].begin + std::ssize(steps[s].tokens));
        for (const SampledToken& token : result.chunks[s].scored) {
          scores[whose[s]].push_back(token.logprob);
          for (const TokenLogprob& top : token.top) scores[whose[s]].push_back(top.logprob);
        }
      }
    }
    return scores;
  }

  std::unique_ptr<HybridModel> Load(const char* config, const Drawn& weights) {
    auto model = HybridModel::Load(*ParseModelConfigText(config), weights, backend_.get());
    CHECK(model.ok()) << model.status();
    return *std::move(model);
  }
  std::shared_ptr<const ModelAdapter> Adapt(HybridModel* model, const MadeAdapter& made) {
    auto adapter = model->LoadAdapter(made.Weights());
    CHECK(adapter.ok()) << adapter.status();
    return *adapter;
  }
  std::string Refusal(const MadeAdapter& made) {
    const auto adapter = model_->LoadAdapter(made.Weights());
    return adapter.ok() ? "" : std::string(adapter.status().message());
  }

  std::unique_ptr<Backend> backend_ = CreateCpuBackend({.threads = 2, .memory_bytes = 1 << 28});
  Drawn weights_;
  std::unique_ptr<HybridModel> model_ = Load(kBamba, weights_);
};

TEST_F(ModelAdapterTest, MergedAndUnmergedSayTheSame) {
  for (const char* config : {kBamba, kMamba2Attn}) {
    Drawn weights;
    const auto model = Load(config, weights);
    const MadeAdapter made(weights, 7);
    const auto adapter = Adapt(model.get(), made);
    const auto merged = Load(config, made.MergedInto(weights));
    const Text text = {Tokens(50, 1)};
    for (const int32_t chunk : {1, 20}) {
      const auto want = Score(merged.get(), {text}, chunk)[0];
      const auto got = Score(model.get(), {{text.tokens, adapter.get()}}, chunk)[0];
      ASSERT_EQ(got.size(), want.size());
      for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], want[i], 2e-4) << i;
    }
    // It is another model than the base.
    EXPECT_NE(Score(model.get(), {text}, 20)[0], Score(merged.get(), {text}, 20)[0]);
  }
}

TEST_F(ModelAdapterTest, WhoElseIsInTheBatchChangesNoBit) {
  const auto a = Adapt(model_.get(), MadeAdapter(weights_, 1));
  const auto b = Adapt(model_.get(), MadeAdapter(weights_, 2));
  const std::vector<Text> texts = {{Tokens(40, 1), a.get()}, {Tokens(33, 2)},
                                   {Tokens(40, 3), b.get()}, {Tokens(21, 1), a.get()},
                                   {Tokens(40, 1), b.get()}, {Tokens(40, 1)}};
  for (const int32_t chunk : {1, 7}) {
    const auto together = Score(model_.get(), texts, chunk);
    for (size_t i = 0; i < texts.size(); ++i) {
      EXPECT_EQ(together[i], Score(model_.get(), {texts[i]}, chunk)[0]) << i;
    }
    EXPECT_NE(together[0], together[4]);
    EXPECT_NE(together[0], together[5]);
  }
}

TEST_F(ModelAdapterTest, AnAdapterMayChangeAPart) {
  MadeAdapter whole(weights_, 1);
  MadeAdapter part = whole;
  std::erase_if(part.tensors, [](const auto& entry) {
    return entry.first.find("layers.1.self_attn.k_proj") == std::string::npos;
  });
  ASSERT_EQ(part.tensors.size(), 2u);
  const auto adapter = Adapt(model_.get(), part);
  EXPECT_EQ(adapter->bytes, 4 * kRank * (32 + 16));
  const auto scores = Score(model_.get(), {{Tokens(40, 1), adapter.get()}, {Tokens(40, 1)}}, 8);
  EXPECT_NE(scores[0], scores[1]);
}

TEST_F(ModelAdapterTest, AMalformedAdapterIsRefusedByItsTensor) {
  const MadeAdapter good(weights_, 1);
  EXPECT_EQ(Refusal(good), "");
  const std::string q = "model.layers.1.self_attn.q_proj";

  MadeAdapter bad = good;
  bad.tensors[q + ".lora_A.weight"].shape = {kRank, 31};
  EXPECT_EQ(Refusal(bad), "adapter: tensor " + q +
                              ".lora_A.weight: shape [3, 31] where the model and the adapter's "
                              "rank ask for [3, 32]");
  bad = good;
  bad.tensors.erase(q + ".lora_B.weight");
  EXPECT_TRUE(absl::StrContains(Refusal(bad), "its other half is missing"));
  bad = good;
  bad.Add("model.layers.1.feed_forward.gate_proj.lora_A.weight", 1, {kRank, 32}, 0);
  EXPECT_TRUE(absl::StrContains(Refusal(bad), "is nothing that the model has"));
  bad = good;
  bad.Add("model.layers.9.input_layernorm.weight", 1, {32}, 0);
  EXPECT_TRUE(absl::StrContains(Refusal(bad), "is nothing that the model has"));
}

}  // namespace
}  // namespace eidetic
