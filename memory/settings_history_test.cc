#include "memory/settings_history.h"

#include <gtest/gtest.h>

#include <limits>

namespace eidetic::memory {
namespace {

SpanSettings Of(int32_t span_blocks) { return {.span_blocks = span_blocks}; }

constexpr Position kAll = std::numeric_limits<Position>::max();

TEST(SettingsHistoryTest, EachTokenHasWhatWasInForce) {
  SettingsHistory history(Of(1));
  history.Change(100, Of(2));
  history.Change(150, Of(3));
  EXPECT_EQ(history.At(0), Of(1));
  EXPECT_EQ(history.At(99), Of(1));
  EXPECT_EQ(history.At(100), Of(2));
  EXPECT_EQ(history.At(149), Of(2));
  EXPECT_EQ(history.At(1000000), Of(3));
  EXPECT_EQ(history.last(), Of(3));
}

TEST(SettingsHistoryTest, AChangeTakesThePlaceOfLaterOnes) {
  SettingsHistory history(Of(1));
  history.Change(100, Of(2));
  history.Change(40, Of(2));
  ASSERT_EQ(history.parts().size(), 2u);
  EXPECT_EQ(history.At(39), Of(1));
  EXPECT_EQ(history.At(40), Of(2));
  history.Change(20, Of(1));
  EXPECT_EQ(history, SettingsHistory(Of(1))) << "equal neighbours are one part";
  history.Change(0, Of(7));
  EXPECT_EQ(history, SettingsHistory(Of(7)));
}

TEST(SettingsHistoryTest, HistoriesPartWhereTheirSettingsDo) {
  const SettingsHistory plain(Of(1));
  SettingsHistory early = plain, late = plain;
  early.Change(40, Of(2));
  late.Change(100, Of(2));
  EXPECT_EQ(plain.CommonPrefix(plain), kAll);
  EXPECT_EQ(early.CommonPrefix(late), 40);
  EXPECT_EQ(late.CommonPrefix(plain), 100);
  EXPECT_EQ(plain.CommonPrefix(SettingsHistory(Of(2))), 0);
  SettingsHistory other = plain;
  other.Change(40, Of(3));
  EXPECT_EQ(early.CommonPrefix(other), 40);
}

}  // namespace
}  // namespace eidetic::memory
