#include "memory/block_allocator.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace eidetic::memory {
namespace {

TEST(BlockAllocator, WorkedExample) {
  BlockAllocator allocator(3);
  EXPECT_EQ(*allocator.Allocate(2), (std::vector<PageId>{PageId(0), PageId(1)}));
  allocator.AddReference(PageId(0));
  EXPECT_FALSE(allocator.Release(PageId(0)));
  EXPECT_TRUE(allocator.Release(PageId(0)));
  EXPECT_EQ(allocator.used_count(), 1);
}

TEST(BlockAllocator, AllOrNothing) {
  BlockAllocator allocator(3);
  ASSERT_TRUE(allocator.Allocate(1).ok());
  EXPECT_EQ(allocator.Allocate(3).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(allocator.free_count(), 2);
  EXPECT_TRUE(allocator.Allocate(0)->empty());
  EXPECT_EQ(allocator.Allocate(2)->size(), 2u);
  EXPECT_EQ(BlockAllocator(0).Allocate(1).status().code(), absl::StatusCode::kResourceExhausted);
}

TEST(BlockAllocatorDeathTest, MisuseIsLoud) {
  BlockAllocator allocator(2);
  EXPECT_DEATH(allocator.Release(PageId(0)), "free already");
  EXPECT_DEATH(allocator.AddReference(PageId(1)), "is free");
  EXPECT_DEATH(allocator.references(PageId(2)), "no page 2");
  EXPECT_DEATH(allocator.references(PageId()), "no page -1");
}

TEST(BlockAllocator, AgreesWithAModelOverRandomSteps) {
  constexpr int32_t kCapacity = 40;
  BlockAllocator allocator(kCapacity);
  std::map<PageId, int32_t> model;
  std::mt19937 random(7);
  auto held = [&] { return std::next(model.begin(), random() % model.size())->first; };
  for (int step = 0; step < 50000; ++step) {
    const int action = random() % 3;
    if (action == 0) {
      const int32_t count = random() % 8;
      auto ids = allocator.Allocate(count);
      ASSERT_EQ(ids.ok(), count <= kCapacity - static_cast<int32_t>(model.size()));
      if (!ids.ok()) continue;
      ASSERT_EQ(ids->size(), size_t(count));
      for (PageId id : *ids) ASSERT_TRUE(model.emplace(id, 1).second) << "handed out twice";
    } else if (!model.empty() && action == 1) {
      const PageId id = held();
      allocator.AddReference(id);
      ++model[id];
    } else if (!model.empty()) {
      const PageId id = held();
      const bool last = --model[id] == 0;
      if (last) model.erase(id);
      ASSERT_EQ(allocator.Release(id), last);
    }
    ASSERT_EQ(allocator.used_count(), static_cast<int32_t>(model.size()));
    ASSERT_EQ(allocator.free_count(), kCapacity - allocator.used_count());
    for (const auto& [id, references] : model) ASSERT_EQ(allocator.references(id), references);
  }
}

}  // namespace
}  // namespace eidetic::memory
