// Reads single numbers out of stored tensors.
//
// What: widening of bf16 and fp16 to float32; both are exact.
// Thread safety: pure functions. Ownership: none.
// Preconditions: `index` is within the tensor.
#ifndef EIDETIC_ENGINE_BACKEND_ELEMENT_H_
#define EIDETIC_ENGINE_BACKEND_ELEMENT_H_

#include <bit>
#include <cstdint>
#include <cstring>

#include "engine/model/safetensors.h"

namespace eidetic {

inline float WidenBf16(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

inline float WidenF16(uint16_t bits) {
  const uint32_t sign = uint32_t{bits & 0x8000u} << 16;
  const uint32_t exponent = (bits >> 10) & 31;
  const uint32_t mantissa = bits & 1023u;
  if (exponent == 0) {  // zero or subnormal: mantissa * 2^-24
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(magnitude));
  }
  const uint32_t widened = exponent == 31 ? 255 : exponent + 112;
  return std::bit_cast<float>(sign | widened << 23 | mantissa << 13);
}

// Element `index` of `view`, counted in row-major order.
inline float ReadElement(const TensorView& view, int64_t index) {
  if (view.dtype == DType::kF32) {
    float value;
    std::memcpy(&value, view.data.data() + index * 4, 4);
    return value;
  }
  uint16_t bits;
  std::memcpy(&bits, view.data.data() + index * 2, 2);
  return view.dtype == DType::kBF16 ? WidenBf16(bits) : WidenF16(bits);
}

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_BACKEND_ELEMENT_H_
