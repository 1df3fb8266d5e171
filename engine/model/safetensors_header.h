// The JSON header of a safetensors file, parsed and checked.
//
// Thread safety: pure function. Ownership: values. Preconditions: none; the
//   header is hostile input.
#ifndef EIDETIC_ENGINE_MODEL_SAFETENSORS_HEADER_H_
#define EIDETIC_ENGINE_MODEL_SAFETENSORS_HEADER_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/model/safetensors.h"

namespace eidetic {

struct StoredTensor {
  std::string name;
  std::string dtype;           // as written: "BF16", "I64", ...; one that the format knows
  std::vector<int64_t> shape;  // row-major
  int64_t begin = 0;           // byte offsets into the data that follows the header
  int64_t end = 0;
};

// The tensors of `json`, by offset. They tile the `data_bytes` of data without
// overlap or gap, and each takes product(shape) * size of its dtype.
// Errors: INVALID_ARGUMENT with tensor, field and reason.
absl::StatusOr<std::vector<StoredTensor>> ParseSafetensorsHeader(std::string_view json,
                                                                 int64_t data_bytes,
                                                                 const SafetensorsLimits& limits);

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_MODEL_SAFETENSORS_HEADER_H_
