#include "server/model_folder.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/field_check.h"

namespace eidetic {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxNameCharacters = 63;

bool IsModelFolder(const fs::path& folder) {
  std::error_code ignored;  // what can not be looked at is none
  return fs::is_regular_file(folder / "config.json", ignored);
}

// In a source tree, beside an installed binary, in Bazel's runfiles.
std::vector<fs::path> DemoFolders(const fs::path& binary) {
  fs::path runfiles = binary;
  runfiles += ".runfiles";
  return {binary.parent_path() / "../engine/model/demo", binary.parent_path() / "model",
          runfiles / "eidetic/engine/model/demo"};
}

}  // namespace

absl::StatusOr<fs::path> FindModelFolder(const std::string& wanted, const std::string& argv0) {
  const char* environment = std::getenv("EIDETIC_MODEL");
  const std::string named = !wanted.empty() ? wanted : environment != nullptr ? environment : "";
  if (!named.empty()) {
    if (IsModelFolder(named)) return fs::path(named);
    return absl::NotFoundError(
        absl::StrCat("--model: ", named, " holds no config.json; name a model's folder"));
  }
  std::error_code ignored;
  for (const fs::path& binary : {fs::path(argv0), fs::read_symlink("/proc/self/exe", ignored)}) {
    for (const fs::path& folder : DemoFolders(binary)) {
      if (IsModelFolder(folder)) return folder;
    }
  }
  return absl::NotFoundError(
      "--model: is empty and the demo model is not beside the server; "
      "name a model's folder");
}

absl::StatusOr<std::string> ModelName(const std::string& wanted, const fs::path& folder) {
  std::error_code ignored;
  const std::string name =
      !wanted.empty() ? wanted : fs::weakly_canonical(folder, ignored).filename().string();
  const bool fine = std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::isalnum(c) || c == '.' || c == '_' || c == '-';
  });
  if (fine && !name.empty() && name.size() <= kMaxNameCharacters) return "models/" + name;
  return InvalidField("--model_name",
                      absl::StrCat("'", name, "' is no name; give 1 to ", kMaxNameCharacters,
                                   " letters, digits, '.', '_' or '-'"));
}

}  // namespace eidetic
