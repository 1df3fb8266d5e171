#include "engine/backend/weight_checks.h"

#include "absl/strings/str_cat.h"

namespace eidetic {
namespace {

// Keeps every product of sizes below far from overflow.
constexpr int64_t kMaxElements = int64_t{1} << 40;

}  // namespace

absl::StatusOr<int64_t> CountElements(const TensorView& view) {
  int64_t count = 1;
  for (int64_t size : view.shape) {
    if (size <= 0 || size > kMaxElements / count) {
      return absl::InvalidArgumentError(
          absl::StrCat("a weight has a dimension of ", size, "; use 1 to 2^40 elements in all"));
    }
    count *= size;
  }
  if (view.data.size() != count * DTypeBytes(view.dtype)) {
    return absl::InvalidArgumentError(absl::StrCat("a weight of ", count, " ",
                                                   DTypeName(view.dtype), " elements has ",
                                                   view.data.size(), " bytes of data"));
  }
  return count;
}

absl::Status CheckMatrices(std::span<const TensorView> views) {
  if (views.empty()) return absl::InvalidArgumentError("no weight matrix was given");
  for (const TensorView& view : views) {
    if (view.shape.size() != 2) {
      return absl::InvalidArgumentError(
          absl::StrCat("a weight matrix has ", view.shape.size(), " dimensions; it must have 2"));
    }
    if (view.shape[1] != views[0].shape[1]) {
      return absl::InvalidArgumentError(absl::StrCat("stacked weight matrices have ",
                                                     views[0].shape[1], " and ", view.shape[1],
                                                     " columns; they must agree"));
    }
    auto count = CountElements(view);
    if (!count.ok()) return count.status();
  }
  return absl::OkStatus();
}

}  // namespace eidetic
