// Flow: rows are cut into tiles of four, which read an adapter's numbers once where they share it.
// 1. inner = scale * A x: a warp an inner product, so that a row's bits depend on that row and its
//    adapter alone. 2. out += B inner: a thread an output, ranks ascending.
// The grids depend on the rows that have adapters and on the largest rank, never on which adapter
// a row has: a step of the same shape is the same graph.
#include <algorithm>
#include <type_traits>

#include "engine/backend/cuda/low_rank.h"
#include "engine/backend/cuda/numbers.cuh"
#include "engine/backend/cuda/pieces.cuh"
#include "engine/backend/cuda/row_segments.cuh"

namespace eidetic::cuda {
namespace {

// A batch of 64 with 16 adapters has four rows each.
constexpr int32_t kTileRows = 4;
constexpr int32_t kThreads = 256;
constexpr int32_t kWarps = kThreads / 32;

struct LowRankArgs {
  const void* x;  // [rows, cols]
  const LowRankSegment* segments;
  float* inner;  // [end_row - first_row, max_rank]
  void* out;     // [rows, outputs], row stride out_stride
  int64_t cols, outputs, out_stride;
  int64_t first_row, end_row;  // all segments lie between
  int32_t segment_count, max_rank;
};

// Calls work(segment, row, count) for the runs of rows of the block's tile that share a segment.
template <typename Work>
__device__ inline void ForEachRun(const LowRankArgs& args, Work work) {
  int64_t row = args.first_row + int64_t{blockIdx.x} * kTileRows;
  const int64_t end = min(row + kTileRows, args.end_row);
  while (row < end) {
    const int32_t i = FindSegment(args.segments, args.segment_count, row);
    if (i == args.segment_count) return;
    const LowRankSegment segment = args.segments[i];
    row = max(row, segment.row_begin);
    const int64_t stop = min(end, segment.row_begin + segment.row_count);
    if (row < stop) work(segment, row, static_cast<int32_t>(stop - row));
    row = max(row, stop);
  }
}

// Warp w of block (tile, y) computes rank 8 y + w. In place of rows that are not there the last
// one is read again.
template <typename T, int kWidth>
__global__ void __launch_bounds__(kThreads) InnerKernel(const LowRankArgs args) {
  cudaTriggerProgrammaticLaunchCompletion();
  cudaGridDependencySynchronize();
  const int32_t lane = threadIdx.x % 32;
  const int32_t rank = blockIdx.y * kWarps + threadIdx.x / 32;
  ForEachRun(args, [&](const LowRankSegment& segment, int64_t row, int32_t rows) {
    if (rank >= segment.rank) return;
    const float* a = segment.a + rank * args.cols;
    const T* x = static_cast<const T*>(args.x) + row * args.cols;
    float sums[kTileRows] = {};
#pragma unroll 2
    for (int64_t column = lane * kWidth; column < args.cols; column += 32 * kWidth) {
      float weight[kWidth];
      LoadPiece(a + column, weight);
#pragma unroll
      for (int32_t r = 0; r < kTileRows; ++r) {
        float value[kWidth];
        LoadPiece(x + min(r, rows - 1) * args.cols + column, value);
#pragma unroll
        for (int32_t i = 0; i < kWidth; ++i) sums[r] = fmaf(weight[i], value[i], sums[r]);
      }
    }
#pragma unroll
    for (int32_t r = 0; r < kTileRows; ++r) {
      const float sum = WarpSum(sums[r]);
      if (lane != 0 || r >= rows) continue;
      args.inner[(row + r - args.first_row) * args.max_rank + rank] = sum * segment.scale;
    }
  });
}

template <typename Out>
__global__ void __launch_bounds__(kThreads) OuterKernel(const LowRankArgs args) {
  cudaTriggerProgrammaticLaunchCompletion();
  cudaGridDependencySynchronize();
  const int64_t output = int64_t{blockIdx.y} * kThreads + threadIdx.x;
  ForEachRun(args, [&](const LowRankSegment& segment, int64_t row, int32_t rows) {
    if (output >= args.outputs) return;
    const float* inner = args.inner + (row - args.first_row) * args.max_rank;
    float sums[kTileRows] = {};
#pragma unroll 8
    for (int32_t rank = 0; rank < segment.rank; ++rank) {
      const float weight = segment.b[rank * args.outputs + output];
#pragma unroll
      for (int32_t r = 0; r < kTileRows; ++r) {
        sums[r] = fmaf(weight, inner[min(r, rows - 1) * args.max_rank + rank], sums[r]);
      }
    }
    Out* out = static_cast<Out*>(args.out) + row * args.out_stride + output;
#pragma unroll
    for (int32_t r = 0; r < kTileRows; ++r) {
      if (r >= rows) break;
      out[r * args.out_stride] = FromFloat<Out>(ToFloat(out[r * args.out_stride]) + sums[r]);
    }
  });
}

bool FitsPieces(const LowRankParams& params) {
  return params.cols % kPiece == 0 && AlignedForPieces(params.x) &&
         std::ranges::all_of(params.segments,
                             [](auto& segment) { return AlignedForPieces(segment.a); });
}

}  // namespace

void LowRank(const LowRankParams& params, Context* context) {
  if (params.segments.empty()) return;
  const LowRankSegment& last = params.segments.back();
  LowRankArgs args = {.x = params.x,
                      .out = params.out,
                      .cols = params.cols,
                      .outputs = params.outputs,
                      .out_stride = params.out_stride,
                      .first_row = params.segments.front().row_begin,
                      .end_row = last.row_begin + last.row_count,
                      .segment_count = static_cast<int32_t>(params.segments.size())};
  for (const LowRankSegment& segment : params.segments) {
    args.max_rank = std::max(args.max_rank, segment.rank);
  }
  const int64_t rows = args.end_row - args.first_row;
  // Before anything is staged: scratch that grows flushes, and staged data lives for one flush.
  args.inner = static_cast<float*>(context->scratch->Take(rows * args.max_rank * sizeof(float)));
  args.segments = context->queue->Stage(params.segments);
  const auto tiles = static_cast<uint32_t>(CeilDiv(rows, kTileRows));
  const auto parts = [](int64_t whole, int64_t part) {
    return static_cast<uint32_t>(CeilDiv(whole, part));
  };
  WithActivation(context->precision, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    const auto inner = FitsPieces(params) ? InnerKernel<T, kPiece> : InnerKernel<T, 1>;
    context->queue->Launch(inner, dim3(tiles, parts(args.max_rank, kWarps)), dim3(kThreads), 0,
                           args, Overlap::kPrologue);
    const auto outer = params.out_number == Number::kFloat32 ? OuterKernel<float> : OuterKernel<T>;
    context->queue->Launch(outer, dim3(tiles, parts(args.outputs, kThreads)), dim3(kThreads), 0,
                           args, Overlap::kPrologue);
  });
}

}  // namespace eidetic::cuda
