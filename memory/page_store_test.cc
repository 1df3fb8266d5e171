#include "memory/page_store.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "memory/host_arena.h"
#include "memory/state_store.h"

namespace eidetic::memory {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

bool AllEqual(const void* address, size_t bytes, char value) {
  const char* chars = static_cast<const char*>(address);
  return std::all_of(chars, chars + bytes, [value](char c) { return c == value; });
}

TEST(PageStore, PagesComeBackZeroed) {
  HostArena arena(64 * kMiB);
  PageStore store(&arena, 1000, 4);
  for (int round = 0; round < 3; ++round) {
    const std::vector<PageId> pages = *store.Allocate(4);
    for (PageId page : pages) {
      ASSERT_TRUE(AllEqual(store.Address(page), 1000, 0));
      std::memset(store.Address(page), 'g', 1000);
    }
    for (PageId page : pages) store.Release(page);
  }
}

TEST(PageStore, PagesDoNotOverlapAndAreAligned) {
  HostArena arena(256 * kMiB);
  // Pages of 5 MiB: several slabs, the last one partial.
  PageStore store(&arena, 5 * kMiB + 4, 7);
  const std::vector<PageId> pages = *store.Allocate(7);
  std::set<char*> addresses;
  for (PageId page : pages) {
    char* address = static_cast<char*>(store.Address(page));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(address) % 64, 0u);
    std::memset(address, 'a' + page.value(), store.page_bytes());
    addresses.insert(address);
  }
  for (PageId page : pages) {
    EXPECT_TRUE(AllEqual(store.Address(page), store.page_bytes(), 'a' + page.value()));
  }
  for (auto a = addresses.begin(), b = std::next(a); b != addresses.end(); ++a, ++b) {
    EXPECT_GE(*b - *a, static_cast<ptrdiff_t>(store.page_bytes()));
  }
}

TEST(PageStore, CloneCopiesAndIsApart) {
  HostArena arena(64 * kMiB);
  PageStore store(&arena, 128, 2);
  const PageId page = store.Allocate(1)->front();
  std::memset(store.Address(page), 'p', 128);
  const PageId copy = *store.Clone(page);
  EXPECT_TRUE(AllEqual(store.Address(copy), 128, 'p'));
  std::memset(store.Address(copy), 'c', 128);
  EXPECT_TRUE(AllEqual(store.Address(page), 128, 'p'));
  EXPECT_EQ(store.Clone(page).status().code(), absl::StatusCode::kResourceExhausted);
}

TEST(PageStore, ASharedPageStaysUntilTheLastReference) {
  HostArena arena(64 * kMiB);
  PageStore store(&arena, 128, 1);
  const PageId page = store.Allocate(1)->front();
  store.AddReference(page);
  store.Release(page);
  EXPECT_EQ(store.used_count(), 1);
  store.Release(page);
  EXPECT_EQ(store.used_count(), 0);
}

TEST(PageStore, CapacityIsAllOrNothing) {
  HostArena arena(64 * kMiB);
  PageStore store(&arena, 128, 3);
  EXPECT_EQ(store.Allocate(4).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(store.used_count(), 0);
  EXPECT_TRUE(store.Allocate(3).ok());
}

TEST(PageStore, AFailingArenaLeavesCountsUnchanged) {
  // Three pages fill one slab; the second slab does not fit.
  HostArena arena(20 * kMiB);
  PageStore store(&arena, 5 * kMiB, 6);
  const PageId held = store.Allocate(1)->front();
  std::memset(store.Address(held), 'h', store.page_bytes());
  for (int attempt = 0; attempt < 3; ++attempt) {
    EXPECT_EQ(store.Allocate(3).status().code(), absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(store.used_count(), 1);
    EXPECT_EQ(store.free_count(), 5);
  }
  EXPECT_TRUE(AllEqual(store.Address(held), store.page_bytes(), 'h'));
  EXPECT_TRUE(store.Allocate(2).ok()) << "what the first slab still holds";
}

TEST(PageStore, TakesMemoryWhenNeededAndGivesItBack) {
  HostArena arena(64 * kMiB);
  {
    PageStore store(&arena, 128, 1 << 20);
    EXPECT_EQ(arena.bytes_in_use(), 0u);
    ASSERT_TRUE(store.Allocate(1).ok());
    EXPECT_GT(arena.bytes_in_use(), 0u);
  }
  EXPECT_EQ(arena.bytes_in_use(), 0u);
}

TEST(PageStoreDeathTest, AFreePageHasNoAddress) {
  HostArena arena(64 * kMiB);
  PageStore store(&arena, 128, 1);
  EXPECT_DEATH(store.Address(PageId(0)), "not held");
}

TEST(StateStore, SlotsAreZeroedCopiedAndCounted) {
  HostArena arena(64 * kMiB);
  StateStore store(&arena, 100, 2);
  const SlotIndex a = *store.Allocate(), b = *store.Allocate();
  EXPECT_EQ(store.Allocate().status().code(), absl::StatusCode::kResourceExhausted);
  std::memset(store.Address(a), 'a', 100);
  store.Copy(b, a);
  EXPECT_TRUE(AllEqual(store.Address(b), 100, 'a'));
  store.Release(a);
  EXPECT_EQ(store.used_count(), 1);
  EXPECT_TRUE(AllEqual(store.Address(*store.Allocate()), 100, 0));
}

TEST(StateStore, AModelWithoutStateHasSlotsAllTheSame) {
  HostArena arena(64 * kMiB);
  StateStore store(&arena, 0, 2);
  const SlotIndex a = *store.Allocate(), b = *store.Allocate();
  store.Copy(b, a);
  EXPECT_NE(store.Address(a), store.Address(b));
}

}  // namespace
}  // namespace eidetic::memory
