// The demo model with its adapter on a GPU against the CPU. Skips where no GPU is.
#include <gtest/gtest.h>

#include <algorithm>

#include "engine/backend/cuda/loader.h"
#include "tests/conformance/model_runner.h"

namespace eidetic {
namespace {

using memory::TokenId;

constexpr char kDemo[] = "engine/model/demo";
constexpr char kAdapter[] = "engine/model/demo/adapter";

std::vector<TokenId> Prompt(int number) {
  std::vector<TokenId> prompt;
  uint32_t state = 4711 + 977 * number;
  const int length = number == 0 ? 1 : 7 + 83 * number;
  for (int i = 0; i < length; ++i) {
    state = state * 1664525 + 1013904223;
    prompt.push_back(4 + (state >> 8) % 6140);
  }
  return prompt;
}

class DeviceAdapterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto backend = LoadCudaBackend({.memory_bytes = size_t{1} << 30});
    if (!backend.ok()) GTEST_SKIP() << "no GPU: " << backend.status().message();
  }
};

TEST_F(DeviceAdapterTest, Float32AnswersAsTheCpuDoes) {
  ModelRunner cpu(kDemo);
  ModelRunner gpu(kDemo, {.device = "cuda", .float32 = true});
  int changed = 0;
  for (int prompt = 0; prompt < 8; ++prompt) {
    std::vector<std::vector<TokenId>> answers;
    for (ModelRunner* runner : {&cpu, &gpu}) {
      TestSession session = runner->NewSession({});
      session.adapter = runner->LoadAdapter(kAdapter);
      session.log.Append(Prompt(prompt));
      runner->Drain(&session);
      answers.push_back(runner->Greedy(&session, 128));
    }
    EXPECT_EQ(answers[1], answers[0]) << "prompt " << prompt;
    TestSession base = cpu.NewSession({});
    base.log.Append(Prompt(prompt));
    cpu.Drain(&base);
    changed += cpu.Greedy(&base, 128) != answers[0];
  }
  EXPECT_GT(changed, 0) << "the adapter is the base";
}

TEST_F(DeviceAdapterTest, BatchInvariantModeIsBitwise) {
  ModelRunner gpu(kDemo, {.device = "cuda", .batch_invariant = true});
  std::vector<TestSession> alone, together;
  std::vector<TestSession*> batch;
  for (int i = 0; i < 12; ++i) {
    for (auto* sessions : {&alone, &together}) {
      sessions->push_back(gpu.NewSession({}));
      sessions->back().log.Append(Prompt(i % 7));
      if (i % 3 != 0) sessions->back().adapter = gpu.LoadAdapter(kAdapter);
    }
  }
  for (TestSession& session : together) batch.push_back(&session);
  for (int step = 0; step < 16; ++step) {
    gpu.Step(batch);
    for (size_t i = 0; i < alone.size(); ++i) {
      gpu.Step(std::vector<TestSession*>{&alone[i]});
      ASSERT_EQ(alone[i].logits, together[i].logits) << "sequence " << i << ", step " << step;
      if (alone[i].memory->published() < alone[i].log.size()) continue;
      const auto& logits = alone[i].logits;
      const TokenId next =
          static_cast<TokenId>(std::max_element(logits.begin(), logits.end()) - logits.begin());
      alone[i].log.AppendGenerated(next);
      together[i].log.AppendGenerated(next);
    }
  }
}

}  // namespace
}  // namespace eidetic
