// Flow: one block a token; its threads walk along the table's row.
#include "engine/backend/cuda/embed.h"
#include "engine/backend/cuda/numbers.cuh"

namespace eidetic::cuda {
namespace {

constexpr int32_t kThreads = 256;

struct EmbedArgs {
  const memory::TokenId* ids;  // [T]
  const void* table;           // [vocab, dim]
  float* out;                  // [T, dim]
  int64_t dim;
  float multiplier;
};

template <typename T>
__global__ void __launch_bounds__(kThreads) EmbedKernel(const EmbedArgs args) {
  cudaTriggerProgrammaticLaunchCompletion();
  cudaGridDependencySynchronize();
  const int64_t row = blockIdx.x;
  const T* from = static_cast<const T*>(args.table) + args.ids[row] * args.dim;
  float* to = args.out + row * args.dim;
  for (int64_t i = threadIdx.x; i < args.dim; i += kThreads) {
    to[i] = ToFloat(from[i]) * args.multiplier;
  }
}

}  // namespace

void Embed(const EmbedParams& params, Context* context) {
  if (params.ids.empty()) return;
  const auto& table = static_cast<const DeviceMatrix&>(*params.table);
  const EmbedArgs args = {.ids = context->queue->Stage(params.ids),
                          .table = table.data(),
                          .out = params.out,
                          .dim = table.cols(),
                          .multiplier = params.multiplier};
  WithActivation(context->precision, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    context->queue->Launch(EmbedKernel<T>, dim3(params.ids.size()), dim3(kThreads), 0, args,
                           Overlap::kPrologue);
  });
}

}  // namespace eidetic::cuda
