// A session whose distant pages come late, in whatever order, computes the bits of one that has
// them all.
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <random>
#include <string>

#include "engine/backend/cuda/loader.h"
#include "engine/layers/span_plan.h"
#include "memory/session_load.h"
#include "tests/conformance/model_runner.h"

namespace eidetic {
namespace {

using memory::LatePages;
using memory::TokenId;

std::vector<TokenId> SomeTokens(int32_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<TokenId> tokens(count);
  for (TokenId& token : tokens) token = 4 + static_cast<TokenId>(random() % 6000);
  return tokens;
}

struct Variant {
  memory::RetrievalRule rule;
  std::string device = "cpu";
  bool float32 = false;
};

class LatePagesTest : public ::testing::TestWithParam<Variant> {
 protected:
  void SetUp() override {
    if (GetParam().device == "cuda") {
      const auto backend = LoadCudaBackend({.memory_bytes = size_t{1} << 30});
      if (!backend.ok()) GTEST_SKIP() << "no GPU: " << backend.status().message();
    }
    runner_.emplace("engine/model/demo", ModelRunner::Options{.device = GetParam().device,
                                                              .float32 = GetParam().float32,
                                                              .query_chunk_tokens = 128});
  }

  static memory::SpanSettings Settings() {
    memory::SpanSettings settings;
    settings.window_tokens = 96;
    settings.span_blocks = 4;
    settings.rule = GetParam().rule;
    settings.first_candidates = 6;
    settings.candidate_budget = 12;
    return settings;
  }

  // The past of `session` from an image of it; distant pages are late.
  TestSession Wake(const TestSession& session) {
    image_ = session.memory->Image(0, 0);
    const SpanPlan plan = PlanSpan(session.settings, 32, /*retrieves=*/true, image_->position(),
                                   memory::TokenKind::kGenerated);
    auto load = memory::SessionLoad::Begin(&runner_->pool(), {.position = image_->position(),
                                                              .stored = image_->summary(),
                                                              .wanted = image_->summary(),
                                                              .first_far = plan.first,
                                                              .last_far = plan.last,
                                                              .late = true});
    EXPECT_TRUE(load.ok()) << load.status();
    (*load)->WriteState(image_->state());
    for (size_t layer = 0; layer < image_->pages().size(); ++layer) {
      for (int64_t tile = 0; tile < (*load)->tiles(); ++tile) {
        (*load)->WriteTile(layer, tile, Bytes(image_->tiles()[layer], tile));
      }
      for (int64_t block = 0; block < (*load)->blocks(); ++block) {
        if ((*load)->IsLate(block)) continue;
        (*load)->WritePage(layer, block, Bytes(image_->pages()[layer], block));
      }
    }
    late_ = (*load)->late();
    TestSession woken;
    woken.settings = session.settings;
    woken.log = session.log;
    woken.memory = (*load)->Finish();
    EXPECT_TRUE(woken.memory->BeginWork().ok());
    return woken;
  }

  static std::vector<std::byte> Bytes(const memory::SessionImage::Layer& layer, int64_t index) {
    std::vector<std::byte> bytes(layer.bytes);
    memory::SessionImage::Read(layer, index, bytes);
    return bytes;
  }

  // One page comes: of those that are wanted, the first. Whether there was any.
  bool Land() {
    const auto page = late_->Next();
    if (!page) return false;
    late_->Write(*page, Bytes(image_->pages()[page->layer], page->block));
    late_->Landed(*page);
    return true;
  }

  // Computes the whole log, a page at a time: steps are tried though what they want is missing.
  void Drain(TestSession* session) {
    while (session->memory->published() < session->log.size()) {
      session->memory->TakeLanded();
      runner_->Step({&session, 1});
      if (!session->memory->missed()) continue;
      ++void_steps_;
      ASSERT_TRUE(Land());
    }
  }

  std::optional<ModelRunner> runner_;
  std::unique_ptr<memory::SessionImage> image_;
  std::shared_ptr<LatePages> late_;
  int void_steps_ = 0;
};

TEST_P(LatePagesTest, APageAtATime) {
  TestSession whole = runner_->NewSession(Settings());
  runner_->Append(&whole, SomeTokens(1500, 1));
  TestSession woken = Wake(whole);
  const std::vector<TokenId> prompt = SomeTokens(200, 2);
  whole.log.Append(prompt);
  woken.log.Append(prompt);
  runner_->Drain(&whole);
  Drain(&woken);
  ASSERT_EQ(woken.logits, whole.logits);
  for (int i = 0; i < 12; ++i) {
    const auto best = std::max_element(whole.logits.begin(), whole.logits.end());
    const auto token = static_cast<TokenId>(best - whole.logits.begin());
    whole.log.AppendGenerated(token);
    woken.log.AppendGenerated(token);
    runner_->Drain(&whole);
    Drain(&woken);
    ASSERT_EQ(woken.logits, whole.logits) << "token " << i;
  }
  EXPECT_GT(void_steps_, 0);
  while (Land()) {
  }
  woken.memory->EndLate();
  late_.reset();
  EXPECT_FALSE(woken.memory->late());
  TestSession fork = runner_->Fork(woken);
  EXPECT_EQ(runner_->Greedy(&fork, 4), runner_->Greedy(&whole, 4));
}

using memory::RetrievalRule;
INSTANTIATE_TEST_SUITE_P(Cpu, LatePagesTest,
                         ::testing::Values(Variant{RetrievalRule::kTwoStage},
                                           Variant{RetrievalRule::kExact},
                                           Variant{RetrievalRule::kBound}));
INSTANTIATE_TEST_SUITE_P(Cuda, LatePagesTest,
                         ::testing::Values(Variant{RetrievalRule::kTwoStage, "cuda"},
                                           Variant{RetrievalRule::kTwoStage, "cuda", true},
                                           Variant{RetrievalRule::kExact, "cuda"},
                                           Variant{RetrievalRule::kBound, "cuda"}));

}  // namespace
}  // namespace eidetic
