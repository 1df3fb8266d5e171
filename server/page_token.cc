#include "server/page_token.h"

#include <cstddef>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "server/digest.h"
#include "server/field_check.h"

namespace eidetic {
namespace {

constexpr char kVersion = 1;
constexpr size_t kChecksumBytes = 8;
constexpr size_t kMaxTokenBytes = 512;

std::string Checksum(const std::string& parent, const std::string& last) {
  const std::string zero(1, '\0');  // no name holds one, so the parts can not run together
  return Sha256(absl::StrCat(std::string(1, kVersion), parent, zero, last))
      .substr(0, kChecksumBytes);
}

}  // namespace

std::string EncodePageToken(const std::string& parent, const std::string& last) {
  return absl::WebSafeBase64Escape(
      absl::StrCat(std::string(1, kVersion), Checksum(parent, last), last));
}

absl::StatusOr<std::string> DecodePageToken(const std::string& parent, const std::string& token) {
  if (token.empty()) return std::string();
  const absl::Status refused =
      InvalidField("page_token",
                   "was not given by this server for this parent; pass next_page_token as it "
                   "stands, or leave it empty for the first page");
  std::string bytes;
  if (token.size() > kMaxTokenBytes || !absl::WebSafeBase64Unescape(token, &bytes)) return refused;
  if (bytes.size() < 1 + kChecksumBytes) return refused;
  std::string last = bytes.substr(1 + kChecksumBytes);
  // By its spelling: base64 has bits at its end that decoding does not see.
  if (EncodePageToken(parent, last) != token) return refused;
  return last;
}

}  // namespace eidetic
