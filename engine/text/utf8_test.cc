#include "engine/text/utf8.h"

#include <gtest/gtest.h>

namespace eidetic {
namespace {

TEST(Utf8, EveryScalarValueRoundTrips) {
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text;
    AppendUtf8(c, &text);
    const Utf8Step step = NextUtf8(text);
    ASSERT_EQ(step.kind, Utf8Kind::kCharacter) << static_cast<uint32_t>(c);
    ASSERT_EQ(step.length, text.size());
    ASSERT_EQ(step.code_point, c);
    // Every proper beginning could still become this character.
    for (size_t n = 1; n < text.size(); ++n) {
      ASSERT_EQ(NextUtf8(std::string_view(text).substr(0, n)).kind, Utf8Kind::kTruncated);
    }
  }
}

TEST(Utf8, FindsTheFirstInvalidByte) {
  EXPECT_EQ(FindInvalidUtf8(""), std::nullopt);
  EXPECT_EQ(FindInvalidUtf8("twelve ASCII letters, é, 日, 😀"), std::nullopt);
  EXPECT_EQ(FindInvalidUtf8("0123456789\xFF"), 10);
  EXPECT_EQ(FindInvalidUtf8("é\x80"), 2);
  EXPECT_EQ(FindInvalidUtf8("abc\xE6\x97"), 3) << "truncated";
  EXPECT_EQ(FindInvalidUtf8("\xC0\xAF"), 0) << "overlong";
  EXPECT_EQ(FindInvalidUtf8("\xED\xA0\x80"), 0) << "surrogate";
  EXPECT_EQ(FindInvalidUtf8("\xF4\x90\x80\x80"), 0) << "above U+10FFFF";
}

// The example of Unicode 15, table 3-8, and what surrounds it.
TEST(Utf8, ReplacesEachMaximalSubpartOnce) {
  std::string pending = "\x61\xF1\x80\x80\xE1\x80\xC2\x62\x80\x63\x80\xBF\x64\xF0\x9F\x98";
  std::string out;
  DrainUtf8(&pending, &out);
  EXPECT_EQ(out, "a\uFFFD\uFFFD\uFFFDb\uFFFDc\uFFFD\uFFFDd");
  EXPECT_EQ(pending, "\xF0\x9F\x98");
  pending += "\x80";
  DrainUtf8(&pending, &out);
  EXPECT_EQ(out, "a\uFFFD\uFFFD\uFFFDb\uFFFDc\uFFFD\uFFFDd😀");
  EXPECT_EQ(pending, "");
}

}  // namespace
}  // namespace eidetic
