// Where the model is, and what it is called.
//
// Thread safety: pure but for the file system and the environment. Ownership: values.
// Preconditions: none.
#ifndef EIDETIC_SERVER_MODEL_FOLDER_H_
#define EIDETIC_SERVER_MODEL_FOLDER_H_

#include <filesystem>
#include <string>

#include "absl/status/statusor.h"

namespace eidetic {

// `wanted`; when it is empty $EIDETIC_MODEL; when that is empty too the demo model, which lies
// near the binary that was started as `argv0`. NOT_FOUND when there is none.
absl::StatusOr<std::filesystem::path> FindModelFolder(const std::string& wanted,
                                                      const std::string& argv0);

// models/`wanted`, or models/<the folder's name>. INVALID_ARGUMENT naming --model_name when it
// is no name: letters, digits, '.', '_' and '-', at most 63.
absl::StatusOr<std::string> ModelName(const std::string& wanted,
                                      const std::filesystem::path& folder);

}  // namespace eidetic

#endif  // EIDETIC_SERVER_MODEL_FOLDER_H_
