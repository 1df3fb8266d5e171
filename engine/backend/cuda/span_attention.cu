#include <glog/logging.h>

#include <algorithm>

#include "engine/backend/cuda/decode_attention.h"
#include "engine/backend/cuda/plain_attention.h"
#include "engine/backend/cuda/prefill_attention.h"
#include "engine/backend/cuda/span_attention.cuh"
#include "engine/backend/cuda/span_attention.h"

namespace eidetic::cuda {
namespace {

enum class Path : uint8_t { kPlain, kDecode, kPrefill };

// A path follows from the shapes and the chunk's own length alone.
bool ShapeIsFast(const SpanAttentionParams& params, const Context& context) {
  const int32_t dim = params.layout.head_dim;
  const uint64_t addresses =
      reinterpret_cast<uintptr_t>(params.q) | reinterpret_cast<uintptr_t>(params.out);
  return context.precision == Precision::kBf16 && (dim == 64 || dim == 128) &&
         params.rotary_dim % 16 == 0 && addresses % 16 == 0 && params.q_stride % 8 == 0;
}

int64_t RowsOf(const SpanAttentionParams& params, const SpanAttentionRequest& request) {
  return params.chunks[request.chunk].row_count;
}

// Blocks that the chunk's last row attends to.
int64_t BlocksOf(const SpanAttentionParams& params, const SpanAttentionRequest& request) {
  const AttentionChunk& chunk = params.chunks[request.chunk];
  const int64_t size = params.layout.block_size;
  return request.sink_blocks + request.span_count + (chunk.begin + chunk.row_count - 1) / size -
         request.window_begin / size + 1;
}

// One more than the largest position that a token is turned to, in blocks.
int64_t TurnsOf(const SpanAttentionParams& params, const SpanAttentionRequest& request) {
  const AttentionChunk& chunk = params.chunks[request.chunk];
  return request.remap ? BlocksOf(params, request)
                       : (chunk.begin + chunk.row_count - 1) / params.layout.block_size + 1;
}

Path PathOf(const SpanAttentionParams& params, const SpanAttentionRequest& request, bool fast) {
  if (!fast) return Path::kPlain;
  const int32_t group = params.q_heads / params.layout.kv_heads;
  return RowsOf(params, request) == 1 && group <= kMaxDecodeGroup ? Path::kDecode : Path::kPrefill;
}

// Calls launch(pick) for the requests that `wanted` takes, kMaxPicks at a time.
template <typename Wanted, typename Launch>
void ForPicked(const SpanAttentionParams& params, Wanted wanted, Launch launch) {
  RequestPick pick;
  for (size_t i = 0; i < params.requests.size(); ++i) {
    if (!wanted(params.requests[i])) continue;
    pick.index[pick.count++] = static_cast<uint16_t>(i);
    if (pick.count < kMaxPicks) continue;
    launch(pick);
    pick = {};
  }
  if (pick.count > 0) launch(pick);
}

// What the batch's requests ask of one launch each.
struct Extent {
  int64_t rows = 0;           // of the longest chunk that is not decoded
  int64_t decode_blocks = 0;  // of the longest list of a decode row
  int32_t decodes = 0;
  int64_t turns = 1;
  int64_t lse_rows = 0;  // rows of the batch where mass is wanted; 0: it is not
};

Extent ExtentOf(const SpanAttentionParams& params, bool fast) {
  Extent extent;
  bool mass = false;
  for (const SpanAttentionRequest& request : params.requests) {
    const AttentionChunk& chunk = params.chunks[request.chunk];
    extent.turns = std::max(extent.turns, TurnsOf(params, request));
    extent.lse_rows = std::max(extent.lse_rows, chunk.row_begin + chunk.row_count);
    mass = mass || request.mass != nullptr;
    if (PathOf(params, request, fast) == Path::kDecode) {
      ++extent.decodes;
      extent.decode_blocks = std::max(extent.decode_blocks, BlocksOf(params, request));
    } else {
      extent.rows = std::max(extent.rows, chunk.row_count);
    }
  }
  if (!mass) extent.lse_rows = 0;
  return extent;
}

// Staging comes last: taking scratch may flush the queue.
SpanArgs MakeArgs(const SpanAttentionParams& params, const Extent& extent, float* lse,
                  Context* context) {
  return {.q = params.q,
          .out = params.out,
          .lse = extent.lse_rows > 0 ? lse : nullptr,
          .chunks = context->queue->Stage(params.chunks),
          .requests = context->queue->Stage(params.requests),
          .blocks = params.blocks,
          .rope = context->rope->view(),
          .q_stride = params.q_stride,
          .scale = params.scale,
          .q_heads = params.q_heads,
          .group = params.q_heads / params.layout.kv_heads,
          .max_span = params.max_span,
          .layout = DevicePage(params.layout),
          .pick = {}};
}

}  // namespace

void SpanAttention(const SpanAttentionParams& params, Context* context) {
  if (params.requests.empty()) return;
  CHECK_LE(params.requests.size(), size_t{1} << 16) << "past RequestPick's numbers";
  const bool fast = ShapeIsFast(params, *context);
  const Extent extent = ExtentOf(params, fast);
  context->rope->Prepare(params.rotary_dim, params.rope_theta, extent.turns,
                         params.layout.block_size);
  const size_t lse_bytes = AlignedPart(extent.lse_rows * params.q_heads * sizeof(float));
  const int64_t decode_heads = int64_t{extent.decodes} * params.layout.kv_heads;
  const DecodeShape decode = {.requests = std::min(extent.decodes, kMaxPicks),
                              .q_heads = params.q_heads,
                              .head_dim = params.layout.head_dim,
                              .max_blocks = extent.decode_blocks,
                              .least = LeastPartBlocks(decode_heads, *context)};
  const size_t decode_bytes = extent.decodes == 0 ? 0 : DecodeScratchBytes(decode);
  auto* scratch = static_cast<std::byte*>(context->scratch->Take(lse_bytes + decode_bytes));
  SpanArgs args = MakeArgs(params, extent, reinterpret_cast<float*>(scratch), context);
  const auto on_path = [&](Path path, auto launch) {
    const auto wanted = [&](const SpanAttentionRequest& request) {
      return PathOf(params, request, fast) == path;
    };
    ForPicked(params, wanted, [&](const RequestPick& pick) {
      args.pick = pick;
      launch();
    });
  };
  on_path(Path::kDecode,
          [&] { DecodeAttention(args, decode, scratch + lse_bytes, context->queue); });
  on_path(Path::kPrefill, [&] { PrefillAttention(args, extent.rows, context->queue); });
  on_path(Path::kPlain,
          [&] { PlainAttention(args, extent.rows, context->precision, context->queue); });
  ForPicked(
      params,
      [](const SpanAttentionRequest& request) {
        return request.mass != nullptr && request.span_count > 0;
      },
      [&](const RequestPick& pick) {
        args.pick = pick;
        SpanMass(args, context->precision, context->queue);
      });
}

}  // namespace eidetic::cuda
