#include <algorithm>

#include "engine/backend/cuda/block_summary.h"
#include "engine/backend/cuda/key_codes.cuh"

namespace eidetic::cuda {
namespace {

constexpr int32_t kThreads = 256;
constexpr int32_t kWarps = kThreads / 32;

struct SummaryArgs {
  DevicePage page;
  CodeLayout codes;
  const AttentionChunk* chunks;  // [gridDim.z]; null: `whole` alone
  AttentionChunk whole;
};

// One block of one KV head.
template <typename T>
struct HeadBlock {
  const SummaryArgs& args;
  const AttentionChunk& chunk;
  int32_t block, kv_head;

  __device__ const T* Keys(int32_t of_block) const {
    return args.page.Keys<T>(chunk.pages[of_block], kv_head);
  }
  __device__ void* Tile() const { return chunk.tiles[block / memory::kTileBlocks]; }
  // Channel d of a vector at [d * kTileBlocks].
  __device__ Bf16Number* Lane(int32_t vector, int32_t vectors) const {
    return static_cast<Bf16Number*>(Tile()) +
           (int64_t{kv_head} * vectors + vector) * args.page.head_dim * memory::kTileBlocks +
           block % memory::kTileBlocks;
  }
};

template <typename T>
__device__ void WriteBounds(const HeadBlock<T>& head) {
  const DevicePage& page = head.args.page;
  const T* keys = head.Keys(head.block);
  for (int32_t d = threadIdx.x; d < page.head_dim; d += kThreads) {
    // Minima and maxima pass over NaN: its token scores -inf, under any bound.
    float low = INFINITY, high = -INFINITY;
    for (int32_t t = 0; t < page.block_size; ++t) {
      const float key = ToFloat(keys[int64_t{t} * page.head_dim + d]);
      low = fminf(low, key);
      high = fmaxf(high, key);
    }
    head.Lane(0, 2)[int64_t{d} * memory::kTileBlocks] = __float2bfloat16_ru(high);
    head.Lane(1, 2)[int64_t{d} * memory::kTileBlocks] = __float2bfloat16_rd(low);
  }
}

template <typename T>
__device__ void WriteMean(const HeadBlock<T>& head, float* mean) {
  MeanKey(head.args.page, head.Keys(head.block), mean);
  __syncthreads();
  for (int32_t d = threadIdx.x; d < head.args.page.head_dim; d += kThreads) {
    head.Lane(0, 1)[int64_t{d} * memory::kTileBlocks] = __float2bfloat16_rn(mean[d]);
  }
}

// The mean key attends over the block's keys. shared: mean [head_dim], weights [block_size].
template <typename T>
__device__ void WritePooled(const HeadBlock<T>& head, float* mean, float* weights) {
  const DevicePage& page = head.args.page;
  const T* keys = head.Keys(head.block);
  MeanKey(page, keys, mean);
  __syncthreads();
  for (int32_t t = threadIdx.x / 32; t < page.block_size; t += kWarps) {
    float dot = 0;
    for (int32_t d = threadIdx.x % 32; d < page.head_dim; d += 32) {
      dot += mean[d] * ToFloat(keys[int64_t{t} * page.head_dim + d]);
    }
    weights[t] = WarpSum(dot);
  }
  __syncthreads();
  float top = weights[0], total = 0;
  for (int32_t t = 1; t < page.block_size; ++t) top = fmaxf(top, weights[t]);
  const float scale = rsqrtf(static_cast<float>(page.head_dim));
  for (int32_t t = 0; t < page.block_size; ++t) total += expf((weights[t] - top) * scale);
  for (int32_t d = threadIdx.x; d < page.head_dim; d += kThreads) {
    float sum = 0;
    for (int32_t t = 0; t < page.block_size; ++t) {
      sum += expf((weights[t] - top) * scale) * ToFloat(keys[int64_t{t} * page.head_dim + d]);
    }
    head.Lane(0, 1)[int64_t{d} * memory::kTileBlocks] = __float2bfloat16_rn(sum / total);
  }
}

// Whole warp: a token's scale, and its part of rho in units of that scale.
__device__ inline float TokenError(float squares, float key_squares, float mean_squares,
                                   float scale, int32_t head_dim) {
  const float key = sqrtf(key_squares), mean = sqrtf(mean_squares);
  const float rounding = DotError(head_dim) * (kLargestCode * sqrtf(static_cast<float>(head_dim)) +
                                               (key + mean) / scale);
  const float error = kNormMargin * (sqrtf(squares) + rounding);
  // Written so that NaN is not finite either.
  const bool fits = key < kLargestNorm && mean < kLargestNorm && error < kLargestNorm;
  return fits ? error : INFINITY;
}

template <typename T>
__device__ float MeasureToken(const DevicePage& page, const T* key, const float* mean,
                              Bf16Number* scale_out) {
  const int32_t lane = threadIdx.x % 32;
  float largest = 0;
  for (int32_t d = lane; d < page.head_dim; d += 32) {
    largest = fmaxf(largest, fabsf(ToFloat(key[d]) - mean[d]));
  }
  *scale_out = ScaleOf(WarpMax(largest));
  const float scale = ToFloat(*scale_out);
  float squares = 0, key_squares = 0, mean_squares = 0;
  for (int32_t d = lane; d < page.head_dim; d += 32) {
    const float k = ToFloat(key[d]);
    // In units of the scale: the squares of tiny keys' errors would underflow.
    const float units = (k - mean[d]) / scale;
    const float miss = units - (static_cast<float>(CodeOf(units)) + 0.5f);
    squares += miss * miss;
    key_squares += k * k;
    mean_squares += mean[d] * mean[d];
  }
  return TokenError(WarpSum(squares), WarpSum(key_squares), WarpSum(mean_squares), scale,
                    page.head_dim);
}

// The codes of eight tokens from `token` on, of channel d.
template <typename T>
__device__ uint32_t PackWord(const DevicePage& page, const T* keys, const float* mean,
                             const float* scales, int32_t token, int32_t d) {
  uint32_t word = 0;
#pragma unroll
  for (int32_t i = 0; i < 8; ++i) {
    const float x = ToFloat(keys[int64_t{token + i} * page.head_dim + d]) - mean[d];
    word |= static_cast<uint32_t>(CodeOf(x / scales[token + i]) + 8) << (4 * i);
  }
  return word;
}

// 1. The mean key of block 0, which every code leans on.
// 2. A warp a token: its scale, and how far its codes are off.
// 3. A thread a word: eight codes.
// shared: mean [head_dim], scales [block_size].
template <typename T>
__device__ void WriteCodes(const HeadBlock<T>& head, float* mean, float* scales) {
  __shared__ uint32_t rho;  // numbers from zero on compare as their bits do
  const DevicePage& page = head.args.page;
  const CodeLayout& codes = head.args.codes;
  const T* keys = head.Keys(head.block);
  std::byte* to = codes.Head(head.Tile(), head.kv_head);
  const int32_t of = head.block % memory::kTileBlocks;
  if (threadIdx.x == 0) rho = 0;
  MeanKey(page, head.Keys(0), mean);
  __syncthreads();
  for (int32_t t = threadIdx.x / 32; t < page.block_size; t += kWarps) {
    Bf16Number scale;
    const float error = MeasureToken(page, keys + int64_t{t} * page.head_dim, mean, &scale);
    if (threadIdx.x % 32 != 0) continue;
    scales[t] = ToFloat(scale);
    codes.Scales(to, of)[t] = scale;
    atomicMax(&rho, __float_as_uint(error));
  }
  __syncthreads();
  if (threadIdx.x == 0) *codes.Rho(to, of) = __uint_as_float(rho);
  for (int32_t i = threadIdx.x; i < codes.words() * page.head_dim; i += kThreads) {
    const int32_t word = i / page.head_dim, d = i % page.head_dim;
    codes.Codes(to, of, d)[word] = PackWord(page, keys, mean, scales, 8 * word, d);
  }
}

// A CTA summarises one block of one KV head (blockIdx.y). CTA x of chunk z takes block
// begin / S + x, if the chunk's rows complete it. Worked example, S = 32: rows 60 to 99 complete
// blocks 1 (ends at 64) and 2 (ends at 96), x = 0 and 1; x = 2 finds block 3 open.
template <typename T>
__global__ void BlockSummaryKernel(const SummaryArgs args) {
  extern __shared__ float shared[];  // [head_dim + block_size]
  cudaGridDependencySynchronize();
  const AttentionChunk chunk = args.chunks == nullptr ? args.whole : args.chunks[blockIdx.z];
  const int64_t size = args.page.block_size;
  const int64_t block = chunk.begin / size + blockIdx.x;
  if (chunk.summary == memory::SummaryKind::kNone) return;
  if ((block + 1) * size > chunk.begin + chunk.row_count) return;
  const HeadBlock<T> head{args, chunk, static_cast<int32_t>(block),
                          static_cast<int32_t>(blockIdx.y)};
  float* tokens = shared + args.page.head_dim;
  if (chunk.summary == memory::SummaryKind::kBounds) WriteBounds(head);
  if (chunk.summary == memory::SummaryKind::kMean) WriteMean(head, shared);
  if (chunk.summary == memory::SummaryKind::kPooled) WritePooled(head, shared, tokens);
  if (chunk.summary == memory::SummaryKind::kCodes) WriteCodes(head, shared, tokens);
}

void Launch(const memory::PageLayout& layout, dim3 grid, const SummaryArgs& args,
            Context* context) {
  const size_t shared = (layout.head_dim + layout.block_size) * sizeof(float);
  WithActivation(context->precision, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    context->queue->Launch(BlockSummaryKernel<T>, grid, dim3(kThreads), shared, args,
                           Overlap::kPrologue);
  });
}

}  // namespace

