// Logits and greedy continuations against transformers' BambaForCausalLM, float32.
//
// The goldens and the script that makes them stand in goldens/. Sequence = prompt and
// all greedy tokens but the last; a record's positions index that sequence.
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "engine/model/safetensors.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/conformance/model_runner.h"

namespace eidetic {
namespace {

using memory::TokenId;

// The floor that the project sets itself; what is seen is printed.
constexpr double kMaxRelativeError = 1e-3;
constexpr char kGoldens[] = "tests/conformance/goldens/";

struct GoldenModel {
  const char* name;
  const char* folder;
};

void PrintTo(const GoldenModel& model, std::ostream* out) { *out << model.name; }

struct Prompt {
  std::string name;
  std::vector<TokenId> ids, greedy;
  std::vector<int64_t> positions;
  std::vector<std::vector<float>> logits = {};  // [positions]
  // The whole sequence that the positions index.
  std::vector<TokenId> Sequence() const {
    std::vector<TokenId> sequence = ids;
    sequence.insert(sequence.end(), greedy.begin(), greedy.end() - 1);
    return sequence;
  }
};

std::vector<Prompt> ReadGoldens(const std::string& folder, int64_t vocab) {
  std::ifstream file(folder + "/goldens.json");
  const nlohmann::json document = nlohmann::json::parse(file);
  auto tensors = SafetensorsFile::Open(folder + "/goldens.safetensors");
  EXPECT_TRUE(tensors.ok()) << tensors.status();
  std::vector<Prompt> prompts;
  for (const nlohmann::json& record : document.at("prompts")) {
    Prompt prompt{.name = record.at("name"),
                  .ids = record.at("ids"),
                  .greedy = record.at("greedy_ids"),
                  .positions = record.at("logits_positions")};
    const TensorView& view = (*tensors)->tensors().at(prompt.name + ".logits");
    EXPECT_EQ(view.shape,
              (std::vector<int64_t>{static_cast<int64_t>(prompt.positions.size()), vocab}));
    const float* data = reinterpret_cast<const float*>(view.data.data());
    for (size_t i = 0; i < prompt.positions.size(); ++i) {
      prompt.logits.emplace_back(data + i * vocab, data + (i + 1) * vocab);
    }
    prompts.push_back(std::move(prompt));
  }
  return prompts;
}

class Logits : public ::testing::TestWithParam<GoldenModel> {
 protected:
  // The largest error over a prompt's golden positions, given the logits of all positions.
  static double Worst(const Prompt& prompt, const std::vector<std::vector<float>>& all) {
    double worst = 0;
    for (size_t i = 0; i < prompt.positions.size(); ++i) {
      const double error = RelativeError(all[prompt.positions[i]], prompt.logits[i]);
      EXPECT_LE(error, kMaxRelativeError) << prompt.name << " position " << prompt.positions[i];
      worst = std::max(worst, error);
    }
    return worst;
  }

  static void Report(const char* way, double worst) {
    std::cout << "logits model=" << GetParam().name << " way=" << way
              << " max_relative_error=" << worst << std::endl;
    EXPECT_LE(worst, kMaxRelativeError);
  }

  // Every prompt's sequence, appended at once, computed in chunks of `chunk_tokens`.
  static void CheckPrefill(const char* way, int32_t chunk_tokens) {
    ModelRunner runner(GetParam().folder, {.query_chunk_tokens = chunk_tokens});
    double worst = 0;
    for (const Prompt& prompt : Goldens(runner)) {
      TestSession session = runner.NewSession(FullAttention());
      worst = std::max(worst, Worst(prompt, runner.Append(&session, prompt.Sequence())));
    }
    Report(way, worst);
  }

  static std::vector<Prompt> Goldens(const ModelRunner& runner) {
    std::vector<Prompt> prompts = ReadGoldens(std::string(kGoldens) + GetParam().name,
                                              runner.model().description().vocab_size);
    EXPECT_FALSE(prompts.empty());
    return prompts;
  }
};

TEST_P(Logits, Prefill) { CheckPrefill("prefill", 4096); }

TEST_P(Logits, ChunkedPrefill) { CheckPrefill("chunked_prefill", 48); }

TEST_P(Logits, DecodeDrawsTheSameTokens) {
  ModelRunner runner(GetParam().folder);
  double worst = 0;
  for (const Prompt& prompt : Goldens(runner)) {
    TestSession session = runner.NewSession(FullAttention());
    std::vector<std::vector<float>> all = runner.Append(&session, prompt.ids);
    all.pop_back();  // Greedy gives the logits after the last prompt token again
    std::vector<std::vector<float>> decoded;
    const int32_t count = static_cast<int32_t>(prompt.greedy.size());
    EXPECT_EQ(runner.Greedy(&session, count, &decoded), prompt.greedy) << prompt.name;
    all.insert(all.end(), decoded.begin(), decoded.end());
    worst = std::max(worst, Worst(prompt, all));
  }
  Report("decode", worst);
}

TEST(Goldens, DemoHasEightPromptsOf256GreedyTokens) {
  const std::vector<Prompt> prompts = ReadGoldens(std::string(kGoldens) + "demo", 6144);
  EXPECT_EQ(prompts.size(), 8u);
  for (const Prompt& prompt : prompts) EXPECT_EQ(prompt.greedy.size(), 256u);
}

INSTANTIATE_TEST_SUITE_P(Models, Logits,
                         ::testing::Values(GoldenModel{"tiny1", "tests/conformance/goldens/tiny1"},
                                           GoldenModel{"tiny2", "tests/conformance/goldens/tiny2"},
                                           GoldenModel{"tiny3", "tests/conformance/goldens/tiny3"},
                                           GoldenModel{"demo", "engine/model/demo"}),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace eidetic
