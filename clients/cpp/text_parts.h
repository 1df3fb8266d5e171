// Cuts a long text into the parts that an append sends, one request each.
//
// Thread safety: pure function. Ownership: the parts point into `text`.
// Preconditions: none; what is wrong is refused.
#ifndef EIDETIC_CLIENTS_CPP_TEXT_PARTS_H_
#define EIDETIC_CLIENTS_CPP_TEXT_PARTS_H_

#include <cstddef>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace eidetic::client {

inline constexpr size_t kDefaultPartBytes = 256 << 10;
// A request is at most 4 MiB; the rest of it needs less than this margin.
inline constexpr size_t kMaxPartBytes = (4 << 20) - (4 << 10);
// The longest UTF-8 character: a smaller part could hold none.
inline constexpr size_t kMinPartBytes = 4;

// Parts of 1 to `max_bytes` bytes that concatenate to `text`; none for an empty
// text. A cut stands, in the second half of what fits, after the last blank line,
// else after the last line, else before the last space, else at the end of a
// character: so words keep their tokens and special tokens their spelling.
// INVALID_ARGUMENT: `max_bytes` out of range, `text` not UTF-8.
absl::StatusOr<std::vector<std::string_view>> SplitText(std::string_view text, size_t max_bytes);

}  // namespace eidetic::client

#endif  // EIDETIC_CLIENTS_CPP_TEXT_PARTS_H_
