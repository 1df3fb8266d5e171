#include "clients/cli/input.h"

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "clients/cpp/utf8.h"

namespace eidetic::cli {
namespace {

constexpr size_t kReadBytes = 64 << 10;

absl::StatusOr<std::string> ReadAll(std::istream& in, const std::string& path) {
  std::string text;
  std::string buffer(kReadBytes, '\0');
  do {
    in.read(buffer.data(), buffer.size());
    text.append(buffer, 0, in.gcount());
    if (text.size() > kMaxTextBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": longer than ", kMaxTextBytes, " bytes; ingest it in pieces"));
    }
  } while (in);
  if (in.bad()) return absl::UnknownError(absl::StrCat(path, ": can not be read"));
  return text;
}

}  // namespace

absl::StatusOr<std::string> ReadText(const std::string& path, std::istream& standard_input) {
  std::ifstream file;
  if (path != "-") {
    std::error_code error;
    if (std::filesystem::is_directory(path, error)) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": is a folder; name a file"));
    }
    file.open(path, std::ios::binary);
    if (!file) return absl::NotFoundError(absl::StrCat(path, ": can not be opened"));
  }
  auto text = ReadAll(path == "-" ? standard_input : file, path);
  if (!text.ok()) return text;
  if (absl::Status status = CheckUtf8(*text, path); !status.ok()) return status;
  return text;
}

absl::Status CheckUtf8(std::string_view text, std::string_view field) {
  const auto offset = client::FindInvalidUtf8(text);
  if (!offset) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(std::string(field), ": not UTF-8 at byte ", *offset, "; convert it first"));
}

std::string_view FirstParagraphs(std::string_view text, size_t max_bytes) {
  if (text.size() <= max_bytes) return text;
  const size_t border = max_bytes < 2 ? std::string_view::npos : text.rfind("\n\n", max_bytes - 2);
  if (border != std::string_view::npos) return text.substr(0, border + 2);
  size_t end = max_bytes;
  while (end > 0 && client::IsUtf8Continuation(text[end])) --end;
  return text.substr(0, end);
}

}  // namespace eidetic::cli
