// Boxes of 64 rows and 64 columns of a matrix in device memory, moved by the copy engine.
//
// What: the description of a matrix that the engine reads, made on the host; copies of a box to
//   and from a panel in shared memory, whose pieces it exchanges as SsdPanel has them.
// Thread safety: pure; one thread asks for a copy. Ownership: none.
// Preconditions: the matrix begins at, and its rows are, a multiple of 16 bytes.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_SSD_BOXES_CUH_
#define EIDETIC_ENGINE_BACKEND_CUDA_SSD_BOXES_CUH_

#include <cuda.h>
#include <cuda_runtime_api.h>

#include <cstdint>

#include "engine/backend/cuda/shared_barrier.cuh"

namespace eidetic::cuda {

inline constexpr uint32_t kBoxSide = 64;
inline constexpr uint32_t kBoxBytes = kBoxSide * kBoxSide * 2;

using BoxSource = CUtensorMap;  // a kernel has it as a __grid_constant__ argument

// Null with a driver that is too old. Asked for at run time, so nothing links the driver.
inline auto BoxSourceEncoder() {
  using Encoder = decltype(&cuTensorMapEncodeTiled);
  static const Encoder encoder = [] {
    void* found = nullptr;
    cudaDriverEntryPointQueryResult result;
    const cudaError_t error = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found,
                                                               12000, cudaEnableDefault, &result);
    const bool there = error == cudaSuccess && result == cudaDriverEntryPointSuccess;
    return there ? reinterpret_cast<Encoder>(found) : nullptr;
  }();
  return encoder;
}

// Of a bf16 matrix [rows, columns]. What a box has beyond it is read as zeros and not written.
inline BoxSource MakeBoxSource(const void* matrix, int64_t rows, int64_t columns) {
  const cuuint64_t size[] = {static_cast<cuuint64_t>(columns), static_cast<cuuint64_t>(rows)};
  const cuuint64_t stride[] = {static_cast<cuuint64_t>(columns) * 2};
  const cuuint32_t box[] = {kBoxSide, kBoxSide}, step[] = {1, 1};
  BoxSource source = {};
  BoxSourceEncoder()(&source, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, const_cast<void*>(matrix), size,
                     stride, box, step, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                     CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return source;
}

// The barrier's phase does not end before as many bytes have come, of boxes asked for with it.
__device__ inline void ExpectBytes(uint64_t* barrier, uint32_t bytes) {
  asm volatile(
      "mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%0], %1;" ::"r"(SharedAddress(barrier)),
      "r"(bytes)
      : "memory");
}
__device__ inline void LoadBox(void* panel, const BoxSource& from, uint32_t row, uint32_t column,
                               uint64_t* barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%2, %3}], [%4];" ::"r"(SharedAddress(panel)),
      "l"(&from), "r"(column), "r"(row), "r"(SharedAddress(barrier))
      : "memory");
}

// The panel is left alone until the same thread has called WaitBoxesRead.
__device__ inline void StoreBox(const void* panel, const BoxSource& to, uint32_t row,
                                uint32_t column) {
  asm volatile(
      "cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%0, {%1, %2}], [%3];" ::"l"(&to),
      "r"(column), "r"(row), "r"(SharedAddress(panel))
      : "memory");
  asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}
__device__ inline void WaitBoxesRead() {
  asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory");
}

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_SSD_BOXES_CUH_
