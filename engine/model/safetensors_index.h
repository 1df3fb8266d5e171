// The model.safetensors.index.json of a sharded model.
//
// Thread safety: pure function. Ownership: values. Preconditions: none; the
//   text is hostile input.
#ifndef EIDETIC_ENGINE_MODEL_SAFETENSORS_INDEX_H_
#define EIDETIC_ENGINE_MODEL_SAFETENSORS_INDEX_H_

#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/model/safetensors.h"

namespace eidetic {

struct SafetensorsIndex {
  std::vector<std::pair<std::string, std::string>> shard_of;  // tensor name, file name
  std::set<std::string> shards;                               // file names, none with a path
};

// Errors: INVALID_ARGUMENT with the field or tensor and the reason.
absl::StatusOr<SafetensorsIndex> ParseSafetensorsIndex(std::string_view json,
                                                       const SafetensorsLimits& limits);

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_MODEL_SAFETENSORS_INDEX_H_
