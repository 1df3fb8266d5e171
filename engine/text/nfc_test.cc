#include "engine/text/nfc.h"

#include <gtest/gtest.h>

namespace eidetic {
namespace {

TEST(Nfc, ComposesAndOrders) {
  EXPECT_EQ(ToNfc(""), "");
  EXPECT_EQ(ToNfc("plain"), "plain");
  EXPECT_EQ(ToNfc("e\u0301"), "\u00E9");
  EXPECT_EQ(ToNfc("\u1100\u1161\u11A8"), "\uAC01") << "Hangul";
  EXPECT_EQ(ToNfc("\u212B"), "\u00C5") << "singleton";
  EXPECT_EQ(ToNfc("\u0344"), "\u0308\u0301") << "excluded from composition";
  EXPECT_EQ(ToNfc("q\u0307\u0323"), "q\u0323\u0307") << "canonical order";
  EXPECT_EQ(ToNfc("a\u0323\u0302\u0301"), "\u1EAD\u0301") << "a blocked mark stays";
  EXPECT_EQ(ToNfc("\u0301"), "\u0301") << "a mark without a letter";
}

TEST(Nfc, IsItsOwnNormalForm) {
  const std::string once = ToNfc("x\u0315\u0300\u05AE\u0062\u0327\u0308 \u0958 \U0001D15E");
  EXPECT_EQ(ToNfc(once), once);
}

// One letter under a million marks in the worst order: a sort that moves marks
// place by place would need 10^11 steps.
TEST(Nfc, IsQuickOnAStackOfMarks) {
  std::string marks;
  for (int i = 0; i < 500'000; ++i) marks += "\u0301";
  for (int i = 0; i < 500'000; ++i) marks += "\u0323";
  const std::string normal = ToNfc("a" + marks);
  EXPECT_EQ(normal.substr(0, 5), "\u1EA1\u0323");
  EXPECT_EQ(normal.size(), 3 + 2 * (500'000 - 1) + 2 * 500'000);
}

}  // namespace
}  // namespace eidetic
