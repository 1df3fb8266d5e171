// Finds stop strings in a stream of text, across token borders.
//
// Thread safety: none; one per stream. Ownership: owns its strings.
// Preconditions: no stop string is empty.
//
// What is found does not depend on how the stream was cut into pushes. Each
// byte costs O(number of stop strings), amortised (Knuth-Morris-Pratt).
#ifndef EIDETIC_ENGINE_TEXT_STOP_MATCHER_H_
#define EIDETIC_ENGINE_TEXT_STOP_MATCHER_H_

#include <cstddef>
#include <optional>
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
  // Adds text. The match that begins earliest in the stream wins, so a complete
  // one waits while one that began before it is still possible; of two that
  // begin at the same place, the one that is complete first. After a match
  // nothing more may be pushed.
  Result Push(std::string_view text);
  // At the stream's end: the text held back because it could have begun a stop
  // string. When a complete stop string was waiting in it, the text before that.
  std::string Flush();

 private:
  struct Pattern {
    std::string text;
    // failure[n]: length of the longest proper beginning of text[0, n) that is
    // also its end.
    std::vector<size_t> failure;
    // How much of `text` the stream's end spells, less than all of it.
    size_t matched = 0;

    // Takes one more byte; true when it completes the text.
    bool Step(char byte);
  };
  struct Candidate {
    size_t begin;    // in held_
    size_t pattern;  // in patterns_
  };

  // Where the earliest stop string that is under way begins in held_.
  size_t EarliestUnderWay() const;
  void Step(char byte);

  std::vector<Pattern> patterns_;
  std::string held_;
  std::optional<Candidate> complete_;
  bool done_ = false;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_TEXT_STOP_MATCHER_H_
