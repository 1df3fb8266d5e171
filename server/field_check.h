// How a bad field of a request is refused.
//
// What: INVALID_ARGUMENT with the message "field: what is wrong; the remedy". The part before
//   the first colon is the field's path in the request; ToGrpcStatus makes a BadRequest of it.
// Thread safety: pure functions. Ownership: none. Preconditions: none.
#ifndef EIDETIC_SERVER_FIELD_CHECK_H_
#define EIDETIC_SERVER_FIELD_CHECK_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace eidetic {

absl::Status InvalidField(const std::string& field, const std::string& description);

// `status` with "field: " before its message when it is INVALID_ARGUMENT; else as it is.
absl::Status WithField(const std::string& field, const absl::Status& status);

// OK when low <= value <= high.
absl::Status CheckRange(const std::string& field, int64_t value, int64_t low, int64_t high);

// The values that a float may have: NaN and infinities never.
struct FloatRange {
  float low = 0, high = 0;
  bool above_low = false;  // `low` itself is excluded
};
absl::Status CheckRange(const std::string& field, float value, const FloatRange& range);

// At most `max` characters (not bytes) of UTF-8.
absl::Status CheckLength(const std::string& field, const std::string& value, int64_t max);

}  // namespace eidetic

#endif  // EIDETIC_SERVER_FIELD_CHECK_H_
