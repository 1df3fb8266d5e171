#include "clients/cli/interrupt.h"

#include <gtest/gtest.h>

#include <optional>

namespace eidetic::cli {
namespace {

TEST(Interrupt, CallsTheInnermostHandlerOnce) {
  Interrupt interrupt;
  EXPECT_FALSE(interrupt.triggered());
  EXPECT_FALSE(interrupt.Trigger());
  int outer = 0, inner = 0;
  Interrupt::Scope outer_scope(&interrupt, [&] { ++outer; });
  {
    Interrupt::Scope inner_scope(&interrupt, [&] { ++inner; });
    EXPECT_TRUE(interrupt.Trigger());
    EXPECT_FALSE(interrupt.Trigger());
  }
  EXPECT_EQ(outer, 0);
  EXPECT_EQ(inner, 1);
  EXPECT_TRUE(interrupt.Trigger());
  EXPECT_EQ(outer, 1);
  EXPECT_TRUE(interrupt.triggered());
}

}  // namespace
}  // namespace eidetic::cli
