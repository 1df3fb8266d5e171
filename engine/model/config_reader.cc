#include "engine/model/config_reader.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"

namespace eidetic {
namespace {

using Json = nlohmann::json;

bool IsInfinity(const Json& value) {
  if (!value.is_object() || value.size() != 1) return false;
  const auto tag = value.find("__float__");
  return tag != value.end() && *tag == "Infinity";
}

}  // namespace

const Json* ConfigReader::Find(std::string_view key) const {
  if (object_ == nullptr) return nullptr;
  const auto field = object_->find(std::string(key));
  return field == object_->end() || field->is_null() ? nullptr : &*field;
}

void ConfigReader::Require(bool ok, std::string_view key, std::string_view reason) {
  if (ok) return;
  status_->Update(absl::InvalidArgumentError(
      absl::StrCat(file_, ": ", prefix_, std::string(key), ": ", std::string(reason))));
}

int32_t ConfigReader::ToInt(const Json& value, std::string_view key, int32_t low, int32_t high) {
  // Compared as the parser stored it: a cast before the check could wrap.
  const bool fits = value.is_number_unsigned()
                        ? value.get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX)
                        : value.is_number_integer();
  const int64_t number = fits ? value.get<int64_t>() : 0;
  const bool ok = fits && number >= low && number <= high;
  Require(ok, key, absl::StrCat("must be an integer in [", low, ", ", high, "]"));
  return ok ? static_cast<int32_t>(number) : low;
}

int32_t ConfigReader::Int(std::string_view key, int32_t low, int32_t high) {
  Require(Has(key), key, absl::StrCat("is missing; must be an integer in [", low, ", ", high, "]"));
  return IntOr(key, low, high, low);
}

int32_t ConfigReader::IntOr(std::string_view key, int32_t low, int32_t high, int32_t fallback) {
  const Json* value = Find(key);
  return value == nullptr ? fallback : ToInt(*value, key, low, high);
}

double ConfigReader::NumberOr(std::string_view key, double low, double high, double fallback) {
  const Json* value = Find(key);
  if (value == nullptr) return fallback;
  const double number = value->is_number() ? value->get<double>() : std::nan("");
  const bool ok = std::isfinite(number) && number >= low && number <= high;
  Require(ok, key, absl::StrCat("must be a number in [", low, ", ", high, "]"));
  return ok ? number : low;
}

bool ConfigReader::BoolOr(std::string_view key, bool fallback) {
  const Json* value = Find(key);
  if (value == nullptr) return fallback;
  Require(value->is_boolean(), key, "must be true or false");
  return value->is_boolean() ? value->get<bool>() : fallback;
}

std::string ConfigReader::StringOr(std::string_view key, std::string_view fallback) {
  const Json* value = Find(key);
  if (value == nullptr) return std::string(fallback);
  Require(value->is_string(), key, "must be a string");
  return value->is_string() ? value->get<std::string>() : std::string(fallback);
}

bool ConfigReader::IsString(std::string_view key, std::string_view text) const {
  const Json* value = Find(key);
  return value != nullptr && value->is_string() && value->get_ref<const std::string&>() == text;
}

std::vector<int32_t> ConfigReader::Ints(std::string_view key, int32_t low, int32_t high,
                                        int32_t max_count) {
  const Json* value = Find(key);
  if (value == nullptr) return {};
  if (!value->is_array()) return {ToInt(*value, key, low, high)};
  if (value->size() > static_cast<size_t>(max_count)) {
    Require(false, key, absl::StrCat("must have at most ", max_count, " entries"));
    return {};
  }
  std::vector<int32_t> numbers;
  for (const Json& item : *value) numbers.push_back(ToInt(item, key, low, high));
  std::vector<int32_t> sorted = numbers;
  std::sort(sorted.begin(), sorted.end());
  Require(std::adjacent_find(sorted.begin(), sorted.end()) == sorted.end(), key,
          "must not name a number twice");
  return numbers;
}

std::pair<float, float> ConfigReader::IntervalOr(std::string_view key,
                                                 std::pair<float, float> fallback) {
  const Json* value = Find(key);
  if (value == nullptr) return fallback;
  std::vector<float> ends;
  if (value->is_array() && value->size() == 2) {
    for (const Json& item : *value) {
      if (item.is_number()) ends.push_back(static_cast<float>(item.get<double>()));
      if (IsInfinity(item)) ends.push_back(std::numeric_limits<float>::infinity());
    }
  }
  const bool ok = ends.size() == 2 && std::isfinite(ends[0]) && ends[0] >= 0 && ends[0] <= ends[1];
  Require(ok, key, "must be [low, high] with 0 <= low <= high");
  return ok ? std::make_pair(ends[0], ends[1]) : fallback;
}

ConfigReader ConfigReader::Object(std::string_view key) {
  const Json* value = Find(key);
  const bool ok = value == nullptr || value->is_object();
  Require(ok, key, "must be an object");
  ConfigReader reader(ok ? value : nullptr, status_, file_);
  reader.prefix_ = absl::StrCat(prefix_, std::string(key), ".");
  return reader;
}

}  // namespace eidetic
