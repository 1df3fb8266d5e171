#include "memory/host_arena.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <limits>
#include <thread>
#include <vector>

namespace eidetic::memory {
namespace {

TEST(HostArena, GivesZeroedAlignedMemory) {
  HostArena arena(1 << 20);
  for (size_t bytes : {size_t{1}, size_t{63}, size_t{4097}, size_t{1} << 19}) {
    void* address = *arena.Allocate(bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(address) % 64, 0u);
    char* chars = static_cast<char*>(address);
    EXPECT_TRUE(std::all_of(chars, chars + bytes, [](char c) { return c == 0; }));
    std::fill(chars, chars + bytes, 'x');
    EXPECT_EQ(arena.bytes_in_use(), bytes);
    arena.Free(address, bytes);
  }
  EXPECT_EQ(arena.bytes_in_use(), 0u);
}

TEST(HostArena, RefusesPastTheLimit) {
  HostArena arena(1000);
  void* address = *arena.Allocate(600);
  EXPECT_EQ(arena.Allocate(401).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(arena.Allocate(std::numeric_limits<size_t>::max()).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(arena.bytes_in_use(), 600u);
  void* rest = *arena.Allocate(400);
  arena.Free(rest, 400);
  arena.Free(address, 600);
}

TEST(HostArena, WhatTheSystemRefusesIsNotCharged) {
  constexpr size_t kMoreThanAddressSpace = size_t{1} << 60;
  HostArena arena(std::numeric_limits<size_t>::max());
  EXPECT_EQ(arena.Allocate(kMoreThanAddressSpace).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(arena.bytes_in_use(), 0u);
}

TEST(HostArena, ZeroAndCopy) {
  HostArena arena(1 << 20);
  char* a = static_cast<char*>(*arena.Allocate(100));
  char* b = static_cast<char*>(*arena.Allocate(100));
  std::fill(a, a + 100, 'a');
  arena.Copy(b, a, 60);
  EXPECT_EQ(std::count(b, b + 100, 'a'), 60);
  arena.Zero(a, 50);
  EXPECT_EQ(std::count(a, a + 100, 'a'), 50);
  arena.Free(a, 100);
  arena.Free(b, 100);
}

TEST(HostArena, ThreadsNeverPassTheLimitTogether) {
  constexpr size_t kBytes = 100, kRoom = 5;
  HostArena arena(kBytes * kRoom);
  std::atomic<int> violations = 0;
  auto work = [&] {
    for (int i = 0; i < 2000; ++i) {
      auto address = arena.Allocate(kBytes);
      violations += arena.bytes_in_use() > kBytes * kRoom;
      if (address.ok()) arena.Free(*address, kBytes);
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(violations, 0);
  EXPECT_EQ(arena.bytes_in_use(), 0u);
}

TEST(HostArenaDeathTest, LeaksAreLoud) {
  EXPECT_DEATH(
      {
        HostArena arena(100);
        (void)arena.Allocate(10);
      },
      "still allocated");
}

}  // namespace
}  // namespace eidetic::memory
