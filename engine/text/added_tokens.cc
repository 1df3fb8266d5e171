#include "engine/text/added_tokens.h"

#include <glog/logging.h>

#include <algorithm>
#include <utility>

namespace eidetic {

AddedTokenMatcher::AddedTokenMatcher(std::vector<AddedToken> tokens) : sorted_(std::move(tokens)) {
  std::sort(sorted_.begin(), sorted_.end(), [](const AddedToken& a, const AddedToken& b) {
    return std::string_view(a.spelling) < std::string_view(b.spelling);
  });
  for (const AddedToken& token : sorted_) {
    CHECK(!token.spelling.empty() && token.spelling.size() <= kMaxAddedTokenBytes);
    ++first_[static_cast<uint8_t>(token.spelling[0]) + 1];
  }
  for (size_t b = 1; b < first_.size(); ++b) first_[b] += first_[b - 1];
}

const AddedToken* AddedTokenMatcher::LongestAt(std::string_view text) const {
  const uint8_t head = text[0];
  auto begin = sorted_.begin() + first_[head];
  auto end = sorted_.begin() + first_[head + 1];
  const AddedToken* longest = nullptr;
  // Invariant: [begin, end) are the tokens longer than `depth` that agree with
  // text[0, depth).
  for (size_t depth = 1; begin != end; ++depth) {
    if (begin->spelling.size() == depth) longest = &*begin++;
    if (begin == end || depth == text.size()) break;
    const auto byte_at = [depth](const AddedToken& t) {
      return static_cast<uint8_t>(t.spelling[depth]);
    };
    const uint8_t wanted = text[depth];
    // Most steps leave the range as it is: tokens share long prefixes.
    if (byte_at(*begin) == wanted && byte_at(*(end - 1)) == wanted) continue;
    begin = std::partition_point(begin, end, [&](const auto& t) { return byte_at(t) < wanted; });
    end = std::partition_point(begin, end, [&](const auto& t) { return byte_at(t) == wanted; });
  }
  return longest;
}

absl::Status AddedTokenMatcher::ForEachSegment(
    std::string_view text, bool parse_special,
    absl::FunctionRef<absl::Status(const Segment&)> emit) const {
  size_t plain_from = 0;
  for (size_t at = 0; at < text.size();) {
    const AddedToken* token = LongestAt(text.substr(at));
    if (token == nullptr) {
      ++at;
      continue;
    }
    const size_t end = at + token->spelling.size();
    if (parse_special || !token->special) {
      if (plain_from < at) {
        const Segment plain = {text.substr(plain_from, at - plain_from), std::nullopt};
        if (absl::Status status = emit(plain); !status.ok()) return status;
      }
      if (absl::Status status = emit({token->spelling, token->id}); !status.ok()) return status;
      plain_from = end;
    }
    at = end;
  }
  if (plain_from == text.size()) return absl::OkStatus();
  return emit({text.substr(plain_from), std::nullopt});
}

}  // namespace eidetic
