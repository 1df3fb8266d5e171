// The randomness of sampling: a function of seed and position, nothing else.
//
// What: a counter-based generator; a token can be drawn again, alone, on any
//   backend, with the same noise.
// Thread safety: pure function. Ownership: none. Preconditions: none.
// Source: the output function of SplitMix64 (Steele, Lea, Flood 2014), applied
//   to the seed and then to the position.
#ifndef EIDETIC_ENGINE_BACKEND_SAMPLING_NOISE_H_
#define EIDETIC_ENGINE_BACKEND_SAMPLING_NOISE_H_

#include <cstdint>

#include "memory/ids.h"

namespace eidetic {

constexpr uint64_t SplitMix64(uint64_t x) {
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

// Uniform in [0, 1), a multiple of 2^-53.
constexpr double SamplingNoise(uint64_t seed, memory::Position position) {
  const uint64_t bits = SplitMix64(SplitMix64(seed) + static_cast<uint64_t>(position));
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_BACKEND_SAMPLING_NOISE_H_
