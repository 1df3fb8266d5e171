#include "clients/cpp/utf8.h"

#include <gtest/gtest.h>

namespace eidetic::client {
namespace {

TEST(FindInvalidUtf8, TakesEveryLengthOfCharacter) {
  EXPECT_EQ(FindInvalidUtf8(""), std::nullopt);
  EXPECT_EQ(FindInvalidUtf8("a\u00e9\u20ac\U0001F600\U0010FFFF"), std::nullopt);
}

TEST(FindInvalidUtf8, TellsWhereTheFirstWrongByteStands) {
  EXPECT_EQ(FindInvalidUtf8("ab\x80"), 2u);            // continues nothing
  EXPECT_EQ(FindInvalidUtf8("ab\xE2\x82"), 2u);        // cut short by the end
  EXPECT_EQ(FindInvalidUtf8("\xC0\xAF"), 0u);          // overlong
  EXPECT_EQ(FindInvalidUtf8("\xE0\x80\xAF"), 0u);      // overlong
  EXPECT_EQ(FindInvalidUtf8("x\xED\xA0\x80"), 1u);     // a surrogate
  EXPECT_EQ(FindInvalidUtf8("\xF4\x90\x80\x80"), 0u);  // beyond U+10FFFF
}

}  // namespace
}  // namespace eidetic::client
