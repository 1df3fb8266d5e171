// JSON files that the operator writes, read strictly.
//
// What: an object with a name twice is refused, as is a member that nobody asked for: a misspelt
//   one must not pass in silence. Errors are INVALID_ARGUMENT and begin with the place: "line 3,
//   column 7" or a path such as "keys[1].sha256".
// Thread safety: pure functions; JsonObject is a value that borrows. Ownership: a JsonObject
//   borrows the tree and its path. Preconditions: none.
#ifndef EIDETIC_SERVER_IDENTITY_STRICT_JSON_H_
#define EIDETIC_SERVER_IDENTITY_STRICT_JSON_H_

#include <functional>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace eidetic {

// Arrays of more entries are refused.
inline constexpr size_t kMaxJsonEntries = 1 << 16;

absl::StatusOr<nlohmann::json> ParseStrictJson(std::string_view text);

class JsonObject {
 public:
  // `path` is the object's place, "" for the whole file.
  static absl::StatusOr<JsonObject> Of(const nlohmann::json& value, std::string path);

  // INVALID_ARGUMENT for a member that is none of `names`.
  absl::Status CheckNames(std::initializer_list<std::string_view> names) const;
  // A string of 1 to `max` characters; missing is an error.
  absl::StatusOr<std::string> Text(const char* name, size_t max) const;
  // The same, if it is there.
  absl::StatusOr<std::optional<std::string>> OptionalText(const char* name, size_t max) const;
  // A number from `least` to `most`, if it is there.
  absl::StatusOr<std::optional<double>> OptionalNumber(const char* name, double least,
                                                       double most) const;
  // Calls `take` with each object of the array `name`; a missing one has none.
  absl::Status ForEach(const char* name,
                       const std::function<absl::Status(const JsonObject&)>& take) const;
  bool Has(const char* name) const { return value_->contains(name); }
  // INVALID_ARGUMENT about the member `name`.
  absl::Status Refuse(const char* name, std::string_view what) const;

 private:
  JsonObject(const nlohmann::json* value, std::string path)
      : value_(value), path_(std::move(path)) {}
  std::string PathOf(std::string_view name) const;

  const nlohmann::json* value_;
  std::string path_;
};

}  // namespace eidetic

#endif  // EIDETIC_SERVER_IDENTITY_STRICT_JSON_H_
