#include "tests/bench/choice_hits.h"

#include <gtest/gtest.h>

#include <vector>

#include "engine/backend/create_backend.h"
#include "engine/backend/forwarding_backend.h"
#include "tests/bench/bench_model.h"

namespace eidetic::bench {
namespace {

// Chooses blocks 1, 2, 3 and nothing else, but by the exact rule 2, 3, 4, 5.
class ScriptedBackend final : public ForwardingBackend {
 public:
  using ForwardingBackend::ForwardingBackend;
  void RetrieveSpan(const RetrieveSpanParams& params) override {
    const bool exact = params.requests[0].rule == memory::RetrievalRule::kExact;
    const std::vector<int32_t> blocks =
        exact ? std::vector<int32_t>{2, 3, 4, 5} : std::vector<int32_t>{1, 2, 3, -1};
    arena()->CopyFromHost(params.blocks, blocks.data(), blocks.size() * sizeof(int32_t));
  }
};

class ChoiceHitsTest : public ::testing::Test {
 protected:
  const std::unique_ptr<Backend> backend_ = *CreateBackend({.device = "cpu"});
};

TEST_F(ChoiceHitsTest, TheShareIsOfTheExactChoice) {
  ScriptedBackend scripted(backend_.get());
  const RetrievalRequest request = {.first = 0, .last = 9, .span_blocks = 4};
  std::vector<int32_t> blocks(4);
  RetrieveSpanParams params;
  params.layout.kv_heads = 1;
  params.requests = {&request, 1};
  params.blocks = blocks.data();
  params.max_span = 4;
  ChoiceHits hits(&scripted);
  EXPECT_EQ(hits.share(), 0.0);
  for (int i = 0; i < 2; ++i) {
    scripted.RetrieveSpan(params);
    hits.Count(params);
    EXPECT_EQ(hits.share(), 0.5);
  }
}

// Of a session of the demo model that re-ranks at most `budget` blocks by their keys.
double ShareOfBudget(BenchModel* model, int32_t budget) {
  memory::SpanSettings settings;
  settings.window_tokens = 64;
  settings.first_candidates = settings.candidate_budget = budget;
  BenchSession session = model->NewSession(settings);
  std::vector<memory::TokenId> tokens;
  for (int i = 0; i < 800; ++i) tokens.push_back(100 + i * i % 3001);
  model->Append(&session, tokens);
  return model->HitShare({&session, 1}, 2);
}

TEST_F(ChoiceHitsTest, ARuleThatReadsEveryBlockMissesNone) {
  BenchModel model({.model = "engine/model/demo", .max_pages = 256, .query_chunk_tokens = 64},
                   backend_.get());
  EXPECT_EQ(ShareOfBudget(&model, 256), 1.0);
  const double few = ShareOfBudget(&model, 8);
  EXPECT_GT(few, 0.0);
  EXPECT_LT(few, 1.0);
}

}  // namespace
}  // namespace eidetic::bench
