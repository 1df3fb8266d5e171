#include "engine/backend/cuda/numbers.cuh"
#include "engine/backend/cuda/plain_attention.h"
#include "engine/backend/cuda/span_attention.cuh"

namespace eidetic::cuda {
namespace {

constexpr int32_t kAttendThreads = 128;
constexpr int32_t kMassWarps = 8;
constexpr int32_t kMassTokens = 32;  // keys in shared memory at once, a lane each

// (cos, sin) of a float32 angle.
__device__ inline float2 TurnOf(const RopeView& rope, int64_t position, int32_t i) {
  float2 turn;
  sincosf(static_cast<float>(position) * rope.frequencies[i], &turn.y, &turn.x);
  return turn;
}

// to[head_dim] = a head's vector, turned to its position, by `threads` threads.
template <typename T>
__device__ void LoadTurned(const SpanArgs& args, const T* from, int64_t position, float* to,
                           int32_t thread, int32_t threads) {
  const int32_t half = args.rope.half;
  for (int32_t c = thread; c < args.layout.head_dim; c += threads) {
    if (c >= 2 * half) {
      to[c] = ToFloat(from[c]);
    } else if (c < half) {
      const float2 turn = TurnOf(args.rope, position, c);
      const float a = ToFloat(from[c]), b = ToFloat(from[c + half]);
      to[c] = a * turn.x - b * turn.y;
      to[c + half] = b * turn.x + a * turn.y;
    }
  }
}

// query . key turned to its position, by a warp.
template <typename T>
__device__ float TurnedDot(const SpanArgs& args, const float* query, const T* key,
                           int64_t position) {
  const int32_t half = args.rope.half, lane = threadIdx.x % 32;
  float sum = 0.0f;
  for (int32_t c = lane; c < args.layout.head_dim; c += 32) {
    if (c >= 2 * half) {
      sum += query[c] * ToFloat(key[c]);
    } else if (c < half) {
      const float2 turn = TurnOf(args.rope, position, c);
      const float a = ToFloat(key[c]), b = ToFloat(key[c + half]);
      sum += query[c] * (a * turn.x - b * turn.y) + query[c + half] * (b * turn.x + a * turn.y);
    }
  }
  return WarpSum(sum);
}

// What a CTA of the plain kernel holds of its query in shared memory.
struct PlainQuery {
  float* query;   // [head_dim], turned
  float* out;     // [head_dim], not yet divided
  float* scores;  // [block_size]
  float maximum = -INFINITY, sum = 0.0f;
};

// Adds one block's first `tokens` tokens, which stand at `position` and on.
template <typename T>
__device__ void AddBlock(const SpanArgs& args, void* page, int32_t kv_head, int32_t tokens,
                         int64_t position, PlainQuery* at) {
  const int32_t dim = args.layout.head_dim;
  const T* keys = args.layout.Keys<T>(page, kv_head);
  const T* values = args.layout.Values<T>(page, kv_head);
  for (int32_t j = threadIdx.x / 32; j < tokens; j += kAttendThreads / 32) {
    const float score = TurnedDot(args, at->query, keys + j * dim, position + j) * args.scale;
    if (threadIdx.x % 32 == 0) at->scores[j] = score;
  }
  __syncthreads();
  float maximum = at->maximum;
  for (int32_t j = 0; j < tokens; ++j) maximum = fmaxf(maximum, at->scores[j]);
  __syncthreads();
  for (int32_t j = threadIdx.x; j < tokens; j += kAttendThreads) {
    at->scores[j] = expf(at->scores[j] - maximum);
  }
  __syncthreads();
  const float scale = expf(at->maximum - maximum);
  at->maximum = maximum;
  at->sum *= scale;
  for (int32_t j = 0; j < tokens; ++j) at->sum += at->scores[j];
  for (int32_t d = threadIdx.x; d < dim; d += kAttendThreads) {
    float out = at->out[d] * scale;
    for (int32_t j = 0; j < tokens; ++j) out += at->scores[j] * ToFloat(values[j * dim + d]);
    at->out[d] = out;
  }
  __syncthreads();
}

// grid: (rows of the longest chunk, q_heads, picked requests); a CTA is one query.
// 1. The query is turned into shared memory.
// 2. Block by block: a warp a score, then one online softmax step, then a thread a channel.
template <typename T>
__global__ void PlainAttentionKernel(const SpanArgs args) {
  extern __shared__ float memory[];
  const SpanAttentionRequest& request = PickedRequest(args, blockIdx.z);
  const AttentionChunk chunk = args.chunks[request.chunk];
  if (blockIdx.x >= chunk.row_count) return;
  const int32_t head = blockIdx.y, kv_head = head / args.group;
  const int32_t dim = args.layout.head_dim, size = args.layout.block_size;
  const int64_t row = chunk.row_begin + blockIdx.x, token = chunk.begin + blockIdx.x;
  const BlockList list(args, request, kv_head);
  PlainQuery at{.query = memory, .out = memory + dim, .scores = memory + 2 * dim};
  LoadTurned(args, static_cast<const T*>(args.q) + row * args.q_stride + int64_t{head} * dim,
             list.PositionOf(token, size), at.query, threadIdx.x, kAttendThreads);
  for (int32_t d = threadIdx.x; d < dim; d += kAttendThreads) at.out[d] = 0.0f;
  __syncthreads();
  const int32_t last = list.IndexOf(token / size);
  for (int32_t n = 0; n <= last; ++n) {
    const int32_t block = list.Block(n);
    const int32_t tokens = n == last ? static_cast<int32_t>(token % size) + 1 : size;
    AddBlock<T>(args, chunk.pages[block], kv_head, tokens, int64_t{list.Base(n, block)} * size,
                &at);
  }
  T* out = static_cast<T*>(args.out) + (row * args.q_heads + head) * dim;
  for (int32_t d = threadIdx.x; d < dim; d += kAttendThreads) {
    out[d] = FromFloat<T>(at.out[d] / at.sum);
  }
  if (args.lse != nullptr && threadIdx.x == 0) {
    args.lse[row * args.q_heads + head] = at.maximum + logf(at.sum);
  }
}

// A warp's share of the softmax mass of keys [kMassTokens][dim + 1], of which a lane has one:
// every kMassWarps-th query of the chunk's rows and the KV head's query heads.
template <typename T>
__device__ float MassOfKeys(const SpanArgs& args, const AttentionChunk& chunk,
                            const BlockList& list, const float* keys, bool lane_has_key,
                            float* query) {
  const int32_t warp = threadIdx.x / 32, lane = threadIdx.x % 32, dim = args.layout.head_dim;
  float sum = 0.0f;
  for (int64_t f = warp; f < chunk.row_count * args.group; f += kMassWarps) {
    const int64_t row = chunk.row_begin + f / args.group;
    const auto head = static_cast<int32_t>(blockIdx.y * args.group + f % args.group);
    LoadTurned(args, static_cast<const T*>(args.q) + row * args.q_stride + int64_t{head} * dim,
               list.PositionOf(chunk.begin + f / args.group, args.layout.block_size), query, lane,
               32);
    __syncwarp();
    float score = 0.0f;
    for (int32_t c = 0; c < dim; ++c) score += query[c] * keys[lane * (dim + 1) + c];
    if (lane_has_key) sum += expf(score * args.scale - args.lse[row * args.q_heads + head]);
    __syncwarp();
  }
  return sum;
}

// grid: (max_span, KV heads, picked requests); a CTA is one span block of one KV head.
// 1. 32 of the block's keys are turned into shared memory, a row apart by dim + 1 so that lanes
//    read different banks.
// 2. Every query's weight of them is exp(score - lse); warps take queries in turn.
// 3. Lanes, then warps are summed in a fixed order.
template <typename T>
__global__ void SpanMassKernel(const SpanArgs args) {
  extern __shared__ float memory[];
  __shared__ float sums[kMassWarps];
  const SpanAttentionRequest& request = PickedRequest(args, blockIdx.z);
  const int32_t i = blockIdx.x, kv_head = blockIdx.y;
  if (i >= request.span_count) return;
  const AttentionChunk chunk = args.chunks[request.chunk];
  const int32_t warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int32_t dim = args.layout.head_dim, size = args.layout.block_size;
  float* query = memory + kMassTokens * (dim + 1) + warp * dim;
  const BlockList list(args, request, kv_head);
  const int32_t n = list.sinks + i, block = list.Block(n);
  const T* keys = args.layout.Keys<T>(chunk.pages[block], kv_head);
  float sum = 0.0f;
  for (int32_t first = 0; first < size; first += kMassTokens) {
    const int32_t tokens = min(kMassTokens, size - first);
    for (int32_t j = warp; j < tokens; j += kMassWarps) {
      LoadTurned(args, keys + (first + j) * dim, int64_t{list.Base(n, block)} * size + first + j,
                 memory + j * (dim + 1), lane, 32);
    }
    __syncthreads();
    sum += MassOfKeys<T>(args, chunk, list, memory, lane < tokens, query);
    __syncthreads();
  }
  sum = WarpSum(sum);
  if (lane == 0) sums[warp] = sum;
  __syncthreads();
  if (threadIdx.x != 0) return;
  float total = 0.0f;
  for (int32_t w = 0; w < kMassWarps; ++w) total += sums[w];
  request.mass[int64_t{kv_head} * request.span_count + i] =
      total / static_cast<float>(chunk.row_count * args.group);
}

}  // namespace

void PlainAttention(const SpanArgs& args, int64_t max_rows, Precision precision,
                    LaunchQueue* queue) {
  const size_t shared = (2 * args.layout.head_dim + args.layout.block_size) * sizeof(float);
  WithActivation(precision, [&](auto* type) {
    queue->Launch(PlainAttentionKernel<std::remove_pointer_t<decltype(type)>>,
                  dim3(max_rows, args.q_heads, args.pick.count), dim3(kAttendThreads), shared,
                  args);
  });
}

void SpanMass(const SpanArgs& args, Precision precision, LaunchQueue* queue) {
  const int32_t dim = args.layout.head_dim;
  const size_t shared = (kMassTokens * (dim + 1) + kMassWarps * dim) * sizeof(float);
  WithActivation(precision, [&](auto* type) {
    queue->Launch(SpanMassKernel<std::remove_pointer_t<decltype(type)>>,
                  dim3(args.max_span, args.layout.kv_heads, args.pick.count), dim3(32 * kMassWarps),
                  shared, args);
  });
}

}  // namespace eidetic::cuda
