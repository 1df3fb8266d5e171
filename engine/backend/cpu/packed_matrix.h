// A weight matrix in the order in which MatMul reads it.
//
// What: panels of 32 output rows; within a panel column k's 32 weights lie
//   together: [panel][k][32]. float32 panels hold outputs 0..31 in order. bf16
//   panels hold 16 words, word i = output i (low half) | output i + 16 (high
//   half): one shift and one mask widen 32 weights. The last panel is padded
//   with zeros.
// Thread safety: immutable after Pack. Ownership: owns its memory, borrows the
//   arena. Preconditions: stated per member.
#ifndef EIDETIC_ENGINE_BACKEND_CPU_PACKED_MATRIX_H_
#define EIDETIC_ENGINE_BACKEND_CPU_PACKED_MATRIX_H_

#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/statusor.h"
#include "engine/backend/backend.h"
#include "engine/backend/cpu/thread_pool.h"
#include "engine/model/safetensors.h"
#include "memory/arena.h"

namespace eidetic::cpu {

inline constexpr int64_t kPanelRows = 32;

class PackedMatrix : public Matrix {
 public:
  // Stacks `views` by rows. bf16 when all of them are; float32 otherwise.
  // Errors: INVALID_ARGUMENT (a shape that is no matrix, or differing columns),
  // RESOURCE_EXHAUSTED.
  static absl::StatusOr<std::unique_ptr<PackedMatrix>> Pack(std::span<const TensorView> views,
                                                            memory::Arena* arena, ThreadPool* pool);
  ~PackedMatrix() override;
  PackedMatrix(const PackedMatrix&) = delete;
  PackedMatrix& operator=(const PackedMatrix&) = delete;

  int64_t rows() const override { return rows_; }
  int64_t cols() const override { return cols_; }
  int64_t panels() const { return (rows_ + kPanelRows - 1) / kPanelRows; }
  DType dtype() const { return dtype_; }  // kF32 or kBF16

  // Panel `panel` of a float32 matrix, [cols][32].
  const float* F32Panel(int64_t panel) const {
    return static_cast<const float*>(data_) + panel * kPanelRows * cols_;
  }
  // Panel `panel` of a bf16 matrix, [cols][16] words.
  const uint32_t* Bf16Panel(int64_t panel) const {
    return static_cast<const uint32_t*>(data_) + panel * (kPanelRows / 2) * cols_;
  }
  // Writes row `row`, [cols], widened.
  void UnpackRow(int64_t row, float* out) const;

 private:
  PackedMatrix(int64_t rows, int64_t cols, DType dtype, memory::Arena* arena)
      : rows_(rows), cols_(cols), dtype_(dtype), arena_(arena) {}
  size_t bytes() const { return panels() * kPanelRows * cols_ * DTypeBytes(dtype_); }
  int64_t ElementIndex(int64_t row, int64_t col) const;
  void PackRow(const TensorView& view, int64_t view_row, int64_t row);

  int64_t rows_, cols_;
  DType dtype_;
  memory::Arena* arena_;
  void* data_ = nullptr;
};

// A float32 array in the arena.
class HostVector : public Vector {
 public:
  // Any shape is taken as one row. Errors: INVALID_ARGUMENT, RESOURCE_EXHAUSTED.
  static absl::StatusOr<std::unique_ptr<HostVector>> Load(const TensorView& view,
                                                          memory::Arena* arena);
  ~HostVector() override { arena_->Free(data_, size_ * sizeof(float)); }
  HostVector(const HostVector&) = delete;
  HostVector& operator=(const HostVector&) = delete;

  const float* data() const override { return data_; }
  int64_t size() const override { return size_; }

 private:
  HostVector(float* data, int64_t size, memory::Arena* arena)
      : data_(data), size_(size), arena_(arena) {}

  float* data_;
  int64_t size_;
  memory::Arena* arena_;
};

}  // namespace eidetic::cpu

#endif  // EIDETIC_ENGINE_BACKEND_CPU_PACKED_MATRIX_H_
