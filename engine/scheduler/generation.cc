#include "engine/scheduler/generation.h"

#include <glog/logging.h>

#include <algorithm>
#include <utility>

namespace eidetic {

Generation::Generation(const Tokenizer* tokenizer, GenerationSettings settings,
                       std::span<const memory::TokenId> prompt)
    : tokenizer_(tokenizer),
      settings_(std::move(settings)),
      detokenizer_(tokenizer),
      matcher_(settings_.stop_strings),
      prompt_tokens_(static_cast<int32_t>(prompt.size())) {
  for (memory::TokenId token : prompt) ++CountOf(token).in_prompt;
}

TokenCount& Generation::CountOf(memory::TokenId token) {
  const auto [place, added] = count_of_.try_emplace(token, counts_.size());
  if (added) counts_.push_back({.token = token});
  return counts_[place->second];
}

SampleRow Generation::Row(memory::Position position) const {
  return {.params = &settings_.sampling, .counts = counts_, .position = position};
}

bool Generation::IsStopToken(memory::TokenId token) const {
  return std::find(settings_.stop_tokens.begin(), settings_.stop_tokens.end(), token) !=
         settings_.stop_tokens.end();
}

GenerationFinish Generation::Finish(FinishReason reason, memory::Position position) {
  GenerationFinish finish;
  finish.reason = reason;
  finish.prompt_tokens = prompt_tokens_;
  finish.generated_tokens = generated_tokens_;
  finish.position = position + 1;
  return finish;
}

Generation::Taken Generation::Take(SampledToken sampled, memory::Position position) {
  CHECK_GT(tokens_left(), 0);
  const memory::TokenId token = sampled.token;
  ++generated_tokens_;
  ++CountOf(token).in_answer;
  Taken taken;
  taken.event.sequence_number = generated_tokens_;
  taken.event.position = position;
  taken.event.token = std::move(sampled);

  const bool stop_token = IsStopToken(token);
  StopMatcher::Result matched;
  // A vocabulary is often padded: the padding's ids have no text.
  if (!stop_token && token < tokenizer_->vocab_size()) {
    matched = matcher_.Push(detokenizer_.Push(token));
    taken.event.text = std::move(matched.emit);
  }
  if (!matched.matched && !stop_token && tokens_left() > 0) return taken;

  std::string held;
  if (!matched.matched) {
    // Half a character at the end becomes text only now, and may complete a stop string.
    matched = matcher_.Push(detokenizer_.Flush());
    held = std::move(matched.emit);
    if (!matched.matched) held += matcher_.Flush();
  }
  taken.finish = Finish(matched.matched ? FinishReason::kStopString
                        : stop_token    ? FinishReason::kStopToken
                                        : FinishReason::kMaxTokens,
                        position);
  taken.finish->text = std::move(held);
  taken.finish->stop_string = std::move(matched.stop);
  if (taken.finish->reason == FinishReason::kStopToken) taken.finish->stop_token = token;
  return taken;
}

}  // namespace eidetic
