// Turns tokens into text one at a time, never emitting half a character.
//
// Thread safety: none; one per stream. Ownership: borrows the tokenizer,
// which must outlive it. Preconditions: ids within the vocabulary.
#ifndef EIDETIC_ENGINE_TEXT_INCREMENTAL_DETOKENIZER_H_
#define EIDETIC_ENGINE_TEXT_INCREMENTAL_DETOKENIZER_H_

#include <string>

#include "engine/text/tokenizer.h"

namespace eidetic {

class IncrementalDetokenizer {
 public:
  explicit IncrementalDetokenizer(const Tokenizer* tokenizer) : tokenizer_(tokenizer) {}

  // The text that `id` completes; bytes of an unfinished character are held
  // back (at most 3). Bytes that can never become UTF-8 become U+FFFD at
  // once. Special tokens yield nothing.
  std::string Push(TokenId id);
  // What is still held back, as U+FFFD; empty when nothing is.
  std::string Flush();

 private:
  const Tokenizer* tokenizer_;
  std::string pending_;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_TEXT_INCREMENTAL_DETOKENIZER_H_
