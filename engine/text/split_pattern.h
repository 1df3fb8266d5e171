// Cuts text into pre-tokens with a regular expression.
//
// Thread safety: immutable after Compile. Ownership: owns the compiled code.
// Preconditions: as said at Split; patterns are hostile input.
#ifndef EIDETIC_ENGINE_TEXT_SPLIT_PATTERN_H_
#define EIDETIC_ENGINE_TEXT_SPLIT_PATTERN_H_

#include <memory>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct pcre2_real_code_8;

namespace eidetic {

class SplitPattern {
 public:
  // `pattern` is in Oniguruma's syntax. Errors: INVALID_ARGUMENT for what
  // ToPcre2 or PCRE2 refuses, and for a pattern that matches the empty string.
  static absl::StatusOr<SplitPattern> Compile(std::string_view pattern);

  // Gives every match, and the text between two matches, as one piece each, in
  // order, none empty: together they are `text`. (Hugging Face: "Isolated".)
  // Errors: RESOURCE_EXHAUSTED when the pattern needs more than a fixed amount
  // of work per byte of text. Precondition: `text` is valid UTF-8.
  absl::Status Split(std::string_view text,
                     absl::FunctionRef<void(std::string_view piece)> emit) const;

 private:
  struct Free {
    void operator()(pcre2_real_code_8* code) const;
  };

  explicit SplitPattern(pcre2_real_code_8* code) : code_(code) {}

  std::unique_ptr<pcre2_real_code_8, Free> code_;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_TEXT_SPLIT_PATTERN_H_
