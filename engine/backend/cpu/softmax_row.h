// Passes over one row of logits.
//
// Thread safety: pure functions. Ownership: borrows everything.
// Preconditions: count >= 1.
#ifndef EIDETIC_ENGINE_BACKEND_CPU_SOFTMAX_ROW_H_
#define EIDETIC_ENGINE_BACKEND_CPU_SOFTMAX_ROW_H_

#include <cstdint>

namespace eidetic::cpu {

// to = from with NaN as minus infinity and plus infinity as the largest finite
// number, [count]. Returns the largest.
float CleanRow(const float* from, int64_t count, float* to);

// to[i] = exp((from[i] - maximum) / temperature), [count]. Returns their sum:
// in float32 over 256 at a time, in double over those. `to` may be `from`.
double ExpRow(const float* from, int64_t count, float maximum, float temperature, float* to);

}  // namespace eidetic::cpu

#endif  // EIDETIC_ENGINE_BACKEND_CPU_SOFTMAX_ROW_H_
