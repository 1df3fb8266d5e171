// Flow: a thread takes one piece of one row; blockIdx is (row, part of the row).
#include "engine/backend/cuda/pieces.cuh"
#include "engine/backend/cuda/swi_glu.h"

namespace eidetic::cuda {
namespace {

constexpr int32_t kThreads = 256;

struct SwiGluArgs {
  const void* gate;  // [rows, dim], row stride gate_stride
  const void* up;    // [rows, dim], row stride up_stride
  void* out;         // [rows, dim]
  int64_t dim, gate_stride, up_stride;
};

template <typename T, int kWidth>
__global__ void __launch_bounds__(kThreads) SwiGluKernel(const SwiGluArgs args) {
  cudaTriggerProgrammaticLaunchCompletion();
  cudaGridDependencySynchronize();
  const int64_t row = blockIdx.x;
  const int64_t column = (int64_t{blockIdx.y} * kThreads + threadIdx.x) * kWidth;
  if (column >= args.dim) return;
  float gate[kWidth], up[kWidth];
  LoadPiece(static_cast<const T*>(args.gate) + row * args.gate_stride + column, gate);
  LoadPiece(static_cast<const T*>(args.up) + row * args.up_stride + column, up);
#pragma unroll
  for (int i = 0; i < kWidth; ++i) up[i] *= SiluFor<T>(gate[i]);
  StorePiece(static_cast<T*>(args.out) + row * args.dim + column, up);
}

}  // namespace

void SwiGlu(const SwiGluParams& params, Context* context) {
  if (params.rows == 0) return;
  const SwiGluArgs args = {.gate = params.gate,
                           .up = params.up,
                           .out = params.out,
                           .dim = params.dim,
                           .gate_stride = params.gate_stride,
                           .up_stride = params.up_stride};
  const bool pieces = params.dim % kPiece == 0 && params.gate_stride % kPiece == 0 &&
                      params.up_stride % kPiece == 0 &&
                      AlignedForPieces(params.gate, params.up, params.out);
  WithActivation(context->precision, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    const auto kernel = pieces ? SwiGluKernel<T, kPiece> : SwiGluKernel<T, 1>;
    const int64_t parts = CeilDiv(params.dim, kThreads * (pieces ? kPiece : 1));
    context->queue->Launch(kernel, dim3(params.rows, parts), dim3(kThreads), 0, args,
                           Overlap::kPrologue);
  });
}

}  // namespace eidetic::cuda
