#include <cuda_runtime.h>
#include <glog/logging.h>

#include "engine/backend/cuda/numbers.cuh"
#include "engine/backend/cuda/rope_table.h"
#include "engine/backend/cuda/scratch.h"

namespace eidetic::cuda {
namespace {

constexpr int32_t kThreads = 256;

struct FillArgs {
  float* frequencies;  // [half]
  float2* offsets;     // [block_size][half]
  float2* low;         // [kLowBlocks][half]
  float2* high;        // [kHighBlocks][half]
  int32_t half, block_size;
  float theta;
};

// exponent and quotient in float32, the power to the nearest float: what a float pow gives.
__device__ float Frequency(const FillArgs& args, int32_t i) {
  const float exponent = static_cast<float>(2 * i) / static_cast<float>(2 * args.half);
  return 1.0f / static_cast<float>(pow(double{args.theta}, double{exponent}));
}

// One thread an entry; rows are those of `offsets`, then of `low`, then of `high`.
__global__ void FillRopeKernel(const FillArgs args) {
  const int32_t at = blockIdx.x * kThreads + threadIdx.x;
  const int32_t row = at / args.half, i = at % args.half;
  if (row >= args.block_size + kLowBlocks + kHighBlocks) return;
  const float frequency = Frequency(args, i);
  if (row == 0) args.frequencies[i] = frequency;
  float2* to = args.offsets + at;
  int64_t position = row;
  if (row >= args.block_size + kLowBlocks) {
    const int32_t block = row - args.block_size - kLowBlocks;
    to = args.high + int64_t{block} * args.half + i;
    position = int64_t{block} * kLowBlocks * args.block_size;
  } else if (row >= args.block_size) {
    const int32_t block = row - args.block_size;
    to = args.low + int64_t{block} * args.half + i;
    position = int64_t{block} * args.block_size;
  }
  double sine, cosine;
  sincos(static_cast<double>(position) * double{frequency}, &sine, &cosine);
  *to = {static_cast<float>(cosine), static_cast<float>(sine)};
}

}  // namespace

RopeTable::~RopeTable() { cudaFreeAsync(data_, queue_->stream()); }

void RopeTable::Reserve(size_t bytes) {
  if (bytes <= bytes_) return;
  // What was recorded reads the old table: it must be in the stream before the table goes.
  queue_->Flush();
  if (data_ != nullptr) cudaFreeAsync(data_, queue_->stream());
  void* data = nullptr;
  const cudaError_t error = cudaMallocAsync(&data, bytes, queue_->stream());
  CHECK(error == cudaSuccess) << "no device memory for RoPE's table of " << bytes
                              << " bytes: " << cudaGetErrorString(error);
  data_ = static_cast<std::byte*>(data);
  bytes_ = bytes;
}

void RopeTable::Prepare(int32_t rotary_dim, float theta, int64_t blocks_wanted,
                        int32_t block_size) {
  const int32_t half = rotary_dim / 2;
  CHECK_LE(blocks_wanted, int64_t{kLowBlocks} * kHighBlocks) << "a history past RoPE's table";
  const bool same = half == view_.half && theta == theta_ && block_size == block_size_;
  if (same) return;
  block_size_ = block_size;
  theta_ = theta;
  if (half == 0) {
    view_ = {};
    return;
  }
  const size_t row = half * sizeof(float2);
  const size_t offsets = AlignedPart(half * sizeof(float));
  const size_t low = offsets + AlignedPart(block_size * row);
  const size_t high = low + AlignedPart(kLowBlocks * row);
  Reserve(high + AlignedPart(kHighBlocks * row));
  const FillArgs args{.frequencies = reinterpret_cast<float*>(data_),
                      .offsets = reinterpret_cast<float2*>(data_ + offsets),
                      .low = reinterpret_cast<float2*>(data_ + low),
                      .high = reinterpret_cast<float2*>(data_ + high),
                      .half = half,
                      .block_size = block_size,
                      .theta = theta};
  view_ = {args.frequencies, args.offsets, args.low, args.high, half};
  const int64_t entries = int64_t{half} * (block_size + kLowBlocks + kHighBlocks);
  queue_->Launch(FillRopeKernel, dim3(CeilDiv(entries, kThreads)), dim3(kThreads), 0, args);
}

}  // namespace eidetic::cuda
