#include "memory/settings_history.h"

#include <glog/logging.h>

#include <algorithm>
#include <limits>

namespace eidetic::memory {

const SpanSettings& SettingsHistory::At(Position position) const {
  CHECK_GE(position, 0);
  const auto after = std::upper_bound(parts_.begin(), parts_.end(), position,
                                      [](Position p, const Part& part) { return p < part.begin; });
  return (after - 1)->settings;
}

void SettingsHistory::Change(Position begin, const SpanSettings& settings) {
  CHECK_GE(begin, 0);
  std::erase_if(parts_, [begin](const Part& part) { return part.begin >= begin; });
  if (parts_.empty() || parts_.back().settings != settings) parts_.push_back({begin, settings});
}

Position SettingsHistory::CommonPrefix(const SettingsHistory& other) const {
  constexpr Position kNever = std::numeric_limits<Position>::max();
  const auto [mine, theirs] =
      std::mismatch(parts_.begin(), parts_.end(), other.parts_.begin(), other.parts_.end());
  return std::min(mine == parts_.end() ? kNever : mine->begin,
                  theirs == other.parts_.end() ? kNever : theirs->begin);
}

}  // namespace eidetic::memory
