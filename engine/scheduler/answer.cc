#include "engine/scheduler/answer.h"

#include <utility>

#include "engine/scheduler/passages.h"

namespace eidetic {

AnswerStep TakeDrawn(TokenRecord drawn, const AnswerPlace& place, const Tokenizer& tokenizer,
                     Generation* generation) {
  if (drawn.retrieved) generation->mass().Add(drawn.span, 1);
  Generation::Taken taken = generation->Take(std::move(drawn.sampled), place.position);
  if (place.token_blocks) {
    for (const SpanUse& use : drawn.span) taken.event.blocks.push_back(use.block);
  }
  if (taken.finish) {
    taken.finish->passages = MakePassages(generation->mass().Mean(), place.block_tokens, place.past,
                                          tokenizer, kMaxAnswerPassages);
  }
  return {std::move(taken.event), std::move(taken.finish)};
}

}  // namespace eidetic
