// Finds stop strings in a stream of text, across token borders.
//
// Thread safety: none; one per stream. Ownership: owns its strings.
// Preconditions: no stop string is empty.
#ifndef EIDETIC_ENGINE_TEXT_STOP_MATCHER_H_
#define EIDETIC_ENGINE_TEXT_STOP_MATCHER_H_

#include <string>
#include <string_view>
#include <vector>

namespace eidetic {

class StopMatcher {
 public:
  explicit StopMatcher(std::vector<std::string> stops);

  struct Result {
    std::string emit;  // text that is safe to send: no stop string can begin in it
    bool matched = false;
    std::string stop;  // the stop string found, when matched; it is not emitted
  };
  // Adds text. The earliest match in the stream wins; of two that begin at
  // the same place, the one that is complete first. After a match nothing
  // more may be pushed.
  Result Push(std::string_view text);
  // The text held back because it could have begun a stop string.
  std::string Flush();

 private:
  std::vector<std::string> stops_;
  std::string held_;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_TEXT_STOP_MATCHER_H_
