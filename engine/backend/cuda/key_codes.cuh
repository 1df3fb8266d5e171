// Keys in four bits a channel: how a block's codes lie in an index tile, and their arithmetic.
//
// What: what the index keeps of one block of one KV head. With m the mean key of the session's
//   block 0 and x = k - m, a token has a scale s and for each channel a code c in [-8, 7] such
//   that k is nearly (c + 0.5) s + m. A query's score of the token is then bounded by
//       s (sum_d q_d (c_d + 0.5) + |q| rho) + q.m        (Cauchy, |k - khat| <= rho s)
//   with one rho a block. c + 8 has four bits: the upper two lie in one plane, the lower two in
//   another, so that a coarse reading takes half of the bytes. Of a KV head's part of a tile:
//       upper plane  [kTileBlocks][16-token group][lane][pair of steps] words (see CodeWord)
//       scales       bf16 [kTileBlocks][block_size], rows g and g + 8 of a group side by side
//       rho          float [kTileBlocks], padded to 128 bytes
//       lower plane  [kTileBlocks][16-token group][lane][pair of steps], then an odd last step
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

// Where the parts of one block's codes lie. `head` is a KV head's part of a tile.
struct CodeLayout {
  int32_t block_size, steps, pairs;  // steps of 16 channels
  int64_t bytes;                     // of one block

  explicit CodeLayout(const memory::PageLayout& layout)
      : block_size(layout.block_size),
        steps((layout.head_dim + 15) / 16),
        pairs(steps / 2),
        bytes(static_cast<int64_t>(layout.code_bytes())) {}

  __device__ std::byte* Head(void* tile, int32_t kv_head) const {
    return static_cast<std::byte*>(tile) + int64_t{kv_head} * memory::kTileBlocks * bytes;
  }
  // Words of a lane and group.
  __device__ int32_t upper_words() const { return pairs; }
  __device__ int32_t lower_words() const { return steps - pairs; }
  // of: a block's number within its tile.
  __device__ uint32_t* Upper(std::byte* head, int32_t of) const {
    return reinterpret_cast<uint32_t*>(head) + of * plane_words(upper_words());
  }
  __device__ Bf16Number* Scales(std::byte* head, int32_t of) const {
    return reinterpret_cast<Bf16Number*>(Upper(head, memory::kTileBlocks)) + of * block_size;
  }
  __device__ float* Rho(std::byte* head, int32_t of) const {
    return reinterpret_cast<float*>(Scales(head, memory::kTileBlocks)) + of;
  }
  __device__ uint32_t* Lower(std::byte* head, int32_t of) const {
    return reinterpret_cast<uint32_t*>(Rho(head, 0)) + 32 + of * plane_words(lower_words());
  }
  // Where among a block's scales a token's is.
  __device__ static int32_t ScaleIndex(int32_t token) {
    return token / 16 * 16 + token % 8 * 2 + token % 16 / 8;
  }

 private:
  __device__ int32_t plane_words(int32_t words) const { return block_size * 2 * words; }
};

// Eight codes of 16 tokens and 16 channels (a step): lane 4 g + t has rows g and g + 8, channels
// 4 t to 4 t + 3. Nibble r + 2 h + 4 l is the code of row g + 8 r and channel 4 t + 2 h + l,
// plus 8. A plane's word has one half of the bits of two steps: nibble by nibble the even step's
// two bits, then the odd one's.
struct CodeWord {
  // Worked example: token 25, channel 22: row 9 (g = 1, r = 1) of group 1; step 1, column 6
  // (t = 1, h = 1, l = 0): lane 5, nibble 3.
  __device__ static int32_t Lane(int32_t token, int32_t channel) {
    return token % 8 * 4 + channel % 16 / 4;
  }
  __device__ static int32_t Shift(int32_t token, int32_t channel) {
    return 4 * (token % 16 / 8 + channel % 4 / 2 * 2 + channel % 2 * 4);
  }
  __device__ static uint32_t Upper(uint32_t even, uint32_t odd) {
    return (even >> 2 & 0x33333333u) | (odd & 0xCCCCCCCCu);
  }
  __device__ static uint32_t Lower(uint32_t even, uint32_t odd) {
    return (even & 0x33333333u) | (odd & 0x33333333u) << 2;
  }
  __device__ static uint32_t Even(uint32_t upper, uint32_t lower) {
    return (upper & 0x33333333u) << 2 | (lower & 0x33333333u);
  }
  __device__ static uint32_t Odd(uint32_t upper, uint32_t lower) {
    return (upper & 0xCCCCCCCCu) | (lower >> 2 & 0x33333333u);
  }
};

// A block's word of one step, from where it is kept.
__device__ inline uint32_t StepWord(const CodeLayout& layout, const uint32_t* upper,
                                    const uint32_t* lower, int32_t group, int32_t lane,
                                    int32_t step) {
  const int32_t place = group * 32 + lane;
  const uint32_t low = lower[place * layout.lower_words() + step / 2];
  if (step == 2 * layout.pairs) return low;
  const uint32_t high = upper[place * layout.upper_words() + step / 2];
  return step % 2 == 0 ? CodeWord::Even(high, low) : CodeWord::Odd(high, low);
}

// Codes + 8 of register i, as two bf16 numbers 128 + code + 8: exact.
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
