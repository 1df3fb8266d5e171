// What observing costs the engine's loop: one step with a token of each of 64 answers.
#include <chrono>
#include <cstdio>

#include "server/metrics.h"

namespace eidetic {
namespace {

constexpr int kSteps = 20'000, kSequences = 64, kRounds = 5;

double SecondsOfStep(Metrics* metrics) {
  EngineObserver::Step step{.seconds = 0.0006,
                            .sequences = kSequences,
                            .decode_tokens = kSequences,
                            .retrieval = {.choices = 128, .proven = 128, .seconds = 0.0001}};
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < kSteps; ++i) {
    for (int k = 0; k < kSequences; ++k) metrics->OnInterToken(0.0006);
    metrics->OnStep(step);
    metrics->OnStepApplied();
  }
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
  return time.count() / kSteps;
}

}  // namespace
}  // namespace eidetic

int main() {
  eidetic::Metrics metrics("model", "backend");
  for (int round = 0; round < eidetic::kRounds; ++round) {
    std::printf("bench metrics sequences=%d step_microseconds=%.3f\n", eidetic::kSequences,
                1e6 * eidetic::SecondsOfStep(&metrics));
  }
}
