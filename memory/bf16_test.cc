#include "memory/bf16.h"

#include <bit>
#include <cmath>
#include <limits>
#include <random>

#include "gtest/gtest.h"

namespace eidetic::memory {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST(Bf16, KeepsWhatFits) {
  for (const float value : {0.0f, -0.0f, 1.0f, -2.5f, 0x1p-130f, kInfinity, -kInfinity}) {
    EXPECT_EQ(Widen(RoundUp(value)), value);
    EXPECT_EQ(Widen(RoundDown(value)), value);
    EXPECT_EQ(Widen(RoundNearest(value)), value);
  }
}

TEST(Bf16, RoundsOutwardByLessThanOneStep) {
  std::mt19937 random(1);
  for (int i = 0; i < 1000000; ++i) {
    const float value = std::bit_cast<float>(static_cast<uint32_t>(random()));
    if (std::isnan(value)) continue;
    const float up = Widen(RoundUp(value)), down = Widen(RoundDown(value));
    ASSERT_GE(up, value);
    ASSERT_LE(down, value);
    if (up == value || std::isinf(value)) continue;
    // The two neighbours differ by one in the last place of bfloat16.
    ASSERT_EQ(std::abs(std::bit_cast<int32_t>(up) - std::bit_cast<int32_t>(down)), 0x10000);
    const float nearest = Widen(RoundNearest(value));
    ASSERT_TRUE(nearest == up || nearest == down);
  }
}

TEST(Bf16, LargestFloatsRoundToInfinity) {
  EXPECT_EQ(Widen(RoundUp(std::numeric_limits<float>::max())), kInfinity);
  EXPECT_EQ(Widen(RoundDown(std::numeric_limits<float>::lowest())), -kInfinity);
}

TEST(Bf16, TiesGoToEvenAndNanStays) {
  EXPECT_EQ(Widen(RoundNearest(1.00390625f)), 1.0f);       // halfway, below is even
  EXPECT_EQ(Widen(RoundNearest(1.01171875f)), 1.015625f);  // halfway, above is even
  EXPECT_TRUE(std::isnan(Widen(RoundNearest(std::numeric_limits<float>::quiet_NaN()))));
}

}  // namespace
}  // namespace eidetic::memory
