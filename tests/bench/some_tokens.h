// Prompts for measurements.
//
// Thread safety: pure. Ownership: values. Preconditions: none.
#ifndef EIDETIC_TESTS_BENCH_SOME_TOKENS_H_
#define EIDETIC_TESTS_BENCH_SOME_TOKENS_H_

#include <cstdint>
#include <vector>

namespace eidetic::bench {

// Ids that every tokenizer knows, others for every seed.
inline std::vector<int32_t> SomeTokens(int64_t count, int64_t seed) {
  constexpr int64_t kFirst = 100, kTokens = 400;
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < count; ++i) {
    tokens.push_back(static_cast<int32_t>(kFirst + (i * (31 + seed % 7) + seed) % kTokens));
  }
  return tokens;
}

}  // namespace eidetic::bench

#endif  // EIDETIC_TESTS_BENCH_SOME_TOKENS_H_
