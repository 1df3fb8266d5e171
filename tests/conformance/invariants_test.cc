// The invariants of the design, on the demo model: equalities here are bitwise.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/conformance/model_runner.h"

namespace eidetic {
namespace {

using memory::AttentionPolicy;
using memory::RetrievalRule;
using memory::SpanSettings;
using memory::TokenId;

constexpr char kDemoModel[] = "engine/model/demo";

std::vector<TokenId> SomeTokens(int32_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_int_distribution<TokenId> id(4, 6143);
  std::vector<TokenId> tokens(count);
  for (TokenId& token : tokens) token = id(random);
  // Stretches that come again give retrieval something to find.
  for (size_t i = count / 2; i + 20 < tokens.size(); i += 97) {
    std::copy_n(tokens.begin() + static_cast<int64_t>(i) / 3, 20,
                tokens.begin() + static_cast<int64_t>(i));
  }
  return tokens;
}

// A small window, so that a short session has many distant blocks.
SpanSettings SmallWindow() {
  SpanSettings settings;
  settings.window_tokens = 96;
  settings.span_blocks = 4;
  return settings;
}

// The demo model with retrieval in all its attention layers; as shipped it retrieves in
// the one that does the finding.
std::string AllLayersRetrieve() {
  const std::filesystem::path folder = std::filesystem::path(::testing::TempDir()) / "demo";
  std::filesystem::create_directories(folder);
  for (const auto& entry : std::filesystem::directory_iterator(kDemoModel)) {
    std::filesystem::copy(entry.path(), folder / entry.path().filename(),
                          std::filesystem::copy_options::overwrite_existing);
  }
  std::ifstream in(std::string(kDemoModel) + "/config.json");
  nlohmann::json config = nlohmann::json::parse(in);
  EXPECT_EQ(config.erase("eidetic_retrieving_layers"), 1u);
  std::filesystem::remove(folder / "config.json");
  std::ofstream(folder / "config.json") << config;
  return folder.string();
}

class Invariants : public ::testing::Test {
 protected:
  const std::string model_ = AllLayersRetrieve();
  ModelRunner runner_{model_, {.query_chunk_tokens = 128}};
};

TEST_F(Invariants, SpanOfAllDistantBlocksAtTruePositionsIsFullAttention) {
  SpanSettings everything = SmallWindow();
  everything.span_blocks = 1000;
  everything.remap_positions = false;
  TestSession se_attn = runner_.NewSession(everything);
  TestSession full = runner_.NewSession(FullAttention());
  const std::vector<TokenId> prompt = SomeTokens(700, 1);
  EXPECT_EQ(runner_.Append(&se_attn, prompt), runner_.Append(&full, prompt));
  std::vector<std::vector<float>> a, b;
  runner_.Greedy(&se_attn, 40, &a);
  runner_.Greedy(&full, 40, &b);
  EXPECT_EQ(a, b);
}

TEST_F(Invariants, NoSpanAndNoSinksIsWindowAttention) {
  SpanSettings none = SmallWindow();
  none.span_blocks = 0;
  none.sink_blocks = 0;
  SpanSettings window = SmallWindow();
  window.policy = AttentionPolicy::kWindow;
  window.sink_blocks = 0;
  TestSession a = runner_.NewSession(none);
  TestSession b = runner_.NewSession(window);
  const std::vector<TokenId> prompt = SomeTokens(500, 2);
  EXPECT_EQ(runner_.Append(&a, prompt), runner_.Append(&b, prompt));
  EXPECT_EQ(runner_.Greedy(&a, 20), runner_.Greedy(&b, 20));
}

TEST_F(Invariants, WindowAttentionForgetsWhatSpanAttentionKeeps) {
  SpanSettings window = SmallWindow();
  window.policy = AttentionPolicy::kWindow;
  TestSession a = runner_.NewSession(SmallWindow());
  TestSession b = runner_.NewSession(window);
  const std::vector<TokenId> prompt = SomeTokens(700, 3);
  EXPECT_NE(runner_.Append(&a, prompt).back(), runner_.Append(&b, prompt).back());
}

TEST_F(Invariants, TwoStageRuleWithAnOpenBudgetChoosesAsTheExactRule) {
  SpanSettings exact = SmallWindow();
  exact.rule = RetrievalRule::kExact;
  SpanSettings two_stage = SmallWindow();
  two_stage.first_candidates = 2;
  two_stage.candidate_budget = 1 << 20;
  TestSession a = runner_.NewSession(exact);
  TestSession b = runner_.NewSession(two_stage);
  const std::vector<TokenId> prompt = SomeTokens(900, 4);
  EXPECT_EQ(runner_.Append(&a, prompt), runner_.Append(&b, prompt));
  EXPECT_EQ(runner_.Greedy(&a, 30), runner_.Greedy(&b, 30));
}

// Every session's logits at every chunk's end must not depend on company.
TEST_F(Invariants, AloneOrInAnyBatch) {
  const std::vector<std::vector<TokenId>> prompts = {SomeTokens(700, 5), SomeTokens(1, 6),
                                                     SomeTokens(389, 7), SomeTokens(128, 8)};
  SpanSettings window = SmallWindow();
  window.policy = AttentionPolicy::kWindow;
  const std::vector<SpanSettings> settings = {SmallWindow(), FullAttention(), SmallWindow(),
                                              window};
  std::vector<std::vector<float>> alone;
  std::vector<std::vector<TokenId>> answers;
  for (size_t i = 0; i < prompts.size(); ++i) {
    TestSession session = runner_.NewSession(settings[i]);
    session.log.Append(prompts[i]);
    runner_.Drain(&session);
    alone.push_back(session.logits);
    answers.push_back(runner_.Greedy(&session, 12));
  }
  // The same four in one batch, each decoding as soon as its prompt is done: decodes of
  // one share steps with prefill of others.
  std::vector<TestSession> sessions;
  for (size_t i = 0; i < prompts.size(); ++i) {
    sessions.push_back(runner_.NewSession(settings[i]));
    sessions[i].log.Append(prompts[i]);
  }
  std::mt19937 random(9);
  std::vector<std::vector<TokenId>> drawn(sessions.size());
  const auto done = [&] {
    return std::all_of(drawn.begin(), drawn.end(), [](const auto& d) { return d.size() >= 12; });
  };
  while (!done()) {
    std::vector<TestSession*> batch;
    for (TestSession& session : sessions) {
      if (random() % 3 != 0) batch.push_back(&session);  // the scheduler leaves some out
    }
    std::shuffle(batch.begin(), batch.end(), random);
    runner_.Step(batch);
    for (size_t i = 0; i < sessions.size(); ++i) {
      TestSession& s = sessions[i];
      if (s.memory->published() < s.log.size()) continue;
      if (drawn[i].empty()) {
        EXPECT_EQ(s.logits, alone[i]) << i;
      }
      drawn[i].push_back(static_cast<TokenId>(std::max_element(s.logits.begin(), s.logits.end()) -
                                              s.logits.begin()));
      s.log.AppendGenerated(drawn[i].back());
    }
  }
  for (size_t i = 0; i < sessions.size(); ++i) {
    drawn[i].resize(12);
    EXPECT_EQ(drawn[i], answers[i]) << i;
  }
}

TEST_F(Invariants, OneThreadOrThree) {
  ModelRunner one(model_, {.threads = 1, .query_chunk_tokens = 128});
  ModelRunner three(model_, {.threads = 3, .query_chunk_tokens = 128});
  TestSession a = one.NewSession(SmallWindow());
  TestSession b = three.NewSession(SmallWindow());
  const std::vector<TokenId> prompt = SomeTokens(700, 10);
  EXPECT_EQ(one.Append(&a, prompt), three.Append(&b, prompt));
  EXPECT_EQ(one.Greedy(&a, 10), three.Greedy(&b, 10));
}

TEST_F(Invariants, ForkContinuesAsItsParentAndLeavesItAlone) {
  TestSession parent = runner_.NewSession(SmallWindow());
  runner_.Append(&parent, SomeTokens(555, 11));
  TestSession straight = runner_.Fork(parent);
  TestSession strayed = runner_.Fork(parent);
  runner_.Append(&strayed, SomeTokens(200, 12));
  const std::vector<TokenId> more = SomeTokens(300, 13);
  const std::vector<std::vector<float>> child_logits = runner_.Append(&straight, more);
  EXPECT_EQ(child_logits, runner_.Append(&parent, more));
  EXPECT_EQ(runner_.Greedy(&straight, 10), runner_.Greedy(&parent, 10));
}

TEST_F(Invariants, DeletedSessionsGiveEverythingBackZeroed) {
  {
    TestSession session = runner_.NewSession(SmallWindow());
    runner_.Append(&session, SomeTokens(400, 14));
    EXPECT_GT(runner_.pool().pages().used_count(), 0);
  }
  EXPECT_EQ(runner_.pool().pages().used_count(), 0);
  EXPECT_EQ(runner_.pool().tiles().used_count(), 0);
  EXPECT_EQ(runner_.pool().slots().used_count(), 0);
  memory::PageStore& pages = runner_.pool().pages();
  absl::StatusOr<std::vector<memory::PageId>> again = pages.Allocate(26);
  ASSERT_TRUE(again.ok());
  for (const memory::PageId page : *again) {
    const char* bytes = static_cast<const char*>(pages.Address(page));
    EXPECT_EQ(std::count(bytes, bytes + pages.page_bytes(), 0),
              static_cast<int64_t>(pages.page_bytes()));
    pages.Release(page);
  }
}

TEST_F(Invariants, TokensDoNotDependOnTheTierOfPages) {
  ModelRunner tiered(model_, {.query_chunk_tokens = 128, .max_host_pages = 1000});
  TestSession one = runner_.NewSession(SmallWindow());
  TestSession two = tiered.NewSession(SmallWindow());
  const std::vector<TokenId> tokens = SomeTokens(900, 3);
  for (TestSession* session : {&one, &two}) session->log.Append(tokens);
  runner_.Drain(&one);
  tiered.Drain(&two);
  EXPECT_GT(two.memory->MoveToHost(1, 20, 1000), 0);
  EXPECT_EQ(tiered.Greedy(&two, 20), runner_.Greedy(&one, 20));
  EXPECT_EQ(two.logits, one.logits);
}

TEST_F(Invariants, TokensDoNotDependOnPagesThatComeBackToTheDevice) {
  TestSession one = runner_.NewSession(SmallWindow());
  one.log.Append(SomeTokens(900, 3));
  runner_.Drain(&one);
  const std::vector<TokenId> first = runner_.Greedy(&one, 30);
  TestSession one_child = runner_.Fork(one);
  const std::vector<TokenId> second = runner_.Greedy(&one_child, 10);
  int64_t fewest_on_device = -1;
  for (const int32_t promoted : {0, 3, 1000}) {
    SCOPED_TRACE(promoted);
    ModelRunner tiered(
        model_,
        {.query_chunk_tokens = 128, .max_host_pages = 1000, .max_promoted_pages = promoted});
    const memory::PromotedPages& pages = *tiered.pool().promoted();
    {
      TestSession two = tiered.NewSession(SmallWindow());
      two.log.Append(SomeTokens(900, 3));
      tiered.Drain(&two);
      EXPECT_GT(two.memory->MoveToHost(1, 25, 1000), 0);
      EXPECT_EQ(tiered.Greedy(&two, 30), first);
      EXPECT_EQ(two.logits, one.logits);
      TestSession child = tiered.Fork(two);
      EXPECT_EQ(tiered.Greedy(&child, 10), second);
      EXPECT_EQ(child.logits, one_child.logits);
      EXPECT_LE(pages.size(), promoted);
    }
    const memory::PromotionStats& stats = pages.stats();
    EXPECT_GT(stats.chosen_on_device, fewest_on_device) << "a larger cache holds more";
    fewest_on_device = stats.chosen_on_device;
    EXPECT_EQ(stats.promoted > 0, promoted > 0);
    tiered.pool().BetweenSteps({});
    EXPECT_EQ(pages.size(), 0);
    EXPECT_EQ(tiered.pool().pages().used_count(), 0);
    EXPECT_EQ(tiered.pool().host_pages()->used_count(), 0);
  }
}

}  // namespace
}  // namespace eidetic
