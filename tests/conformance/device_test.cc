// The demo model on a GPU against the CPU: the same answers. Skips where no GPU is.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>

#include "engine/backend/cuda/loader.h"
#include "tests/conformance/model_runner.h"

namespace eidetic {
namespace {

using memory::TokenId;

constexpr char kDemo[] = "engine/model/demo";
constexpr int kPrompts = 32;
constexpr int32_t kAnswerTokens = 256;

// Prompts of many lengths; the demo model's vocabulary has 6,144 tokens, 4 of them special.
std::vector<TokenId> Prompt(int number) {
  std::vector<TokenId> prompt;
  uint32_t state = 12345 + 977 * number;
  const int length = number == 0 ? 1 : 7 + 37 * number;
  for (int i = 0; i < length; ++i) {
    state = state * 1664525 + 1013904223;
    prompt.push_back(4 + (state >> 8) % 6140);
  }
  return prompt;
}

class DeviceTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    const auto backend = LoadCudaBackend({.memory_bytes = size_t{1} << 30});
    reason_ = backend.ok() ? "" : std::string(backend.status().message());
  }
  void SetUp() override {
    if (!reason_.empty()) GTEST_SKIP() << "no GPU: " << reason_;
  }

  static std::vector<TokenId> Answer(ModelRunner* runner, int prompt) {
    TestSession session = runner->NewSession({});
    session.log.Append(Prompt(prompt));
    runner->Drain(&session);
    return runner->Greedy(&session, kAnswerTokens);
  }

  static inline std::string reason_;
};

TEST_F(DeviceTest, Float32AnswersAsTheCpuDoes) {
  ModelRunner cpu(kDemo);
  ModelRunner gpu(kDemo, {.device = "cuda", .float32 = true});
  for (int prompt = 0; prompt < kPrompts; ++prompt) {
    EXPECT_EQ(Answer(&gpu, prompt), Answer(&cpu, prompt)) << "prompt " << prompt;
  }
}

double LogSumExp(std::span<const float> logits) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - top);
  return top + std::log(sum);
}

// sum p log(p / q).
double Divergence(std::span<const float> p, std::span<const float> q) {
  const double log_p = LogSumExp(p), log_q = LogSumExp(q);
  double sum = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    const double a = p[i] - log_p;
    sum += std::exp(a) * (a - (q[i] - log_q));
  }
  return sum;
}

// The largest and the second largest logit's places.
std::pair<size_t, size_t> TopTwo(std::span<const float> logits) {
  size_t first = logits[0] >= logits[1] ? 0 : 1, second = 1 - first;
  for (size_t i = 2; i < logits.size(); ++i) {
    if (logits[i] > logits[first]) {
      second = std::exchange(first, i);
    } else if (logits[i] > logits[second]) {
      second = i;
    }
  }
  return {first, second};
}

TEST_F(DeviceTest, Bf16ChoosesAlikeWhereTheMarginIsClear) {
  ModelRunner cpu(kDemo);
  ModelRunner gpu(kDemo, {.device = "cuda"});
  double worst = 0, divergence = 0;
  std::vector<std::pair<double, bool>> margins;  // of each row, and whether both choose alike
  int64_t rows = 0;
  for (int prompt = 0; prompt < kPrompts; prompt += 4) {
    const std::vector<TokenId> answer = Answer(&cpu, prompt);
    std::vector<std::vector<float>> logits[2];
    int side = 0;
    for (ModelRunner* runner : {&cpu, &gpu}) {
      TestSession session = runner->NewSession({});
      runner->Append(&session, Prompt(prompt));
      logits[side++] = runner->Append(&session, answer);
    }
    for (size_t r = 0; r < answer.size(); ++r, ++rows) {
      const std::vector<float>&want = logits[0][r], &got = logits[1][r];
      for (size_t i = 0; i < want.size(); ++i) {
        ASSERT_TRUE(std::isfinite(got[i]));
        worst = std::max(worst, std::abs(double{want[i]} - got[i]));
      }
      divergence += Divergence(want, got);
      const auto [first, second] = TopTwo(want);
      margins.emplace_back(want[first] - want[second], TopTwo(got).first == first);
    }
  }
  std::printf("bench name=bf16_logits rows=%lld max_error=%.4f mean_kl=%.3g\n",
              static_cast<long long>(rows), worst, divergence / rows);
  for (const auto& [margin, alike] : margins) {
    if (margin > 4 * worst) {
      EXPECT_TRUE(alike) << "margin " << margin << ", largest error " << worst;
    }
  }
  EXPECT_LT(divergence / rows, 0.01);
}

