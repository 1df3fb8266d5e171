// Flow: 1. out = multiplier * x W^T [+ out] in cuBLAS, which counts columns first: to it our
// row-major out [rows, outputs] is its transpose, so it multiplies W [outputs, inputs] by x^T.
// 2. out += multiplier * bias, where there is one: few models have it.
#include <glog/logging.h>

#include "engine/backend/cuda/large_mat_mul.h"
#include "engine/backend/cuda/numbers.cuh"

namespace eidetic::cuda {
namespace {

constexpr int32_t kThreads = 256;

// All that the call depends on.
struct Product {
  const void* x;  // [rows, inputs]
  const void* w;  // [outputs, inputs]
  void* out;      // [rows, outputs]
  int64_t rows, outputs, inputs;
  float multiplier, old_share;
  cudaDataType out_type;
};

void Multiply(const Product& p, cublasHandle_t cublas) {
  // The backend gave the handle its stream and workspace.
  const cublasStatus_t status =
      cublasGemmEx_64(cublas, CUBLAS_OP_T, CUBLAS_OP_N, p.outputs, p.rows, p.inputs, &p.multiplier,
                      p.w, CUDA_R_16BF, p.inputs, p.x, CUDA_R_16BF, p.inputs, &p.old_share, p.out,
                      p.out_type, p.outputs, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
  CHECK_EQ(status, CUBLAS_STATUS_SUCCESS)
      << "cuBLAS refuses a product of " << p.rows << " x " << p.inputs << " x " << p.outputs;
}

struct BiasArgs {
  void* out;          // [rows, outputs]
  const float* bias;  // [outputs]
  int64_t outputs;
  float multiplier;
};

// blockIdx is (row, part of the row).
template <typename Out>
__global__ void __launch_bounds__(kThreads) AddBiasKernel(const BiasArgs args) {
  cudaTriggerProgrammaticLaunchCompletion();
  cudaGridDependencySynchronize();
  const int64_t output = int64_t{blockIdx.y} * kThreads + threadIdx.x;
  if (output >= args.outputs) return;
  Out* out = static_cast<Out*>(args.out) + blockIdx.x * args.outputs + output;
  *out = FromFloat<Out>(ToFloat(*out) + args.multiplier * args.bias[output]);
}

}  // namespace

void LargeMatMul(const MatMulParams& params, Context* context) {
  const auto& w = static_cast<const DeviceMatrix&>(*params.w);
  const bool is_float = params.out_number == Number::kFloat32;
  const Product product = {.x = params.x,
                           .w = w.data(),
                           .out = params.out,
                           .rows = params.rows,
                           .outputs = w.rows(),
                           .inputs = w.cols(),
                           .multiplier = params.multiplier,
                           .old_share = params.accumulate ? 1.0f : 0.0f,
                           .out_type = is_float ? CUDA_R_32F : CUDA_R_16BF};
  context->queue->Call(
      product, [product, cublas = context->cublas](cudaStream_t) { Multiply(product, cublas); });
  if (params.bias == nullptr) return;
  context->queue->Launch(is_float ? AddBiasKernel<float> : AddBiasKernel<Bf16Number>,
                         dim3(params.rows, CeilDiv(w.rows(), kThreads)), dim3(kThreads), 0,
                         BiasArgs{.out = params.out,
                                  .bias = params.bias,
                                  .outputs = w.rows(),
                                  .multiplier = params.multiplier},
                         Overlap::kPrologue);
}

}  // namespace eidetic::cuda
