// What all attention kernels are told, and which blocks a row sees.
//
// Thread safety: pure. Ownership: borrows everything. Preconditions: params are checked.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_SPAN_ATTENTION_CUH_
#define EIDETIC_ENGINE_BACKEND_CUDA_SPAN_ATTENTION_CUH_

#include <cstdint>

#include "engine/backend/cuda/device_page.cuh"
#include "engine/backend/cuda/rope_table.h"
#include "engine/backend/params.h"

namespace eidetic::cuda {

// The requests that one launch serves, so that a batch of decode rows and prefill chunks
// starts no CTA for what another kernel does. Which ones they are follows from the batch's
// shape, so they may stand in a launch's arguments.
inline constexpr int32_t kMaxPicks = 256;
struct RequestPick {
  int32_t count = 0;
  uint16_t index[kMaxPicks] = {};
};

struct SpanArgs {
  const void* q;  // [T, q_heads*head_dim], row stride q_stride
  void* out;      // [T, q_heads*head_dim]
  float* lse;     // [T, q_heads]: log of the sum of exp(scores); null: not wanted
  const AttentionChunk* chunks;
  const SpanAttentionRequest* requests;
  const int32_t* blocks;
  RopeView rope;
  int64_t q_stride;
  float scale;
  int32_t q_heads, group;  // group = q_heads / kv_heads
  int32_t max_span;
  DevicePage layout;
  RequestPick pick;
};

// The blocks that one KV head of a request attends to: sinks, span, window, in this order.
// Worked example: 1 sink, span {5, 9}, window from block 20 on, a query in block 21: the list
// is 0, 5, 9, 20, 21, and re-mapped its blocks stand at 0, 1, 2, 3, 4.
struct BlockList {
  const int32_t* span;
  int32_t sinks, before, window_block;  // before = sinks + span
  bool remap;

  __device__ BlockList(const SpanArgs& args, const SpanAttentionRequest& request, int32_t kv_head)
      : span(args.blocks +
             (int64_t{request.span_row} * args.layout.kv_heads + kv_head) * args.max_span),
        sinks(request.sink_blocks),
        before(request.sink_blocks + request.span_count),
        window_block(static_cast<int32_t>(request.window_begin / args.layout.block_size)),
        remap(request.remap) {}

  // The n-th block of the list.
  __device__ int32_t Block(int32_t n) const {
    return n < sinks ? n : n < before ? span[n - sinks] : window_block + n - before;
  }
  // Where it stands, in blocks from position 0.
  __device__ int32_t Base(int32_t n, int32_t block) const { return remap ? n : block; }
  // Where in the list a block of the window is.
  __device__ int32_t IndexOf(int64_t block) const {
    return before + static_cast<int32_t>(block) - window_block;
  }
  // The position of a token of the window.
  __device__ int64_t PositionOf(int64_t token, int32_t block_size) const {
    return remap ? token + int64_t{before - window_block} * block_size : token;
  }
};

__device__ inline const SpanAttentionRequest& PickedRequest(const SpanArgs& args, int32_t pick) {
  return args.requests[args.pick.index[pick]];
}

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_SPAN_ATTENTION_CUH_
