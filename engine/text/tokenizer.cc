#include "engine/text/tokenizer.h"

#include <fstream>
#include <string>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/text/byte_bpe_tokenizer.h"
#include "engine/text/tokenizer_json.h"

namespace eidetic {
namespace {

absl::StatusOr<std::string> ReadBounded(const std::filesystem::path& path, int64_t max_bytes) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) {
    return absl::NotFoundError(absl::StrCat("no file ", path.string()));
  }
  const auto size = std::filesystem::file_size(path, error);
  if (error || size > static_cast<uint64_t>(max_bytes)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path.string(), " has over ", max_bytes, " bytes"));
  }
  std::string content(size, '\0');
  std::ifstream in(path, std::ios::binary);
  if (!in.read(content.data(), static_cast<std::streamsize>(size))) {
    return absl::InvalidArgumentError(absl::StrCat("can not read ", path.string()));
  }
  return content;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Load(const std::filesystem::path& folder,
                                                           const TokenizerLimits& limits) {
  absl::StatusOr<std::string> content =
      ReadBounded(folder / "tokenizer.json", limits.max_file_bytes);
  if (!content.ok()) return content.status();
  absl::StatusOr<TokenizerJson> file = ParseTokenizerJson(*content, limits);
  if (!file.ok()) return file.status();
  content->clear();
  content->shrink_to_fit();  // before the tables are built: they are as large again
  return ByteBpeTokenizer::Create(*std::move(file));
}

}  // namespace eidetic
