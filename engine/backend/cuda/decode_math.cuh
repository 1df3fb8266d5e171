// DecodeWarp's arithmetic on the 16 tokens that it holds.
//
// Thread safety: whole warps. Ownership: none. Preconditions: as decode_warp.cuh.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_DECODE_MATH_CUH_
#define EIDETIC_ENGINE_BACKEND_CUDA_DECODE_MATH_CUH_

#include "engine/backend/cuda/decode_warp.cuh"

namespace eidetic::cuda {

// The query as the block under way sees it: turned by the distance of their blocks.
// Pair p of the table belongs to chunk pair p / 8 (= t + 4 slot), its step p % 8 / 2.
template <int kHeadDim>
__device__ void DecodeWarp<kHeadDim>::TurnQuery() {
  const int32_t lane = threadIdx.x % 32;
  auto* turns = reinterpret_cast<float2*>(shared_->turns[warp_]);
  __syncwarp();
#pragma unroll
  for (int i = 0; i < kSlots; ++i) {
    const int32_t p = lane + 32 * i, chunk_pair = p / 8;
    const int32_t step = chunk_pair / 4 * 4 + p % 8 / 2;
    if (p < args_.rope.half) {
      turns[(step * 4 + chunk_pair % 4) * 2 + p % 2] = turn_[i];
    }
  }
  __syncwarp();
#pragma unroll
  for (int step = 0; step < kSteps; ++step) {
    const float4 q = shared_->query[step][lane];
    const PairOfTwo turned = Turned({{q.x, q.y}, {q.z, q.w}}, shared_->turns[warp_][step][t_]);
    query_[step][0] = PackBf16(turned.low.x, turned.low.y);
    query_[step][1] = PackBf16(turned.high.x, turned.high.y);
  }
}

// Keys turned by their offset within the block.
template <int kHeadDim>
__device__ void DecodeWarp<kHeadDim>::TurnKeys(int32_t first_token) {
  const int32_t turning = args_.rope.half / 8;
#pragma unroll
  for (int slot = 0; slot < kSlots; ++slot) {
    const int32_t pair = t_ + 4 * slot;
    if (pair >= turning) continue;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const auto* row = reinterpret_cast<const float4*>(
          offset_turns_ + (first_token + g_ + 8 * r) * TurnRowBytes(args_.rope.half));
#pragma unroll
      for (int s = 0; s < 4; ++s) {
        uint32_t &low = keys_[slot][r][0][s], &high = keys_[slot][r][1][s];
        const PairOfTwo x = Turned({UnpackBf16(low), UnpackBf16(high)}, row[s * turning + pair]);
        low = PackBf16(x.low.x, x.low.y);
        high = PackBf16(x.high.x, x.high.y);
      }
    }
  }
}

template <int kHeadDim>
__device__ void DecodeWarp<kHeadDim>::Score(float (&scores)[4]) {
  // A chain of products a slot: half as long a wait for the matrix unit.
  float parts[kSlots][4] = {};
#pragma unroll
  for (int s = 0; s < 4; ++s) {
#pragma unroll
    for (int slot = 0; slot < kSlots; ++slot) {
      Multiply16x8x16(parts[slot], keys_[slot][0][0][s], keys_[slot][1][0][s], keys_[slot][0][1][s],
                      keys_[slot][1][1][s], query_[slot * 4 + s][0], query_[slot * 4 + s][1]);
    }
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    scores[i] = parts[0][i];
    if constexpr (kSlots == 2) scores[i] += parts[1][i];
  }
}

// Online softmax: scores (base 2) become weights, older outputs are scaled down. scores[i] is
// of token g + i / 2 * 8 and head 2t + i % 2.
template <int kHeadDim>
__device__ void DecodeWarp<kHeadDim>::Weigh(const Cursor& now, float (&scores)[4]) {
  const int32_t token = now.tile * 16 + g_;
  if (token > now.limit) scores[0] = scores[1] = -INFINITY;
  if (token + 8 > now.limit) scores[2] = scores[3] = -INFINITY;
  float scale[2];
#pragma unroll
  for (int e = 0; e < 2; ++e) {
    float maximum = fmaxf(scores[e], scores[e + 2]);
#pragma unroll
    for (int offset = 4; offset < 32; offset *= 2) {
      maximum = fmaxf(maximum, __shfl_xor_sync(~0u, maximum, offset));
    }
    maximum = fmaxf(maximum, maximum_[e]);
    scale[e] = Exp2(maximum_[e] - maximum);
    maximum_[e] = maximum;
    scores[e] = Exp2(scores[e] - maximum);
    scores[e + 2] = Exp2(scores[e + 2] - maximum);
    sum_[e] = sum_[e] * scale[e] + scores[e] + scores[e + 2];
  }
#pragma unroll
  for (int slot = 0; slot < kSlots; ++slot) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
#pragma unroll
      for (int i = 0; i < 4; ++i) out_[slot][j][i] *= scale[i % 2];
    }
  }
}

// out_[slot][j]: channels 64 slot + 8 g + 2j (0, 1) and the next one (2, 3), heads 2t, 2t + 1.
template <int kHeadDim>
__device__ void DecodeWarp<kHeadDim>::AddValues(const float (&weights)[4]) {
  const uint32_t b0 = Transpose8x8(PackBf16(weights[0], weights[1]));
  const uint32_t b1 = Transpose8x8(PackBf16(weights[2], weights[3]));
#pragma unroll
  for (int slot = 0; slot < kSlots; ++slot) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const uint32_t v0 = values_[slot][0][j], v1 = values_[slot][1][j];
      const uint32_t v2 = values_[slot][2][j], v3 = values_[slot][3][j];
      Multiply16x8x16(out_[slot][j], __byte_perm(v0, v1, 0x5410), __byte_perm(v0, v1, 0x7632),
                      __byte_perm(v2, v3, 0x5410), __byte_perm(v2, v3, 0x7632), b0, b1);
    }
  }
}

template <int kHeadDim>
__device__ void DecodeWarp<kHeadDim>::Publish() {
#pragma unroll
  for (int e = 0; e < 2; ++e) {
    float sum = sum_[e];
#pragma unroll
    for (int offset = 4; offset < 32; offset *= 2) sum += __shfl_xor_sync(~0u, sum, offset);
    const int32_t head = 2 * t_ + e;
    if (g_ == 0) shared_->sums[warp_][head] = {maximum_[e], sum};
#pragma unroll
    for (int slot = 0; slot < kSlots; ++slot) {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        *reinterpret_cast<float2*>(&shared_->out[warp_][head][64 * slot + 8 * g_ + 2 * j]) = {
            out_[slot][j][e], out_[slot][j][e + 2]};
      }
    }
  }
}

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_DECODE_MATH_CUH_
