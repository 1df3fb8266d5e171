// Keys in four bits a channel: how a block's codes lie in an index tile, and their arithmetic.
//
// What: what the index keeps of one block of one KV head. With m the mean key of the session's
//   block 0 and x = k - m, a token has a scale s and for each channel a code c in [-8, 7] such
//   that k is nearly (c + 0.5) s + m. A query's score of the token is then bounded by
//       s (sum_d q_d (c_d + 0.5) + |q| rho) + q.m        (Cauchy, |k - khat| <= rho s)
//   with one rho a block. Of a KV head's part of a tile, channel-major, so that some channels of
//   many blocks are read without the others:
//       codes   [channel][kTileBlocks][block_size / 8] words: token 8 w + i is nibble i of word w
//       scales  bf16 [kTileBlocks][block_size]
//       rho     float [kTileBlocks]
// Thread safety: pure. Ownership: none. Preconditions: block_size is a multiple of 16.
//
// What rho covers beside |k - khat|: the roundings of both dot products, so that a bound is
// never below the score that ScoreBlock computes. A matrix unit aligns the addends of 16
// channels and cuts each off at 2^-23 of the largest, at most 20 cuts a step: an error of
// 1.25 d 2^-23 times the largest addend or sum, and of less for a chain of roundings. That is
// below DotError(d) = (d + 8) 2^-22 times
//   - |q| |k| of the score itself and |q| |m| of q.m;
//   - |q| 144 sqrt(d) s of the codes' product, which runs over 128 + code (at most 143); what
//     is left of DotError covers the sum of q, the last steps and k - m.
// So rho = max over tokens of |k - khat| / s + DotError (144 sqrt(d) + (|k| + |m|) / s), times
// 1.001 for the norms' own roundings. Keys that are not finite, or so large that a sum could
// overflow, make rho infinite: such a block is always read.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_KEY_CODES_CUH_
#define EIDETIC_ENGINE_BACKEND_CUDA_KEY_CODES_CUH_

#include <cstddef>
#include <cstdint>

#include "engine/backend/cuda/device_page.cuh"
#include "engine/backend/cuda/numbers.cuh"

namespace eidetic::cuda {

// Norms from here on could overflow a product: |q| |k| stays below 2^120.
inline constexpr float kLargestNorm = 0x1p60f;
// Keeps tiny keys clear of denormals.
inline constexpr float kSmallestScale = 0x1p-60f;
// Added to each bound: products that underflow to zero, of which a score has head_dim.
inline constexpr float kUnderflow = 1e-34f;
inline constexpr float kNormMargin = 1.001f;

__device__ inline float DotError(int32_t head_dim) {
  return static_cast<float>(head_dim + 8) * 0x1p-22f;
}

// Where the parts of one block's codes lie. `head` is a KV head's part of a tile, `of` a block's
// number within its tile.
struct CodeLayout {
  int32_t block_size, channels;  // a multiple of 16
  int64_t head_bytes;

  explicit CodeLayout(const memory::PageLayout& layout)
      : block_size(layout.block_size),
        channels((layout.head_dim + 15) / 16 * 16),
        head_bytes(memory::kTileBlocks * static_cast<int64_t>(layout.code_bytes())) {}

  __device__ std::byte* Head(void* tile, int32_t kv_head) const {
    return static_cast<std::byte*>(tile) + kv_head * head_bytes;
  }
  __device__ int32_t words() const { return block_size / 8; }
  // [words()] of one channel
  __device__ uint32_t* Codes(std::byte* head, int32_t of, int32_t channel) const {
    return reinterpret_cast<uint32_t*>(head) + (channel * memory::kTileBlocks + of) * words();
  }
  __device__ Bf16Number* Scales(std::byte* head, int32_t of) const {
    return reinterpret_cast<Bf16Number*>(Codes(head, 0, channels)) + of * block_size;
  }
  __device__ float* Rho(std::byte* head, int32_t of) const {
    return reinterpret_cast<float*>(Scales(head, memory::kTileBlocks)) + of;
  }
};

// Codes + 8 of nibbles i and i + 4, as two bf16 numbers 128 + code + 8: exact.
__device__ inline uint32_t CodesOf(uint32_t word, int32_t i) {
  return (word >> (4 * i) & 0x000F000Fu) | 0x43004300u;
}
// What that adds to every code, less the half that belongs there.
inline constexpr float kCodeOffset = 128 + 8 - 0.5f;
inline constexpr float kLargestCode = 144;

__device__ inline Bf16Number ScaleOf(float largest) {
  return __float2bfloat16_rn(fmaxf(largest / 7.5f, kSmallestScale));
}
__device__ inline int32_t CodeOf(float units) {
  return max(-8, min(7, __float2int_rn(units - 0.5f)));
}

// Whole CTA: mean[d] over a block's tokens, the same bits wherever it is computed. No barrier.
template <typename T>
__device__ inline void MeanKey(const DevicePage& layout, const T* keys, float* mean) {
  for (int32_t d = threadIdx.x; d < layout.head_dim; d += blockDim.x) {
    float sum = 0;
#pragma unroll 16
    for (int32_t t = 0; t < layout.block_size; ++t) {
      sum += ToFloat(keys[int64_t{t} * layout.head_dim + d]);
    }
    mean[d] = sum / static_cast<float>(layout.block_size);
  }
}

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_KEY_CODES_CUH_
