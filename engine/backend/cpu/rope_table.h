// Cosines and sines of rotary position embedding (Su et al. 2021), cached.
//
// What: angle(p, i) = float(p) * theta^(-2i / rotary_dim), in float32 as
//   Hugging Face's implementations compute it.
// Thread safety: Reserve alone; then any number of readers. Ownership: owns the
//   table. Preconditions: rotary_dim even.
//
// Layout: tile t holds positions [16 t, 16 t + 16): [rotary_dim / 2][2][16],
// cosines first, so that one SIMD lane is one token.
#ifndef EIDETIC_ENGINE_BACKEND_CPU_ROPE_TABLE_H_
#define EIDETIC_ENGINE_BACKEND_CPU_ROPE_TABLE_H_

#include <cstdint>
#include <vector>

#include "engine/backend/cpu/thread_pool.h"

namespace eidetic::cpu {

inline constexpr int64_t kRopeTilePositions = 16;
// Positions past it are computed where they are used: slow, but without a bound
// a session under the FULL policy would decide how much memory the table takes.
inline constexpr int64_t kMaxCachedPositions = 1 << 20;

class RopeTable {
 public:
  RopeTable(int32_t rotary_dim, float theta);

  int32_t rotary_dim() const { return rotary_dim_; }
  float theta() const { return theta_; }
  int64_t tile_floats() const { return int64_t{rotary_dim_} * kRopeTilePositions; }

  // Makes positions below min(positions, kMaxCachedPositions) cached.
  void Reserve(int64_t positions, ThreadPool* pool);
  // Tile `tile`, cached or written to `scratch` [tile_floats()].
  const float* Tile(int64_t tile, float* scratch) const;

 private:
  void Compute(int64_t tile, float* out) const;

  int32_t rotary_dim_;
  float theta_;
  std::vector<float> inverse_frequencies_;  // [rotary_dim / 2]
  std::vector<float> tiles_;
};

}  // namespace eidetic::cpu

#endif  // EIDETIC_ENGINE_BACKEND_CPU_ROPE_TABLE_H_
