#include "engine/backend/cpu/packed_matrix.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/memory/memory.h"
#include "absl/status/status.h"
#include "engine/backend/element.h"
#include "engine/backend/weight_checks.h"

namespace eidetic::cpu {

absl::StatusOr<std::unique_ptr<PackedMatrix>> PackedMatrix::Pack(std::span<const TensorView> views,
                                                                 memory::Arena* arena,
                                                                 ThreadPool* pool) {
  if (absl::Status status = CheckMatrices(views); !status.ok()) return status;
  std::vector<std::pair<const TensorView*, int64_t>> sources;  // of every row: view, row in it
  bool all_bf16 = true;
  for (const TensorView& view : views) {
    all_bf16 = all_bf16 && view.dtype == DType::kBF16;
    for (int64_t row = 0; row < view.shape[0]; ++row) sources.emplace_back(&view, row);
  }
  auto matrix =
      absl::WrapUnique(new PackedMatrix(static_cast<int64_t>(sources.size()), views[0].shape[1],
                                        all_bf16 ? DType::kBF16 : DType::kF32, arena));
  absl::StatusOr<void*> data = arena->Allocate(matrix->bytes());
  if (!data.ok()) return data.status();
  matrix->data_ = *data;
  pool->ParallelFor(matrix->panels(), [&](int64_t panel, int) {
    const int64_t end = std::min(matrix->rows_, (panel + 1) * kPanelRows);
    for (int64_t row = panel * kPanelRows; row < end; ++row) {
      matrix->PackRow(*sources[row].first, sources[row].second, row);
    }
  });
  return matrix;
}

PackedMatrix::~PackedMatrix() {
  if (data_ != nullptr) arena_->Free(data_, bytes());
}

int64_t PackedMatrix::ElementIndex(int64_t row, int64_t col) const {
  const int64_t lane = row % kPanelRows;
  // bf16 words are little-endian: the low half is the even index.
  const int64_t place = dtype_ == DType::kF32 ? lane : 2 * (lane % 16) + lane / 16;
  return (row / kPanelRows * cols_ + col) * kPanelRows + place;
}

void PackedMatrix::PackRow(const TensorView& view, int64_t view_row, int64_t row) {
  const int64_t to = ElementIndex(row, 0);
  if (dtype_ == DType::kF32) {
    auto* out = static_cast<float*>(data_) + to;
    for (int64_t k = 0; k < cols_; ++k) {
      out[k * kPanelRows] = ReadElement(view, view_row * cols_ + k);
    }
    return;
  }
  auto* out = static_cast<uint16_t*>(data_) + to;
  const std::byte* from = view.data.data() + view_row * cols_ * 2;
  for (int64_t k = 0; k < cols_; ++k) std::memcpy(out + k * kPanelRows, from + k * 2, 2);
}

void PackedMatrix::UnpackRow(int64_t row, float* out) const {
  const int64_t from = ElementIndex(row, 0);
  if (dtype_ == DType::kF32) {
    const float* data = static_cast<const float*>(data_) + from;
    for (int64_t k = 0; k < cols_; ++k) out[k] = data[k * kPanelRows];
    return;
  }
  const uint16_t* data = static_cast<const uint16_t*>(data_) + from;
  for (int64_t k = 0; k < cols_; ++k) out[k] = WidenBf16(data[k * kPanelRows]);
}

absl::StatusOr<std::unique_ptr<HostVector>> HostVector::Load(const TensorView& view,
                                                             memory::Arena* arena) {
  absl::StatusOr<int64_t> count = CountElements(view);
  if (!count.ok()) return count.status();
  absl::StatusOr<void*> data = arena->Allocate(*count * sizeof(float));
  if (!data.ok()) return data.status();
  auto* values = static_cast<float*>(*data);
  for (int64_t i = 0; i < *count; ++i) values[i] = ReadElement(view, i);
  return absl::WrapUnique(new HostVector(values, *count, arena));
}

}  // namespace eidetic::cpu
