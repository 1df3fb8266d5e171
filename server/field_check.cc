#include "server/field_check.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace eidetic {

absl::Status InvalidField(const std::string& field, const std::string& description) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", description));
}

absl::Status WithField(const std::string& field, const absl::Status& status) {
  if (!absl::IsInvalidArgument(status)) return status;
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", status.message()));
}

absl::Status CheckRange(const std::string& field, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return InvalidField(field, absl::StrCat("is ", value, "; it must be from ", low, " to ", high));
}

absl::Status CheckRange(const std::string& field, float value, const FloatRange& range) {
  // A NaN fails both comparisons.
  const bool above = range.above_low ? value > range.low : value >= range.low;
  if (above && value <= range.high) return absl::OkStatus();
  return InvalidField(
      field, absl::StrCat("is ", value, "; it must be ", range.above_low ? "above " : "from ",
                          range.low, range.above_low ? " and at most " : " to ", range.high));
}

absl::Status CheckLength(const std::string& field, const std::string& value, int64_t max) {
  const int64_t characters = std::count_if(value.begin(), value.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  });
  if (characters <= max) return absl::OkStatus();
  return InvalidField(
      field, absl::StrCat("has ", characters, " characters; at most ", max, " are allowed"));
}

}  // namespace eidetic
