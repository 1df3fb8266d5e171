#include "engine/text/quoted.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace eidetic {

std::string Quoted(std::string_view text) {
  constexpr size_t kMaxBytes = 40;
  const std::string_view head = text.substr(0, kMaxBytes);
  return absl::StrCat("\"", absl::CHexEscape(absl::string_view(head.data(), head.size())),
                      head.size() < text.size() ? "...\"" : "\"");
}

}  // namespace eidetic
