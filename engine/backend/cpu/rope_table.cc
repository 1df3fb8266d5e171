#include "engine/backend/cpu/rope_table.h"

#include <algorithm>
#include <cmath>

namespace eidetic::cpu {

RopeTable::RopeTable(int32_t rotary_dim, float theta) : rotary_dim_(rotary_dim), theta_(theta) {
  for (int32_t i = 0; i < rotary_dim / 2; ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(rotary_dim);
    inverse_frequencies_.push_back(1.0f / std::pow(theta, exponent));
  }
}

void RopeTable::Reserve(int64_t positions, ThreadPool* pool) {
  if (rotary_dim_ == 0) return;
  const int64_t capped = std::min(positions, kMaxCachedPositions);
  const int64_t wanted = (capped + kRopeTilePositions - 1) / kRopeTilePositions;
  const int64_t held = static_cast<int64_t>(tiles_.size()) / tile_floats();
  if (wanted <= held) return;
  const int64_t grown =
      std::min(std::max(wanted, 2 * held), kMaxCachedPositions / kRopeTilePositions);
  tiles_.resize(grown * tile_floats());
  pool->ParallelFor(grown - held, [&](int64_t item, int) {
    Compute(held + item, tiles_.data() + (held + item) * tile_floats());
  });
}

const float* RopeTable::Tile(int64_t tile, float* scratch) const {
  if ((tile + 1) * tile_floats() <= static_cast<int64_t>(tiles_.size())) {
    return tiles_.data() + tile * tile_floats();
  }
  Compute(tile, scratch);
  return scratch;
}

void RopeTable::Compute(int64_t tile, float* out) const {
  for (const float frequency : inverse_frequencies_) {
    for (int64_t j = 0; j < kRopeTilePositions; ++j) {
      const float angle = static_cast<float>(tile * kRopeTilePositions + j) * frequency;
      out[j] = std::cos(angle);
      out[kRopeTilePositions + j] = std::sin(angle);
    }
    out += 2 * kRopeTilePositions;
  }
}

}  // namespace eidetic::cpu
