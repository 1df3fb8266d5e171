// Which instruction set the CPU operations run on.
//
// Thread safety: thread-safe. Ownership: none. Preconditions: none.
#ifndef EIDETIC_ENGINE_BACKEND_CPU_SIMD_TARGET_H_
#define EIDETIC_ENGINE_BACKEND_CPU_SIMD_TARGET_H_

namespace eidetic::cpu {

// Highway's name of it: "AVX3" (AVX-512), "AVX2" or "SCALAR".
const char* SimdTargetName();

}  // namespace eidetic::cpu

#endif  // EIDETIC_ENGINE_BACKEND_CPU_SIMD_TARGET_H_
