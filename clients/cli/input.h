// Text that the user hands in: files, standard input, arguments.
//
// Thread safety: thread-compatible. Ownership: values; views point into their argument.
// Preconditions: none.
#ifndef EIDETIC_CLIENTS_CLI_INPUT_H_
#define EIDETIC_CLIENTS_CLI_INPUT_H_

#include <cstddef>
#include <istream>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace eidetic::cli {

inline constexpr size_t kMaxTextBytes = 1 << 30;

// The file's text; "-" reads `standard_input`. NOT_FOUND: no such file;
// INVALID_ARGUMENT: longer than kMaxTextBytes, or not UTF-8.
absl::StatusOr<std::string> ReadText(const std::string& path, std::istream& standard_input);

// INVALID_ARGUMENT naming `field` when `text` is not UTF-8.
absl::Status CheckUtf8(std::string_view text, std::string_view field);

// As many of the first paragraphs as fit into `max_bytes`, the blank line after them
// included; all of `text` when it fits; when not even one fits, whole characters.
std::string_view FirstParagraphs(std::string_view text, size_t max_bytes);

}  // namespace eidetic::cli

#endif  // EIDETIC_CLIENTS_CLI_INPUT_H_
