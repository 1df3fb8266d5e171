// Which product takes which way:
//   bf16, columns a multiple of 8, up to 4 rows, W large, not batch-invariant: the ring, or
//     for a row alone the product of one row;
//   bf16, columns a multiple of 8, up to 16 rows (any number when batch-invariant): skinny;
//   bf16, more rows: cuBLAS;
//   float32, and bf16 that is left: the tiled kernel below.
// Norm and SwiGLU are done by their own kernels, through scratch, unless the way has them inside.
//
// Flow of the tiled kernel: a block computes 32 rows by 32 outputs, a thread 4 rows of one output.
// For every 32 columns: 1. both tiles into shared memory, zeros beyond the edges; 2. 32 fused
// multiply-adds a sum, columns ascending: a row's bits depend on that row and W alone.
#include <cstddef>
#include <type_traits>

#include "engine/backend/cuda/large_mat_mul.h"
#include "engine/backend/cuda/mat_mul.h"
#include "engine/backend/cuda/numbers.cuh"
#include "engine/backend/cuda/product_output.cuh"
#include "engine/backend/cuda/rms_norm.h"
#include "engine/backend/cuda/skinny_mat_mul.h"
#include "engine/backend/cuda/skinny_ring.h"
#include "engine/backend/cuda/skinny_row.h"
#include "engine/backend/cuda/swi_glu.h"

namespace eidetic::cuda {
namespace {

constexpr int32_t kTile = 32;          // a warp's width: one row of a tile is one access
constexpr int32_t kRowsPerThread = 4;  // each weight read from shared memory serves 4 sums
constexpr int32_t kTileStep = kTile / kRowsPerThread;
constexpr int32_t kTileThreads = kTile * kTileStep;

struct TiledArgs {
  const void* x;  // [rows, columns]
  const void* w;  // [output.outputs, columns]
  ProductOutput output;
  int64_t rows, columns;
};

// Rows first_row .. first_row + 31 of `from` [rows, columns], columns from `column` on.
template <typename T>
__device__ inline void LoadTile(const void* from, int64_t first_row, int64_t rows, int64_t column,
                                int64_t columns, float (&tile)[kTile][kTile + 1]) {
#pragma unroll
  for (int i = 0; i < kRowsPerThread; ++i) {
    const int32_t row = threadIdx.y + i * kTileStep;
    const int64_t at = first_row + row;
    const bool inside = at < rows && column + threadIdx.x < columns;
    tile[row][threadIdx.x] =
        inside ? ToFloat(static_cast<const T*>(from)[at * columns + column + threadIdx.x]) : 0.0f;
  }
}

template <typename T>
__global__ void __launch_bounds__(kTileThreads) TiledKernel(const TiledArgs args) {
  // A column more, so that 32 rows of one column lie in 32 banks.
  __shared__ float w_tile[kTile][kTile + 1], x_tile[kTile][kTile + 1];
  cudaTriggerProgrammaticLaunchCompletion();
  cudaGridDependencySynchronize();
  const int64_t first_output = int64_t{blockIdx.x} * kTile, first_row = int64_t{blockIdx.y} * kTile;
  float sums[kRowsPerThread] = {};
  for (int64_t column = 0; column < args.columns; column += kTile) {
    LoadTile<T>(args.w, first_output, args.output.outputs, column, args.columns, w_tile);
    LoadTile<T>(args.x, first_row, args.rows, column, args.columns, x_tile);
    __syncthreads();
#pragma unroll
    for (int k = 0; k < kTile; ++k) {
      const float weight = w_tile[threadIdx.x][k];
#pragma unroll
      for (int i = 0; i < kRowsPerThread; ++i) {
        sums[i] = fmaf(x_tile[threadIdx.y + i * kTileStep][k], weight, sums[i]);
      }
    }
    __syncthreads();
  }
  const int64_t output = first_output + threadIdx.x;
#pragma unroll
  for (int i = 0; i < kRowsPerThread; ++i) {
    const int64_t row = first_row + threadIdx.y + i * kTileStep;
    if (row < args.rows && output < args.output.outputs) {
      args.output.StoreSum<T>(row, output, sums[i]);
    }
  }
}

void TiledMatMul(const MatMulParams& params, Context* context) {
  const auto& w = static_cast<const DeviceMatrix&>(*params.w);
  const TiledArgs args = {.x = params.x,
                          .w = w.data(),
                          .output = ToProductOutput(params, w.rows()),
                          .rows = params.rows,
                          .columns = w.cols()};
  WithActivation(context->precision, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    context->queue->Launch(TiledKernel<T>,
                           dim3(CeilDiv(w.rows(), kTile), CeilDiv(params.rows, kTile)),
                           dim3(kTile, kTileStep), 0, args, Overlap::kPrologue);
  });
}

size_t ElementBytes(const Context& context) {
  return context.precision == Precision::kBf16 ? sizeof(Bf16Number) : sizeof(float);
}

// Without norm; the gates and ups of a SwiGLU wait in `product`, [rows, w.rows].
void MultiplyApart(MatMulParams params, void* product, Context* context) {
  void* out = params.out;
  const bool swiglu = params.swiglu;
  if (swiglu) params.out = product;
  params.swiglu = false;
  const bool many = params.rows > kSkinnyRows && !context->batch_invariant;
  (context->precision == Precision::kBf16 && many ? LargeMatMul : TiledMatMul)(params, context);
  if (!swiglu) return;
  const int64_t gates = params.w->rows() / 2;
  const size_t element = ElementBytes(*context);
  SwiGlu({.gate = product,
          .up = static_cast<const std::byte*>(product) + gates * element,
          .rows = params.rows,
          .dim = gates,
          .gate_stride = 2 * gates,
          .up_stride = 2 * gates,
          .out = out},
         context);
}

}  // namespace

void MatMul(const MatMulParams& params, Context* context) {
  if (params.rows == 0 || params.w->rows() == 0) return;
  const bool skinny = (params.rows <= kSkinnyRows || context->batch_invariant) &&
                      SkinnyMatMulTakes(params, *context);
  const bool ring = skinny && SkinnyRingTakes(params, *context);
  const bool norms = ring ? SkinnyRingNorms(params) : skinny && SkinnyMatMulNorms(params);
  const bool norm_apart = params.norm.weight != nullptr && !norms;
  const bool product_apart = params.swiglu && !skinny;
  const size_t element = ElementBytes(*context);
  const size_t normed_bytes =
      norm_apart ? AlignedPart(params.rows * params.w->cols() * element) : 0;
  const size_t product_bytes = product_apart ? params.rows * params.w->rows() * element : 0;
  std::byte* scratch = nullptr;
  if (norm_apart || product_apart) {
    scratch = static_cast<std::byte*>(context->scratch->Take(normed_bytes + product_bytes));
  }
  MatMulParams rest = params;
  if (norm_apart) {
    RmsNorm(InputNormParams(params, scratch), context);
    rest.x = scratch;
    rest.x_number = Number::kActivation;
    rest.norm = {};
  }
  if (ring) return (SkinnyRowTakes(rest) ? SkinnyRow : SkinnyRing)(rest, context);
  if (skinny) return SkinnyMatMul(rest, context);
  MultiplyApart(rest, scratch + normed_bytes, context);
}

}  // namespace eidetic::cuda
