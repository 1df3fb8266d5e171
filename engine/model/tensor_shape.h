// Shapes of stored tensors against those that a model asks for.
//
// Thread safety: pure functions. Ownership: values. Preconditions: none.
#ifndef EIDETIC_ENGINE_MODEL_TENSOR_SHAPE_H_
#define EIDETIC_ENGINE_MODEL_TENSOR_SHAPE_H_

#include <cstdint>
#include <span>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace eidetic {

// True if `stored` is `wanted` but for dimensions of size 1 that `wanted` leaves out.
inline bool ShapesAgree(std::span<const int64_t> stored, std::span<const int64_t> wanted) {
  size_t matched = 0;
  for (const int64_t dim : stored) {
    if (matched < wanted.size() && dim == wanted[matched]) {
      ++matched;
    } else if (dim != 1) {
      return false;
    }
  }
  return matched == wanted.size();
}

inline std::string ShapeText(std::span<const int64_t> shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_MODEL_TENSOR_SHAPE_H_
