// The number formats that weights are stored in.
//
// Thread safety: plain values. Ownership: none. Preconditions: none.
#ifndef EIDETIC_ENGINE_MODEL_DTYPE_H_
#define EIDETIC_ENGINE_MODEL_DTYPE_H_

#include <cstddef>
#include <cstdint>

namespace eidetic {

enum class DType : uint8_t { kF32, kF16, kBF16 };

constexpr size_t DTypeBytes(DType dtype) { return dtype == DType::kF32 ? 4 : 2; }
constexpr const char* DTypeName(DType dtype) {
  return dtype == DType::kF32 ? "F32" : dtype == DType::kF16 ? "F16" : "BF16";
}

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_MODEL_DTYPE_H_
