#include <iterator>
#include <random>

#include "absl/strings/str_cat.h"
#include "tests/chaos/script.h"
#include "tests/end_to_end/requests.h"

namespace eidetic::testing {
namespace {

constexpr int32_t kTokenIds = 4000;  // of the demo model's vocabulary, none special
constexpr int kSteps = 14;

std::vector<int32_t> DrawTokens(int count, std::mt19937_64* random) {
  std::vector<int32_t> tokens(count);
  for (int32_t& token : tokens) token = 100 + static_cast<int32_t>((*random)() % kTokenIds);
  return tokens;
}

v1::AttentionSettings DrawAttention(uint64_t policy, std::mt19937_64* random) {
  v1::AttentionSettings settings;
  constexpr v1::AttentionPolicy kPolicies[] = {
      v1::ATTENTION_POLICY_SE_ATTN, v1::ATTENTION_POLICY_SE_ATTN, v1::ATTENTION_POLICY_WINDOW,
      v1::ATTENTION_POLICY_SE_ATTN, v1::ATTENTION_POLICY_FULL};
  settings.set_policy(kPolicies[policy % std::size(kPolicies)]);
  settings.set_rule(static_cast<v1::RetrievalRule>(1 + (*random)() % v1::RetrievalRule_MAX));
  settings.set_window_tokens(32 << (*random)() % 3);
  settings.set_span_blocks(1 + static_cast<int32_t>((*random)() % 6));
  settings.set_sink_blocks(static_cast<int32_t>((*random)() % 3));
  settings.set_remap_positions((*random)() % 4 != 0);
  settings.set_retrieve_in_prefill((*random)() % 4 != 0);
  return settings;
}

// Step `i`. `snapshots`: those that the session has.
ScriptStep DrawStep(int i, std::vector<std::string>* snapshots, std::mt19937_64* random) {
  const uint64_t kind = (*random)() % 12;
  ScriptStep step;
  if (kind < 2) {
    step.rewind = 1 + static_cast<int64_t>((*random)() % 60);
  } else if (kind < 4 && !snapshots->empty()) {
    step.restore = (*snapshots)[(*random)() % snapshots->size()];
  } else if (kind < 5) {
    step.snapshot = snapshots->emplace_back(absl::StrCat("p", i));
  } else if (kind < 6) {
    snapshots->clear();
    step.fork = absl::StrCat("-f", i);
    if ((*random)() % 2 == 0) step.attention = DrawAttention((*random)(), random);
  } else if (kind < 8) {
    step.append = DrawTokens(1 + static_cast<int>((*random)() % 90), random);
  } else {
    const int count = 5 + static_cast<int>((*random)() % 30);
    step.generate = (*random)() % 2 == 0 ? Greedy("", count) : Sampled("", count, (*random)());
    step.generate.set_request_id(absl::StrCat("r", i));
  }
  return step;
}

}  // namespace

Script DrawScript(uint64_t seed) {
  std::mt19937_64 random(seed);
  Script script;
  script.session_id = absl::StrCat("chaos-", seed);
  script.attention = DrawAttention(seed, &random);
  script.steps.push_back({.append = DrawTokens(300, &random)});
  std::vector<std::string> snapshots;
  for (int i = 1; i < kSteps; ++i) script.steps.push_back(DrawStep(i, &snapshots, &random));
  return script;
}

}  // namespace eidetic::testing
