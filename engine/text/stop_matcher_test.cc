#include "engine/text/stop_matcher.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <utility>
#include <vector>

namespace eidetic {
namespace {

struct Outcome {
  std::string emitted;
  std::string stop;  // empty: none
  bool operator==(const Outcome&) const = default;
};

Outcome Stream(std::vector<std::string> stops, const std::vector<std::string>& pushes) {
  StopMatcher matcher(std::move(stops));
  Outcome outcome;
  for (const std::string& text : pushes) {
    const StopMatcher::Result result = matcher.Push(text);
    outcome.emitted += result.emit;
    if (result.matched) return {outcome.emitted, result.stop};
  }
  outcome.emitted += matcher.Flush();
  return outcome;
}

TEST(StopMatcher, PassesTextOnAtOnce) {
  StopMatcher none({});
  EXPECT_EQ(none.Push("anything").emit, "anything");
  StopMatcher matcher({"###"});
  EXPECT_EQ(matcher.Push("abc").emit, "abc");
  EXPECT_EQ(matcher.Push("d#").emit, "d") << "# could begin a stop string";
  EXPECT_EQ(matcher.Push("").emit, "");
  EXPECT_EQ(matcher.Push("e").emit, "#e");
  EXPECT_EQ(matcher.Flush(), "");
}

TEST(StopMatcher, FindsAStopStringAcrossPushes) {
  EXPECT_EQ(Stream({"\nUser:"}, {"Hi\n", "Us", "er", ": x"}), (Outcome{"Hi", "\nUser:"}));
  EXPECT_EQ(Stream({"aab"}, {"aa", "aab"}), (Outcome{"aa", "aab"}));
  EXPECT_EQ(Stream({"終"}, {"最終"}), (Outcome{"最", "終"}));
}

TEST(StopMatcher, HeldTextComesOutAtTheEnd) {
  EXPECT_EQ(Stream({"stop"}, {"do not sto"}), (Outcome{"do not sto", ""}));
}

TEST(StopMatcher, TheEarliestBeginningWinsThenTheShortest) {
  EXPECT_EQ(Stream({"bc", "abcd"}, {"abcd"}), (Outcome{"", "abcd"}));
  EXPECT_EQ(Stream({"bc", "abcd"}, {"abcx"}), (Outcome{"a", "bc"}));
  EXPECT_EQ(Stream({"bc", "abcd"}, {"x", "a", "b", "c", "d"}), (Outcome{"x", "abcd"}));
  EXPECT_EQ(Stream({"abcd", "ab"}, {"abcd"}), (Outcome{"", "ab"}));
  EXPECT_EQ(Stream({"bc", "abcd"}, {"abc"}), (Outcome{"a", ""})) << "ends while \"bc\" waits";
}

TEST(StopMatcher, AgreesWithASearchOfTheWholeHoweverItIsCut) {
  std::mt19937 rng(3);
  const auto word = [&](size_t least, size_t most) {
    std::string out;
    for (size_t n = least + rng() % (most - least + 1); n > 0; --n) out += "ab"[rng() % 2];
    return out;
  };
  for (int round = 0; round < 3000; ++round) {
    std::vector<std::string> stops;
    for (int i = 0; i < 3; ++i) stops.push_back(word(1, 6));
    const std::string text = word(0, 12);
    Outcome expected = {text, ""};
    size_t begin = std::string::npos;
    for (const std::string& stop : stops) {
      const size_t at = text.find(stop);
      const bool better = at < begin || (at == begin && stop.size() < expected.stop.size());
      if (at == std::string::npos || !better) continue;
      begin = at;
      expected = {text.substr(0, at), stop};
    }
    std::vector<std::string> pushes;
    for (size_t at = 0; at < text.size();) {
      const size_t n = 1 + rng() % 3;
      pushes.push_back(text.substr(at, n));
      at += n;
    }
    Outcome outcome = Stream(stops, pushes);
    // A match still waiting at the end cuts the text and is not reported.
    if (outcome.stop.empty()) expected.stop.clear();
    ASSERT_EQ(outcome, expected) << text;
  }
}

TEST(StopMatcher, LongStopStringsCostNoMoreThanShortOnes) {
  const std::string stop = std::string(1 << 16, 'a') + "b";
  StopMatcher matcher({stop, stop + "c", "x" + stop});
  size_t emitted = 0;
  for (int i = 0; i < 1 << 10; ++i) emitted += matcher.Push(std::string(1 << 10, 'a')).emit.size();
  EXPECT_EQ(emitted, (1u << 20) - (1u << 16));
  EXPECT_TRUE(matcher.Push("b").matched);
}

}  // namespace
}  // namespace eidetic
