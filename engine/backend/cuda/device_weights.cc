#include "engine/backend/cuda/device_weights.h"

#include <algorithm>
#include <vector>

#include "engine/backend/element.h"
#include "engine/backend/weight_checks.h"
#include "memory/bf16.h"

namespace eidetic::cuda {
namespace {

// Numbers converted at once: bounds the host memory that loading takes.
constexpr int64_t kPieceElements = int64_t{4} << 20;

class OwnedMatrix final : public DeviceMatrix {
 public:
  OwnedMatrix(void* data, int64_t rows, int64_t cols, size_t bytes, memory::Arena* arena)
      : DeviceMatrix(data, rows, cols), owned_(data), bytes_(bytes), arena_(arena) {}
  ~OwnedMatrix() override { arena_->Free(owned_, bytes_); }

 private:
  void* owned_;
  size_t bytes_;
  memory::Arena* arena_;
};

class DeviceVector final : public Vector {
 public:
  DeviceVector(void* data, int64_t size, memory::Arena* arena)
      : data_(static_cast<float*>(data)), size_(size), arena_(arena) {}
  ~DeviceVector() override { arena_->Free(data_, size_ * sizeof(float)); }
  const float* data() const override { return data_; }
  int64_t size() const override { return size_; }

 private:
  float* data_;
  int64_t size_;
  memory::Arena* arena_;
};

// Elements [begin, end) of `view` as the device wants them.
template <typename Number, typename Convert>
void UploadConverted(const TensorView& view, int64_t count, std::byte* to, memory::Arena* arena,
                     Convert convert) {
  std::vector<Number> piece;
  for (int64_t begin = 0; begin < count; begin += kPieceElements) {
    piece.resize(std::min(kPieceElements, count - begin));
    for (size_t i = 0; i < piece.size(); ++i) piece[i] = convert(ReadElement(view, begin + i));
    arena->CopyFromHost(to + begin * sizeof(Number), piece.data(), piece.size() * sizeof(Number));
  }
}

void UploadTensor(const TensorView& view, int64_t count, Precision precision, std::byte* to,
                  memory::Arena* arena) {
  if (precision == Precision::kFloat32) {
    UploadConverted<float>(view, count, to, arena, [](float value) { return value; });
  } else if (view.dtype == DType::kBF16) {
    arena->CopyFromHost(to, view.data.data(), view.data.size());
  } else {
    UploadConverted<memory::Bf16>(view, count, to, arena, memory::RoundNearest);
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<Matrix>> UploadMatrix(std::span<const TensorView> views,
                                                     Precision precision, memory::Arena* arena) {
  if (absl::Status status = CheckMatrices(views); !status.ok()) return status;
  const int64_t cols = views[0].shape[1];
  const size_t element = precision == Precision::kFloat32 ? sizeof(float) : sizeof(memory::Bf16);
  int64_t rows = 0;
  for (const TensorView& view : views) rows += view.shape[0];
  const size_t bytes = rows * cols * element;
  absl::StatusOr<void*> data = arena->Allocate(bytes);
  if (!data.ok()) return data.status();
  auto matrix = std::make_unique<OwnedMatrix>(*data, rows, cols, bytes, arena);
  auto* to = static_cast<std::byte*>(*data);
  for (const TensorView& view : views) {
    const int64_t count = view.shape[0] * cols;
    UploadTensor(view, count, precision, to, arena);
    to += count * element;
  }
  return matrix;
}

absl::StatusOr<std::unique_ptr<Vector>> UploadVector(const TensorView& view, memory::Arena* arena) {
  absl::StatusOr<int64_t> count = CountElements(view);
  if (!count.ok()) return count.status();
  absl::StatusOr<void*> data = arena->Allocate(*count * sizeof(float));
  if (!data.ok()) return data.status();
  auto vector = std::make_unique<DeviceVector>(*data, *count, arena);
  UploadTensor(view, *count, Precision::kFloat32, static_cast<std::byte*>(*data), arena);
  return vector;
}

}  // namespace eidetic::cuda
