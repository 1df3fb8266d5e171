#include "memory/state_points.h"

#include <gtest/gtest.h>

#include <cstring>
#include <optional>

#include "memory/host_arena.h"
#include "memory/slow_arena.h"

namespace eidetic::memory {
namespace {

constexpr size_t kStateBytes = 128;

struct State {
  explicit State(int value) { std::memset(bytes, value, kStateBytes); }
  char bytes[kStateBytes];
};

StatePointLimits Limits(int32_t max_points = 32, int64_t max_bytes = 1 << 20) {
  return {.max_points = max_points, .max_bytes = max_bytes, .spacing_tokens = 10};
}

class StatePointsTest : public testing::Test {
 protected:
  // `pinned`: whether copies run beside the work.
  void Make(const StatePointLimits& limits, bool pinned = false) {
    store_.emplace(&arena_, pinned ? &pinned_ : nullptr, kStateBytes, limits);
  }
  static void Run(StatePoints* points, Position begin, Position end) {
    for (Position p = begin + 10; p <= end; p += 10) {
      points->Reached(p, State(static_cast<int>(p / 10 % 100)).bytes);
    }
  }
  bool Holds(const StatePoint& point) {
    State state(-1);
    store_->Restore(point, state.bytes);
    return state.bytes[0] == point.position / 10 % 100 &&
           state.bytes[kStateBytes - 1] == state.bytes[0];
  }

  SlowArena arena_{1 << 24};
  HostArena pinned_{1 << 24};
  std::optional<StatePointStore> store_;
};

TEST_F(StatePointsTest, TheNewestAtOrBeforeAPositionIsFound) {
  Make(Limits());
  StatePoints points(&*store_);
  points.Reached(9, State(9).bytes);
  EXPECT_EQ(points.size(), 0u) << "too close to the beginning";
  Run(&points, 0, 100);
  ASSERT_EQ(points.size(), 10u);
  EXPECT_EQ(points.Find(9), nullptr);
  EXPECT_EQ(points.Find(10)->position, 10);
  EXPECT_EQ(points.Find(57)->position, 50);
  EXPECT_EQ(points.Find(1000)->position, 100);
  EXPECT_TRUE(Holds(*points.Find(57)));
  points.CutTo(55);
  EXPECT_EQ(points.Find(1000)->position, 50);
  Run(&points, 50, 80);
  EXPECT_EQ(points.size(), 8u);
}

// Going back d tokens costs at most a fixed part of d, however long the session is.
TEST_F(StatePointsTest, ThirtyTwoAreSpacedGeometrically) {
  Make(Limits());
  StatePoints points(&*store_);
  Position end = 0;
  for (Position length : {320, 3'000, 30'000, 300'000}) {
    Run(&points, end, length);
    end = length;
    EXPECT_EQ(points.size(), 32u);
    double worst = 0;
    for (Position back = 10; back < length; back += 10) {
      const StatePointPtr found = points.Find(length - back);
      const Position from = found == nullptr ? 0 : found->position;
      worst = std::max(worst, static_cast<double>(length - back - from) / back);
    }
    // Evenly spaced ones would cost up to length / 32 / 10 times the distance.
    EXPECT_LT(worst, 1.5) << length;
    for (const StatePointPtr& point : points.Ready()) EXPECT_TRUE(Holds(*point));
  }
}

TEST_F(StatePointsTest, TheBudgetIsSharedAndWhoHasMostGives) {
  Make(Limits(32, 20 * kStateBytes));
  StatePoints large(&*store_), small(&*store_);
  Run(&large, 0, 1'000);
  EXPECT_EQ(large.size(), 20u);
  Run(&small, 0, 50);
  EXPECT_EQ(small.size(), 5u);
  EXPECT_EQ(large.size(), 15u);
  EXPECT_EQ(large.Find(1'000)->position, 1'000) << "the newest stays";
  Run(&small, 50, 1'000);
  EXPECT_NEAR(static_cast<double>(small.size()), 10, 1);
  EXPECT_EQ(store_->used_bytes(), static_cast<int64_t>(20 * kStateBytes));
}

TEST_F(StatePointsTest, ForksShareAndOutliveEachOther) {
  Make(Limits());
  StatePoints fork(&*store_);
  {
    StatePoints parent(&*store_);
    Run(&parent, 0, 50);
    fork.Share(parent);
    EXPECT_EQ(store_->used_bytes(), static_cast<int64_t>(5 * kStateBytes));
    Run(&parent, 50, 70);
  }
  EXPECT_EQ(fork.size(), 5u);
  EXPECT_TRUE(Holds(*fork.Find(50)));
  EXPECT_EQ(store_->used_bytes(), static_cast<int64_t>(5 * kStateBytes));
}

TEST_F(StatePointsTest, ACopyUnderWayIsNotReadAndOneThatFailedNever) {
  Make(Limits(), /*pinned=*/true);
  Arena::Progress progress = Arena::Progress::kRunning;
  arena_.progress = [&] { return progress; };
  StatePoints points(&*store_);
  {
    State state(1);
    points.Reached(10, state.bytes);
    std::memset(state.bytes, 99, kStateBytes);  // the next step writes the slot
  }
  EXPECT_EQ(points.Find(10), nullptr);
  EXPECT_TRUE(points.Ready().empty());
  progress = Arena::Progress::kDone;
  store_->Poll();
  ASSERT_NE(points.Find(10), nullptr);
  EXPECT_TRUE(Holds(*points.Find(10)));
  progress = Arena::Progress::kFailed;
  Run(&points, 10, 20);
  EXPECT_EQ(points.Find(20)->position, 10);
}

TEST_F(StatePointsTest, FewCopiesAreUnderWayAtOnce) {
  Make(Limits(), /*pinned=*/true);
  Arena::Progress progress = Arena::Progress::kRunning;
  arena_.progress = [&] { return progress; };
  {
    StatePoints points(&*store_);
    Run(&points, 0, 200);
    EXPECT_EQ(points.size(), 4u);
  }
  progress = Arena::Progress::kDone;
  store_->Poll();
  EXPECT_EQ(store_->used_bytes(), 0) << "nobody has them any more";
}

TEST_F(StatePointsTest, NoneAreKeptWithoutALimit) {
  Make(Limits(0));
  StatePoints points(&*store_);
  Run(&points, 0, 100);
  EXPECT_EQ(points.size(), 0u);
}

}  // namespace
}  // namespace eidetic::memory
