// The engine over the real model that travels with the project, on the CPU.
#include <gmock/gmock.h>

#include <cmath>

#include "engine/backend/cpu/cpu_backend.h"
#include "engine/engine_fixture.h"

namespace eidetic {
namespace {

constexpr char kDemo[] = "engine/model/demo";

class EngineCreateTest : public EngineTest {
 protected:
  void SetUp() override {
    EngineLimits limits = SmallLimits();
    limits.memory.max_pages = 1024;
    auto engine = Engine::Create(kDemo, backend_.get(), {.limits = limits});
    ASSERT_TRUE(engine.ok()) << engine.status();
    engine_ = *std::move(engine);
  }
  void TearDown() override { engine_.reset(); }

  GenerateSpec Prompt(std::string session, std::string_view text) {
    GenerateSpec spec = Spec(std::move(session), "", 12);
    spec.prompt = *engine_->tokenizer().Encode(text, false);
    spec.ignore_end_tokens = true;
    return spec;
  }

  // Outlives the engine.
  std::unique_ptr<Backend> backend_ = CreateCpuBackend({.threads = 2, .memory_bytes = 1 << 30});
};

std::string PastText() {
  std::string text;
  for (int i = 0; i < 40; ++i) text += "The code of box " + std::to_string(i) + " is 17. ";
  return text;
}

TEST_F(EngineCreateTest, AnswersDoNotDependOnBatchMatesOrCuts) {
  ASSERT_TRUE(Create("a").ok());
  const Told alone = Answer(Prompt("", PastText()));
  ASSERT_TRUE(alone.finish) << alone.error;
  std::vector<Reader> mates;
  for (const char* text : {"Once", "There was a house", "No"}) {
    mates.push_back(*Generate(Prompt("", text)));
  }
  GenerateSpec first = Prompt("a", PastText());
  first.max_tokens = 5;
  Told crowded = Answer(first);
  GenerateSpec second = Prompt("a", "");
  second.max_tokens = 7;
  const Told rest = Answer(second);
  ASSERT_TRUE(crowded.finish && rest.finish);
  crowded.tokens.insert(crowded.tokens.end(), rest.tokens.begin(), rest.tokens.end());
  ASSERT_EQ(crowded.tokens.size(), alone.tokens.size());
  for (size_t i = 0; i < alone.tokens.size(); ++i) {
    EXPECT_EQ(crowded.tokens[i].token.token, alone.tokens[i].token.token) << i;
    EXPECT_EQ(crowded.tokens[i].token.logprob, alone.tokens[i].token.logprob) << i;
  }
  EXPECT_FALSE(alone.finish->passages.empty());
}

TEST_F(EngineCreateTest, ScoresAndSearches) {
  ASSERT_TRUE(Create("a").ok());
  ASSERT_TRUE(Answer(Prompt("a", PastText())).finish.has_value());
  const std::vector<TokenId> query = *engine_->tokenizer().Encode("The code of box", false);
  const auto scored = Wait<absl::StatusOr<std::vector<SampledToken>>>(
      [&](auto done) { engine_->Score(Name("a"), {}, "acme", query, 2, nullptr, done); });
  ASSERT_TRUE(scored.ok()) << scored.status();
  ASSERT_EQ(scored->size(), query.size());
  for (size_t i = 0; i < query.size(); ++i) {
    EXPECT_EQ((*scored)[i].token, query[i]);
    EXPECT_LE((*scored)[i].logprob, 0);
    EXPECT_TRUE(std::isfinite((*scored)[i].logprob));
    EXPECT_EQ((*scored)[i].top.size(), 2u);
  }
  const auto found = Wait<absl::StatusOr<Engine::SearchResult>>(
      [&](auto done) { engine_->Search(Name("a"), query, 3, nullptr, done); });
  ASSERT_TRUE(found.ok()) << found.status();
  ASSERT_FALSE(found->passages.empty());
  EXPECT_NE(found->passages[0].text.find("box"), std::string::npos) << found->passages[0].text;
}

TEST_F(EngineCreateTest, RandomWeightsAnswerToo) {
  auto engine = Engine::CreateRandom("engine/model/demo/config.json", 1, kDemo, backend_.get(),
                                     {.limits = SmallLimits()});
  ASSERT_TRUE(engine.ok()) << engine.status();
  engine_ = *std::move(engine);
  const Told told = Answer(Prompt("", "Once"));
  ASSERT_TRUE(told.finish) << told.error;
  EXPECT_EQ(told.tokens.size(), 12u);
}

TEST(EngineCreateErrorTest, AFolderWithoutAModelIsRefused) {
  const auto backend = CreateCpuBackend({.threads = 1});
  EXPECT_EQ(Engine::Create("engine/model", backend.get(), {}).status().code(),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace eidetic
