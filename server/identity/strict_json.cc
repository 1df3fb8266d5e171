#include "server/identity/strict_json.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace eidetic {
namespace {

using nlohmann::json;

constexpr int kMaxDepth = 16;

absl::Status ErrorAt(std::string_view text, size_t byte, std::string_view what) {
  const std::string_view before = text.substr(0, std::min(byte, text.size()));
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const size_t column = before.size() - (before.rfind('\n') + 1);  // npos + 1 is 0
  return absl::InvalidArgumentError(
      absl::StrCat("line ", line, ", column ", column, ": ", std::string(what)));
}

// Sees each member's name as it is read.
class NameWatch {
 public:
  bool operator()(int depth, json::parse_event_t event, json& parsed) {
    if (depth > kMaxDepth) too_deep_ = true;
    if (event == json::parse_event_t::object_start) names_.emplace_back();
    if (event == json::parse_event_t::object_end) names_.pop_back();
    if (event == json::parse_event_t::key) {
      const auto& name = parsed.get_ref<const std::string&>();
      if (!names_.back().insert(name).second && twice_.empty()) twice_ = name;
    }
    return true;
  }

  absl::Status Verdict() const {
    if (too_deep_) {
      return absl::InvalidArgumentError(absl::StrCat("is nested more than ", kMaxDepth, " deep"));
    }
    if (twice_.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(twice_, ": stands twice in one object"));
  }

 private:
  std::vector<std::set<std::string>> names_;
  std::string twice_;
  bool too_deep_ = false;
};

}  // namespace

absl::StatusOr<json> ParseStrictJson(std::string_view text) {
  NameWatch watch;
  try {
    json value = json::parse(text, std::ref(watch));
    if (absl::Status status = watch.Verdict(); !status.ok()) return status;
    return value;
  } catch (const json::parse_error& error) {
    return ErrorAt(text, error.byte, "is not JSON, or the file ends too early");
  } catch (const json::exception&) {  // a number that no type holds
    return absl::InvalidArgumentError("holds a number that is out of range");
  }
}

absl::StatusOr<JsonObject> JsonObject::Of(const json& value, std::string path) {
  if (value.is_object()) return JsonObject(&value, std::move(path));
  return absl::InvalidArgumentError(
      absl::StrCat(path.empty() ? "the file" : path, ": must be a JSON object"));
}

std::string JsonObject::PathOf(std::string_view name) const {
  return absl::StrCat(path_, path_.empty() ? "" : ".", std::string(name));
}

absl::Status JsonObject::Refuse(const char* name, std::string_view what) const {
  return absl::InvalidArgumentError(absl::StrCat(PathOf(name), ": ", std::string(what)));
}

absl::Status JsonObject::CheckNames(std::initializer_list<std::string_view> names) const {
  for (const auto& [name, unused] : value_->items()) {
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      return absl::InvalidArgumentError(absl::StrCat(PathOf(name), ": is not known here"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<std::string>> JsonObject::OptionalText(const char* name,
                                                                    size_t max) const {
  const auto found = value_->find(name);
  if (found == value_->end()) return std::optional<std::string>();
  if (!found->is_string()) return Refuse(name, "must be a string");
  const auto& text = found->get_ref<const std::string&>();
  if (text.empty() || text.size() > max) {
    return Refuse(name, absl::StrCat("must have 1 to ", max, " characters"));
  }
  return std::optional<std::string>(text);
}

absl::StatusOr<std::string> JsonObject::Text(const char* name, size_t max) const {
  auto text = OptionalText(name, max);
  if (!text.ok()) return text.status();
  if (!*text) return Refuse(name, "is missing");
  return **std::move(text);
}

absl::StatusOr<std::optional<double>> JsonObject::OptionalNumber(const char* name, double least,
                                                                 double most) const {
  const auto found = value_->find(name);
  if (found == value_->end()) return std::optional<double>();
  if (!found->is_number()) return Refuse(name, "must be a number");
  const double value = found->get<double>();
  if (value >= least && value <= most) return std::optional<double>(value);
  return Refuse(name, absl::StrCat("must be from ", least, " to ", most));
}

absl::Status JsonObject::ForEach(const char* name,
                                 const std::function<absl::Status(const JsonObject&)>& take) const {
  const auto found = value_->find(name);
  if (found == value_->end()) return absl::OkStatus();
  if (!found->is_array()) return Refuse(name, "must be an array");
  if (found->size() > kMaxJsonEntries) {
    return Refuse(name, absl::StrCat("has more than ", kMaxJsonEntries, " entries"));
  }
  for (size_t i = 0; i < found->size(); ++i) {
    const auto object = Of((*found)[i], absl::StrCat(PathOf(name), "[", i, "]"));
    if (!object.ok()) return object.status();
    if (absl::Status status = take(*object); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace eidetic
