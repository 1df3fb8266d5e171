// One more token of an answer, however it comes: drawn now, or read from the journal.
//
// What: turns a drawn token into what is told of it. The first run and a replay are the same.
// Thread safety: none. Ownership: borrows everything. Preconditions: nothing is taken after a
//   finish; tokens come in order.
#ifndef EIDETIC_ENGINE_SCHEDULER_ANSWER_H_
#define EIDETIC_ENGINE_SCHEDULER_ANSWER_H_

#include <optional>
#include <span>

#include "engine/durable/session_records.h"
#include "engine/scheduler/generation.h"
#include "engine/scheduler/generation_record.h"
#include "engine/text/tokenizer.h"

namespace eidetic {

struct AnswerPlace {
  memory::Position position = 0;          // of the token
  std::span<const memory::TokenId> past;  // the session's tokens, from 0 to at least its position
  int32_t block_tokens = 0;
  bool token_blocks = false;  // tell the blocks of each token
};

struct AnswerStep {
  TokenEvent event;
  std::optional<GenerationFinish> finish;
};

AnswerStep TakeDrawn(TokenRecord drawn, const AnswerPlace& place, const Tokenizer& tokenizer,
                     Generation* generation);

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_SCHEDULER_ANSWER_H_
