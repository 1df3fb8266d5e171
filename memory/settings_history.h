// Which settings each token of a session is computed with.
//
// What: settings have a beginning and hold until the next ones begin; a fork may change them for
//   new tokens. Replaying a log takes for each token those that were in force.
// Thread safety: plain values. Ownership: values. Preconditions: CHECKed.
// Worked example: SE_ATTN, forked at 100 with FULL, rewound to 40: [0, 40) has SE_ATTN, all
//   from 40 on FULL.
#ifndef EIDETIC_MEMORY_SETTINGS_HISTORY_H_
#define EIDETIC_MEMORY_SETTINGS_HISTORY_H_

#include <span>
#include <vector>

#include "memory/ids.h"
#include "memory/span_settings.h"

namespace eidetic::memory {

// Parts of one history; forks of forks beyond it are refused.
inline constexpr size_t kMaxSettingsParts = 1024;

class SettingsHistory {
 public:
  struct Part {
    Position begin = 0;
    SpanSettings settings;
    friend bool operator==(const Part&, const Part&) = default;
  };

  SettingsHistory() : SettingsHistory(SpanSettings()) {}
  explicit SettingsHistory(const SpanSettings& first) : parts_{{0, first}} {}

  // Of the token at `position`, which may be still to come.
  const SpanSettings& At(Position position) const;
  const SpanSettings& last() const { return parts_.back().settings; }  // of new tokens
  // `settings` hold from `begin` on; what began there or later is forgotten.
  void Change(Position begin, const SpanSettings& settings);
  // How many tokens both give the same settings; the largest Position: all.
  Position CommonPrefix(const SettingsHistory& other) const;

  // Begins rise from 0, neighbours differ.
  std::span<const Part> parts() const { return parts_; }
  friend bool operator==(const SettingsHistory&, const SettingsHistory&) = default;

 private:
  std::vector<Part> parts_;  // never empty
};

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_SETTINGS_HISTORY_H_