// Rounding errors of a state that is read and rounded at every token could add up: 4,096 tokens.
TEST_F(DeviceTest, StatesInBf16DriftLittle) {
  constexpr int kQuarters = 4, kTokens = 1024;
  ModelRunner exact(kDemo, {.device = "cuda"}),
      rounded(kDemo, {.device = "cuda", .bf16_state = true});
  TestSession sessions[] = {exact.NewSession({}), rounded.NewSession({})};
  for (TestSession& session : sessions) session.log.Append(Prompt(9));
  exact.Drain(&sessions[0]);
  rounded.Drain(&sessions[1]);
  double divergence[kQuarters] = {};
  int64_t alike = 0;
  for (int i = 0; i < kQuarters * kTokens; ++i) {
    const std::vector<float>&want = sessions[0].logits, &got = sessions[1].logits;
    divergence[i / kTokens] += Divergence(want, got) / kTokens;
    alike += TopTwo(want).first == TopTwo(got).first;
    // Drawn by position among the likeliest two, so that the text does not run in a circle.
    const auto [first, second] = TopTwo(want);
    const auto next = static_cast<TokenId>(i % 7 == 0 ? second : first);
    for (TestSession& session : sessions) session.log.AppendGenerated(next);
    exact.Drain(&sessions[0]);
    rounded.Drain(&sessions[1]);
  }
  std::printf(
      "bench name=bf16_state tokens=%d top_1_alike=%.4f mean_kl_by_quarter=%.3g,%.3g,%.3g,%.3g\n",
      kQuarters * kTokens, static_cast<double>(alike) / (kQuarters * kTokens), divergence[0],
      divergence[1], divergence[2], divergence[3]);
  for (const double quarter : divergence) EXPECT_LT(quarter, 0.01);
}

TEST_F(DeviceTest, BatchInvariantModeIsBitwise) {
  ModelRunner gpu(kDemo, {.device = "cuda", .batch_invariant = true});
  std::vector<TestSession> alone, together;
  std::vector<TestSession*> batch;
  for (int prompt = 0; prompt < 12; ++prompt) {
    for (auto* sessions : {&alone, &together}) {
      sessions->push_back(gpu.NewSession({}));
      sessions->back().log.Append(Prompt(prompt));
    }
  }
  for (TestSession& session : together) batch.push_back(&session);
  for (int step = 0; step < 24; ++step) {
    gpu.Step(batch);
    for (size_t i = 0; i < alone.size(); ++i) {
      gpu.Step(std::vector<TestSession*>{&alone[i]});
      ASSERT_EQ(alone[i].logits, together[i].logits) << "sequence " << i << ", step " << step;
      if (alone[i].memory->published() < alone[i].log.size()) continue;
      const TokenId next = static_cast<TokenId>(TopTwo(alone[i].logits).first);
      alone[i].log.AppendGenerated(next);
      together[i].log.AppendGenerated(next);
    }
  }
}

TEST_F(DeviceTest, PagesInPinnedHostMemoryGiveTheSameTokens) {
  ModelRunner gpu(kDemo, {.device = "cuda", .max_host_pages = 1 << 12});
  TestSession resident = gpu.NewSession({}), moved = gpu.NewSession({});
  for (TestSession* session : {&resident, &moved}) {
    for (int prompt = 20; prompt < kPrompts; ++prompt) session->log.Append(Prompt(prompt));
    gpu.Drain(session);
  }
  EXPECT_GT(moved.memory->MoveToHost(1, 200, 1 << 12), 0);
  EXPECT_EQ(gpu.Greedy(&moved, 64), gpu.Greedy(&resident, 64));
  EXPECT_GT(gpu.pool().promoted()->stats().promoted, 0);
  EXPECT_GT(gpu.pool().promoted()->stats().chosen_on_device, 0);
}

TEST_F(DeviceTest, AWrongDeviceNumberIsRefused) {
  const absl::Status status = LoadCudaBackend({.device = 99}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
}

TEST_F(DeviceTest, MoreMemoryThanThereIsIsRefused) {
  const absl::Status status = LoadCudaBackend({.memory_bytes = size_t{1} << 50}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
}

TEST_F(DeviceTest, AFullDeviceRefusesASessionAndServesTheRest) {
  const auto backend = LoadCudaBackend({.memory_bytes = size_t{64} << 20});
  ASSERT_TRUE(backend.ok()) << backend.status();
  auto first = (*backend)->arena()->Allocate(size_t{60} << 20);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ((*backend)->arena()->Allocate(size_t{60} << 20).status().code(),
            absl::StatusCode::kResourceExhausted);
  (*backend)->arena()->Free(*first, size_t{60} << 20);
  first = (*backend)->arena()->Allocate(size_t{60} << 20);
  ASSERT_TRUE(first.ok()) << first.status();
  (*backend)->arena()->Free(*first, size_t{60} << 20);
  EXPECT_EQ((*backend)->Synchronize(), absl::OkStatus());
}

}  // namespace
}  // namespace eidetic
