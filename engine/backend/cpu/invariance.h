// How the invariance tests compare: a batch against its parts, bit by bit.
//
// Thread safety: none. Ownership: values. Preconditions: none.
#ifndef EIDETIC_ENGINE_BACKEND_CPU_INVARIANCE_H_
#define EIDETIC_ENGINE_BACKEND_CPU_INVARIANCE_H_

#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "engine/backend/backend_fixture.h"
#include "engine/backend/cpu/cpu_backend.h"

namespace eidetic {

// What an operation computes for parts [first, last) of a fixed batch, part by part.
using Parts = std::vector<std::vector<float>>;
using Operation = std::function<Parts(OpRun& run, int64_t first, int64_t last)>;

inline void ExpectInvariant(int64_t parts, const Operation& operation) {
  const auto run = [&](int32_t threads, int64_t first, int64_t last) {
    OpRun fresh(CreateCpuBackend({.threads = threads}));
    return operation(fresh, first, last);
  };
  const Parts whole = run(1, 0, parts);
  ASSERT_EQ(whole.size(), static_cast<size_t>(parts));
  for (const int32_t threads : {2, 3}) {
    const Parts again = run(threads, 0, parts);
    for (int64_t p = 0; p < parts; ++p) {
      EXPECT_TRUE(SameBits(again[p], whole[p])) << threads << " threads, part " << p;
    }
  }
  for (int64_t p = 0; p < parts; ++p) {
    EXPECT_TRUE(SameBits(run(2, p, p + 1)[0], whole[p])) << "part " << p << " alone";
  }
  const Parts tail = run(2, parts / 3, parts);  // another place in another batch
  for (size_t i = 0; i < tail.size(); ++i) {
    EXPECT_TRUE(SameBits(tail[i], whole[parts / 3 + i])) << "part " << i << " of the tail";
  }
}

inline std::vector<float> Slice(const std::vector<float>& values, int64_t begin, int64_t end) {
  return {values.begin() + begin, values.begin() + end};
}

inline Parts ReadRows(OpRun& run, const void* from, int64_t rows, int64_t width) {
  const std::vector<float> all = run.ReadFloats(from, rows * width);
  Parts parts;
  for (int64_t r = 0; r < rows; ++r) parts.push_back(Slice(all, r * width, (r + 1) * width));
  return parts;
}

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_BACKEND_CPU_INVARIANCE_H_
