#include "clients/cpp/text_parts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "clients/cpp/utf8.h"

namespace eidetic::client {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(SplitText, KeepsWhatFitsWhole) {
  EXPECT_THAT(*SplitText("", 16), IsEmpty());
  EXPECT_THAT(*SplitText("x", 16), ElementsAre("x"));
  EXPECT_THAT(*SplitText("exactly sixteen!", 16), ElementsAre("exactly sixteen!"));
}

TEST(SplitText, PrefersBlankLinesThenLinesThenSpaces) {
  EXPECT_THAT(*SplitText("one two\n\nthree\nfour", 16), ElementsAre("one two\n\n", "three\nfour"));
  EXPECT_THAT(*SplitText("one two six\nthree four", 16),
              ElementsAre("one two six\n", "three four"));
  EXPECT_THAT(*SplitText("one two six three four", 16), ElementsAre("one two six", " three four"));
}

TEST(SplitText, PassesOverABorderThatWouldLeaveATinyPart) {
  EXPECT_THAT(*SplitText("a\n\nbcdefgh ijklmnop", 12), ElementsAre("a\n\nbcdefgh", " ijklmnop"));
}

TEST(SplitText, NeverCutsACharacter) {
  EXPECT_THAT(*SplitText("\U0001F600\U0001F600\U0001F600", 6),
              ElementsAre("\U0001F600", "\U0001F600", "\U0001F600"));
  EXPECT_THAT(*SplitText("abc\u20ac", 4), ElementsAre("abc", "\u20ac"));
}

TEST(SplitText, RefusesWhatItCanNotCut) {
  EXPECT_FALSE(SplitText("x", kMinPartBytes - 1).ok());
  EXPECT_FALSE(SplitText("x", kMaxPartBytes + 1).ok());
  const auto broken = SplitText("abc\xff", 16);
  EXPECT_EQ(broken.status().message(), "text: not UTF-8 at byte 3; convert it first");
}

TEST(SplitText, PartsOfAnyTextJoinToItAndFit) {
  const std::string pieces[] = {"\n", "\n\n", " ", "a", "word", "\u00e9", "\u20ac", "\U0001F600"};
  std::mt19937 random(7);
  for (size_t max_bytes : {4, 5, 7, 16, 61}) {
    std::string text;
    for (int i = 0; i < 500; ++i) text += pieces[random() % std::size(pieces)];
    const auto parts = SplitText(text, max_bytes);
    ASSERT_TRUE(parts.ok()) << parts.status();
    std::string joined;
    for (std::string_view part : *parts) {
      EXPECT_GT(part.size(), 0u);
      EXPECT_LE(part.size(), max_bytes);
      EXPECT_EQ(FindInvalidUtf8(part), std::nullopt);
      joined += part;
    }
    EXPECT_EQ(joined, text);
  }
}

}  // namespace
}  // namespace eidetic::client
