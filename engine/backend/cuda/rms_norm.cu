// Flow: one block a row. 1. Sum of squares of x, gated where asked, in rms_norm.cuh's order.
// 2. The row is read anew, from cache, and written scaled. A thread writes the pieces it reads
// and no other, so out may be x.
#include <algorithm>

#include "engine/backend/cuda/rms_norm.cuh"
#include "engine/backend/cuda/rms_norm.h"
#include "engine/backend/cuda/row_segments.cuh"

namespace eidetic::cuda {
namespace {

struct RmsNormArgs {
  NormArgs norm;
  void* out;              // [rows, dim]
  const RowWeights* own;  // null: all rows have norm.weight
  int32_t own_count;
};

template <typename T, int kWidth>
__global__ void __launch_bounds__(kNormThreads) RmsNormKernel(const RmsNormArgs args) {
  __shared__ float sums[kNormWarps];
  cudaTriggerProgrammaticLaunchCompletion();
  cudaGridDependencySynchronize();
  NormArgs norm = args.norm;
  const int64_t row = blockIdx.x;
  if (args.own != nullptr) {
    const int32_t i = FindSegment(args.own, args.own_count, row);
    if (i < args.own_count && args.own[i].row_begin <= row) norm.weight = args.own[i].weight;
  }
  SumSquares<T, NormKind::kAny, kWidth, 1>(norm, row, 1, sums);
  __syncthreads();
  const float inverse_rms = InverseRms(norm, sums);
  T* out = static_cast<T*>(args.out) + row * norm.dim;
  for (int32_t column = threadIdx.x * kWidth; column < norm.dim; column += kNormThreads * kWidth) {
    float values[kWidth];
    LoadNormed<T, NormKind::kAny>(norm, row, column, inverse_rms, values);
    StorePiece(out + column, values);
  }
}

}  // namespace

void RmsNorm(const RmsNormParams& params, Context* context) {
  if (params.rows == 0) return;
  const RmsNormArgs args = {.norm = ToNormArgs(params),
                            .out = params.out,
                            .own = params.own.empty() ? nullptr : context->queue->Stage(params.own),
                            .own_count = static_cast<int32_t>(params.own.size())};
  const bool pieces = FitsPieces(params) && std::ranges::all_of(params.own, [](auto& own) {
                        return AlignedForPieces(own.weight);
                      });
  WithActivation(context->precision, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    const auto kernel = pieces ? RmsNormKernel<T, kPiece> : RmsNormKernel<T, 1>;
    context->queue->Launch(kernel, dim3(params.rows), dim3(kNormThreads), 0, args,
                           Overlap::kPrologue);
  });
}

}  // namespace eidetic::cuda