void SummarizeNewBlocks(const AppendKvParams& params, Context* context) {
  int64_t blocks = 0;  // no chunk of r rows completes more than r / S, rounded up
  bool wanted = false;
  for (const AttentionChunk& chunk : params.chunks) {
    blocks = std::max(blocks, CeilDiv(chunk.row_count, params.layout.block_size));
    wanted |= chunk.summary != memory::SummaryKind::kNone;
  }
  if (!wanted) return;
  Launch(params.layout, dim3(blocks, params.layout.kv_heads, params.chunks.size()),
         {DevicePage(params.layout), CodeLayout(params.layout),
          context->queue->Stage(params.chunks), AttentionChunk()},
         context);
}

void SummarizeBlocks(const memory::PageLayout& layout, memory::SummaryKind kind, void* const* pages,
                     void* const* tiles, memory::BlockIndex blocks, Context* context) {
  if (blocks == 0 || kind == memory::SummaryKind::kNone) return;
  const AttentionChunk whole{.row_count = int64_t{blocks} * layout.block_size,
                             .pages = pages,
                             .tiles = tiles,
                             .summary = kind};
  Launch(layout, dim3(blocks, layout.kv_heads),
         {DevicePage(layout), CodeLayout(layout), nullptr, whole}, context);
}

}  // namespace eidetic::cuda
