// How a head's channels are dealt out so that whoever holds a channel holds its rotary partner.
//
// What: a head is cut into chunks of 8 channels (16 bytes of bf16), and chunks are paired.
//   Rotary chunk u goes with chunk u + rotary_chunks / 2; the chunks that do not turn are
//   paired among themselves. Example, 128 channels of which 64 turn: pairs 0..3 are chunks
//   (0,4) (1,5) (2,6) (3,7), pairs 4..7 are (8,12) (9,13) (10,14) (11,15).
// Thread safety: pure. Ownership: none. Preconditions: rotary_dim a multiple of 16.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_HEAD_CHUNKS_CUH_
#define EIDETIC_ENGINE_BACKEND_CUDA_HEAD_CHUNKS_CUH_

#include <cstdint>

namespace eidetic::cuda {

struct ChunkPair {
  int32_t low, high;  // chunks
  bool turns;         // then the pair's angles are [8 * low, 8 * low + 8)
};

template <int kHeadDim>
__device__ inline ChunkPair PairOfChunks(int32_t pair, int32_t half) {
  const int32_t turning = half / 8;  // pairs
  if (pair < turning) return {pair, pair + turning, true};
  return {pair + turning, pair + kHeadDim / 16, false};
}

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_HEAD_CHUNKS_CUH_
