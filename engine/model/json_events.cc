#include "engine/model/json_events.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace eidetic {
namespace {}  // namespace

absl::Status JsonEvents::Read(std::string_view text) {
  const bool complete = nlohmann::json::sax_parse(text.begin(), text.end(), this);
  if (!complete && status_.ok()) Fail("not valid JSON");
  return status_;
}

bool JsonEvents::parse_error(size_t position, const std::string&,
                             const nlohmann::json::exception&) {
  // The parser's own message repeats the offending token, which has no bound.
  return Fail(absl::StrCat("not valid JSON at byte ", position));
}

bool JsonEvents::Fail(std::string reason) {
  status_.Update(absl::InvalidArgumentError(reason));
  return false;
}

bool NestsDeeperThan(std::string_view json, int max_depth) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > max_depth) return true;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return false;
}

}  // namespace eidetic
