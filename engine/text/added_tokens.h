// Finds added tokens (special or not) in text.
//
// Thread safety: immutable after construction. Ownership: owns its spellings.
// Preconditions: spellings are UTF-8, distinct, not empty and at most
//   kMaxAddedTokenBytes long, which bounds the work per byte of text.
#ifndef EIDETIC_ENGINE_TEXT_ADDED_TOKENS_H_
#define EIDETIC_ENGINE_TEXT_ADDED_TOKENS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "memory/ids.h"

namespace eidetic {

inline constexpr size_t kMaxAddedTokenBytes = 256;

struct AddedToken {
  std::string spelling;
  memory::TokenId id;
  bool special;     // a control token: only honoured where the caller says so
  bool normalized;  // looked for after the normalizer, not before it
};

class AddedTokenMatcher {
 public:
  AddedTokenMatcher() = default;
  explicit AddedTokenMatcher(std::vector<AddedToken> tokens);

  // A stretch of text without added tokens (`id` empty, `text` not), or one added token.
  struct Segment {
    std::string_view text;
    std::optional<memory::TokenId> id;
  };

  // Cuts `text` into segments, leftmost-longest. Without `parse_special` a
  // special token stays part of the text; as in Hugging Face it still hides
  // the added tokens that overlap it. Stops at the first error of `emit`.
  absl::Status ForEachSegment(std::string_view text, bool parse_special,
                              absl::FunctionRef<absl::Status(const Segment&)> emit) const;

 private:
  // The longest token that begins `text`; nullptr when none does.
  const AddedToken* LongestAt(std::string_view text) const;

  std::vector<AddedToken> sorted_;  // by spelling
  // The tokens that begin with byte b are sorted_[first_[b] .. first_[b + 1]).
  std::array<uint32_t, 257> first_{};
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_TEXT_ADDED_TOKENS_H_
