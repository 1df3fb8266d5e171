// Cosines and sines of rotary position embedding (Su et al. 2021), on the device.
//
// What: turns (cos, sin) by p * theta^(-2i / rotary_dim). A position is split as
//   p = offset + S * (low + 8192 * high), and a table is kept of each part: the turn by p is
//   the product of at most three entries. So the size does not grow with the history.
// Thread safety: as LaunchQueue. Ownership: owns the table; borrows the queue.
// Preconditions: rotary_dim even; positions below 2^22 blocks.
//
// Frequencies are float32 as Hugging Face's implementations have them; angles are double.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_ROPE_TABLE_H_
#define EIDETIC_ENGINE_BACKEND_CUDA_ROPE_TABLE_H_

#include <vector_types.h>

#include <cstddef>
#include <cstdint>

#include "engine/backend/cuda/launch_queue.h"

namespace eidetic::cuda {

// 262,144 tokens of 32-token blocks do without the third factor.
inline constexpr int32_t kLowBlocks = 8192, kHighBlocks = 512;

// Addresses for kernels; rows of `half` = rotary_dim / 2 turns.
struct RopeView {
  const float* frequencies = nullptr;  // [half]
  const float2* offsets = nullptr;     // [block_size][half]: by a position within a block
  const float2* low = nullptr;         // [kLowBlocks][half]: by b blocks
  const float2* high = nullptr;        // [kHighBlocks][half]: by b * kLowBlocks blocks
  int32_t half = 0;
};

class RopeTable {
 public:
  explicit RopeTable(LaunchQueue* queue) : queue_(queue) {}
  ~RopeTable();
  RopeTable(const RopeTable&) = delete;
  RopeTable& operator=(const RopeTable&) = delete;

  // Makes view() hold what launches recorded from now on need. `blocks_wanted`: the largest
  // distance in blocks, plus one. May flush the queue: call it before Stage. The address stays
  // unless rotary_dim or block_size grow.
  void Prepare(int32_t rotary_dim, float theta, int64_t blocks_wanted, int32_t block_size);
  RopeView view() const { return view_; }

 private:
  void Reserve(size_t bytes);

  LaunchQueue* queue_;
  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
  int32_t block_size_ = 0;
  float theta_ = 0.0f;
  RopeView view_;
};

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_ROPE_TABLE_H_
