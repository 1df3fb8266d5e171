#include "clients/cpp/text_parts.h"

#include "absl/strings/str_cat.h"
#include "clients/cpp/utf8.h"

namespace eidetic::client {
namespace {

// Bytes of the first part of `text`, which is longer than `max_bytes`.
size_t FirstPartBytes(std::string_view text, size_t max_bytes) {
  const size_t least = max_bytes / 2;
  const auto is_good = [&](size_t found, size_t offset) {
    return found != std::string_view::npos && found + offset > least;
  };
  if (size_t found = text.rfind("\n\n", max_bytes - 2); is_good(found, 2)) return found + 2;
  if (size_t found = text.rfind('\n', max_bytes - 1); is_good(found, 1)) return found + 1;
  // A word's token begins with its space.
  if (size_t found = text.rfind(' ', max_bytes); is_good(found, 0)) return found;
  size_t bytes = max_bytes;
  while (IsUtf8Continuation(text[bytes])) --bytes;
  return bytes;
}

}  // namespace

absl::StatusOr<std::vector<std::string_view>> SplitText(std::string_view text, size_t max_bytes) {
  if (max_bytes < kMinPartBytes || max_bytes > kMaxPartBytes) {
    return absl::InvalidArgumentError(absl::StrCat("part_bytes: ", max_bytes, " is not within ",
                                                   kMinPartBytes, " to ", kMaxPartBytes));
  }
  if (const auto offset = FindInvalidUtf8(text)) {
    return absl::InvalidArgumentError(
        absl::StrCat("text: not UTF-8 at byte ", *offset, "; convert it first"));
  }
  std::vector<std::string_view> parts;
  while (text.size() > max_bytes) {
    const size_t bytes = FirstPartBytes(text, max_bytes);
    parts.push_back(text.substr(0, bytes));
    text.remove_prefix(bytes);
  }
  if (!text.empty()) parts.push_back(text);
  return parts;
}

}  // namespace eidetic::client
