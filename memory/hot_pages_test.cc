#include "memory/hot_pages.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace eidetic::memory {
namespace {

constexpr int64_t kPlenty = 1000;

std::vector<PageId> Pages(std::initializer_list<int32_t> ids) {
  std::vector<PageId> pages;
  for (int32_t id : ids) pages.push_back(PageId(id));
  return pages;
}

void ArriveAll(HotPages& hot, const HotPages::Change& change) {
  for (PageId page : change.promoted) hot.Arrive(page);
}

TEST(HotPages, WhatIsChosenComesInOnce) {
  HotPages hot(8);
  const HotPages::Change change = hot.Chosen(Pages({3, 1, 3, 2}), kPlenty, kPlenty);
  EXPECT_EQ(change.promoted, Pages({3, 1, 2}));
  EXPECT_TRUE(change.dropped.empty());
  EXPECT_FALSE(hot.arrived(PageId(3)));
  EXPECT_TRUE(hot.Chosen(Pages({1, 2, 3}), kPlenty, kPlenty).promoted.empty()) << "on their way";
  ArriveAll(hot, change);
  EXPECT_TRUE(hot.arrived(PageId(3)));
  EXPECT_TRUE(hot.Chosen(Pages({1, 2, 3}), kPlenty, kPlenty).promoted.empty());
}

TEST(HotPages, TheLeastRecentlyChosenGoesFirst) {
  HotPages hot(2);
  ArriveAll(hot, hot.Chosen(Pages({1, 2}), kPlenty, kPlenty));
  hot.Chosen(Pages({1}), kPlenty, kPlenty);
  const HotPages::Change change = hot.Chosen(Pages({1, 3, 4}), kPlenty, kPlenty);
  EXPECT_EQ(change.dropped, Pages({2}));
  EXPECT_EQ(change.promoted, Pages({3})) << "1 was chosen in this very step";
}

TEST(HotPages, AnArrivingPageNeverMakesWay) {
  HotPages hot(1);
  hot.Chosen(Pages({1}), kPlenty, kPlenty);
  EXPECT_TRUE(hot.Chosen(Pages({2}), kPlenty, kPlenty).promoted.empty());
  EXPECT_TRUE(hot.TakeColdest(1).empty());
  hot.Arrive(PageId(1));
  EXPECT_EQ(hot.Chosen(Pages({2}), kPlenty, kPlenty).dropped, Pages({1}));
}

TEST(HotPages, AChoiceWhileArrivingCounts) {
  HotPages hot(2);
  ArriveAll(hot, hot.Chosen(Pages({1}), kPlenty, kPlenty));
  hot.Chosen(Pages({2}), kPlenty, kPlenty);
  hot.Chosen(Pages({1}), kPlenty, kPlenty);
  hot.Chosen(Pages({2}), kPlenty, kPlenty);
  hot.Arrive(PageId(2));
  EXPECT_EQ(hot.TakeColdest(1), Pages({1}));
}

TEST(HotPages, APageIsAsOldAsItsChoiceNotAsItsArrival) {
  HotPages hot(2);
  ArriveAll(hot, hot.Chosen(Pages({1}), kPlenty, kPlenty));
  hot.Chosen(Pages({2}), kPlenty, kPlenty);
  hot.Chosen(Pages({1}), kPlenty, kPlenty);
  hot.Arrive(PageId(2));
  EXPECT_EQ(hot.TakeColdest(1), Pages({2}));
}

TEST(HotPages, LimitsOfAStep) {
  HotPages hot(8);
  EXPECT_EQ(hot.Chosen(Pages({1, 2, 3}), 2, kPlenty).promoted, Pages({1, 2}));
  EXPECT_TRUE(hot.Chosen(Pages({3}), 0, kPlenty).promoted.empty());
  EXPECT_TRUE(hot.Chosen(Pages({3}), -1, kPlenty).promoted.empty());
  EXPECT_TRUE(hot.Chosen(Pages({3}), kPlenty, 0).promoted.empty()) << "no room, nothing to drop";
  for (int32_t page : {1, 2}) hot.Arrive(PageId(page));
  const HotPages::Change change = hot.Chosen(Pages({3, 4, 5}), kPlenty, 1);
  EXPECT_EQ(change.promoted, Pages({3, 4, 5})) << "one into free room, two for others";
  EXPECT_EQ(change.dropped, Pages({1, 2}));
}

TEST(HotPages, CapacityZeroPromotesNothing) {
  HotPages hot(0);
  EXPECT_TRUE(hot.Chosen(Pages({1}), kPlenty, kPlenty).promoted.empty());
  EXPECT_EQ(hot.size(), 0);
}

// A plain list beside it, the least recently chosen first.
TEST(HotPages, AgreesWithASimpleModel) {
  std::mt19937 random(5);
  constexpr size_t kCapacity = 10;
  HotPages hot(kCapacity);
  std::vector<PageId> model;
  for (int step = 0; step < 5000; ++step) {
    const PageId page(random() % 30);
    const HotPages::Change change = hot.Chosen({&page, 1}, kPlenty, kPlenty);
    const auto found = std::find(model.begin(), model.end(), page);
    ASSERT_EQ(change.promoted.empty(), found != model.end());
    if (found != model.end()) {
      model.erase(found);
    } else if (model.size() == kCapacity) {
      ASSERT_EQ(change.dropped, std::vector<PageId>({model.front()}));
      model.erase(model.begin());
    }
    model.push_back(page);
    ArriveAll(hot, change);
    if (random() % 8 == 0) {
      const size_t count = random() % 4;
      const std::vector<PageId> taken = hot.TakeColdest(static_cast<int64_t>(count));
      ASSERT_EQ(taken,
                std::vector<PageId>(model.begin(), model.begin() + std::min(count, model.size())));
      model.erase(model.begin(), model.begin() + taken.size());
    }
    if (random() % 8 == 0 && !model.empty()) {
      const size_t at = random() % model.size();
      hot.Remove(model[at]);
      model.erase(model.begin() + at);
    }
    ASSERT_EQ(hot.size(), static_cast<int64_t>(model.size()));
  }
}

}  // namespace
}  // namespace eidetic::memory
