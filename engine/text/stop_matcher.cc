#include "engine/text/stop_matcher.h"

#include <glog/logging.h>

#include <algorithm>
#include <utility>

namespace eidetic {

StopMatcher::StopMatcher(std::vector<std::string> stops) {
  for (std::string& stop : stops) {
    CHECK(!stop.empty());
    Pattern pattern = {std::move(stop), {0, 0}};
    for (size_t i = 1; i < pattern.text.size(); ++i) {
      pattern.Step(pattern.text[i]);
      pattern.failure.push_back(pattern.matched);
    }
    pattern.matched = 0;
    patterns_.push_back(std::move(pattern));
  }
}

bool StopMatcher::Pattern::Step(char byte) {
  while (matched > 0 && text[matched] != byte) matched = failure[matched];
  if (text[matched] == byte) ++matched;
  if (matched < text.size()) return false;
  matched = failure[matched];
  return true;
}

size_t StopMatcher::EarliestUnderWay() const {
  size_t longest = 0;
  for (const Pattern& pattern : patterns_) longest = std::max(longest, pattern.matched);
  return held_.size() - longest;
}

void StopMatcher::Step(char byte) {
  held_.push_back(byte);
  for (size_t i = 0; i < patterns_.size(); ++i) {
    if (!patterns_[i].Step(byte)) continue;
    const size_t begin = held_.size() - patterns_[i].text.size();
    if (!complete_ || begin < complete_->begin) complete_ = {begin, i};
  }
}

StopMatcher::Result StopMatcher::Push(std::string_view text) {
  CHECK(!done_) << "pushed after a match";
  Result result;
  for (const char byte : text) {
    Step(byte);
    if (complete_ && EarliestUnderWay() >= complete_->begin) {
      result.emit = held_.substr(0, complete_->begin);
      result.matched = done_ = true;
      result.stop = patterns_[complete_->pattern].text;
      held_.clear();
      return result;
    }
  }
  const size_t safe = EarliestUnderWay();
  if (complete_) complete_->begin -= safe;  // Still waiting, so it begins after `safe`.
  result.emit = held_.substr(0, safe);
  held_.erase(0, safe);
  return result;
}

std::string StopMatcher::Flush() {
  if (complete_) held_.resize(complete_->begin);
  done_ = true;
  return std::exchange(held_, {});
}

}  // namespace eidetic
