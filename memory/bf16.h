// bfloat16 with a choice of rounding: the upper half of a float32.
//
// Thread safety: pure functions. Ownership: none. Preconditions: none.
#ifndef EIDETIC_MEMORY_BF16_H_
#define EIDETIC_MEMORY_BF16_H_

#include <bit>
#include <cstdint>

namespace eidetic::memory {

using Bf16 = uint16_t;

constexpr float Widen(Bf16 value) { return std::bit_cast<float>(uint32_t{value} << 16); }

// The smallest bfloat16 that is not below `value`. Cutting off the lower half moves
// towards zero, which is up for negative numbers already. Not for NaN.
constexpr Bf16 RoundUp(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const bool cut_is_below = (bits & 0xFFFF) != 0 && (bits >> 31) == 0;
  return static_cast<Bf16>((bits >> 16) + (cut_is_below ? 1 : 0));
}

// The largest bfloat16 that is not above `value`. Not for NaN.
constexpr Bf16 RoundDown(float value) { return RoundUp(-value) ^ 0x8000; }

// The nearest bfloat16, ties to even; NaN stays NaN.
constexpr Bf16 RoundNearest(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if (value != value) return static_cast<Bf16>(bits >> 16 | 0x40);
  return static_cast<Bf16>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_BF16_H_
