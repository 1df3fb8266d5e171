// What a session takes by formula, and sessions that grow beyond the device.
#include <gtest/gtest.h>

#include <cstring>
#include <memory>

#include "memory/host_arena.h"
#include "memory/host_indexer.h"
#include "memory/session_memory.h"

namespace eidetic::memory {
namespace {

constexpr int32_t kBlock = 16, kChunk = 32;
constexpr MemoryGeometry kGeometry{.layout = {.block_size = kBlock, .kv_heads = 1, .head_dim = 4},
                                   .attention_layers = 2,
                                   .state_bytes = 100};
const SpanSettings kSettings{.window_tokens = 32, .span_blocks = 4};

class SessionGrowthTest : public testing::Test {
 protected:
  void NewPool(const MemoryLimits& limits) {
    pool_ = std::make_unique<MemoryPool>(&arena_, &indexer_, kGeometry, limits, &host_arena_);
  }
  std::unique_ptr<SessionMemory> Create() {
    return *SessionMemory::Create(pool_.get(), SummaryKind::kBounds);
  }
  absl::Status Reserve(SessionMemory& session, Position end) {
    return session.ReserveFor(kSettings, end, kChunk);
  }
  // One chunk, as the step loop does it: room first. Each block's key tells its number.
  bool Step(SessionMemory& session, int64_t tokens = kChunk) {
    const Position begin = session.published(), end = begin + tokens;
    const auto last = static_cast<BlockIndex>(std::max<int64_t>(0, begin - 32) / kBlock);
    if (!session.Grow(end, std::min(1, last), last)) return false;
    if (!session.working()) {
      EXPECT_TRUE(session.BeginWork().ok());
    }
    for (int32_t layer = 0; layer < 2; ++layer) {
      for (Position p = begin; p < end; ++p) {
        static_cast<float*>(session.pages(layer)[p / kBlock])[p % kBlock] = Value(layer, p);
      }
    }
    session.Publish(end);
    return true;
  }
  static float Value(int32_t layer, Position p) { return static_cast<float>(10'000 * layer + p); }
  void ExpectAllThere(const SessionMemory& session) {
    for (int32_t layer = 0; layer < 2; ++layer) {
      for (Position p = 0; p < session.published(); ++p) {
        ASSERT_EQ(static_cast<const float*>(session.pages(layer)[p / kBlock])[p % kBlock],
                  Value(layer, p));
      }
    }
  }
  int64_t Used() {
    return pool_->pages().used_count() + pool_->host_pages()->used_count() +
           pool_->tiles().used_count() + pool_->slots().used_count();
  }

  HostArena arena_{size_t{64} << 20}, host_arena_{size_t{64} << 20};
  HostIndexer indexer_;
  std::unique_ptr<MemoryPool> pool_;
};

TEST(SessionDemandTest, IsTheFormulas) {
  const SessionDemand demand = DemandOf(kGeometry, kSettings, 1000, kChunk);
  EXPECT_EQ(demand.state_slots, 2);
  EXPECT_EQ(demand.near_pages, 16);
  EXPECT_EQ(demand.distant_pages, 110);
  EXPECT_EQ(demand.tiles, 8);
  EXPECT_EQ(demand.bytes, 2 * 100 + 126 * 512 + 8 * 2 * 2 * 4 * 16);
  EXPECT_EQ(DemandOf(kGeometry, kSettings, 20, kChunk).near_pages, 4) << "short: all of it";
  EXPECT_EQ(DemandOf(kGeometry, kSettings, 0, kChunk).near_pages, 0);
  SpanSettings full = kSettings, window = kSettings;
  full.policy = AttentionPolicy::kFull;
  window.policy = AttentionPolicy::kWindow;
  EXPECT_EQ(DemandOf(kGeometry, full, 1000, kChunk).near_pages, 126);
  EXPECT_EQ(DemandOf(kGeometry, full, 1000, kChunk).tiles, 0);
  EXPECT_EQ(DemandOf(kGeometry, window, 1000, kChunk).distant_pages, 110);
  EXPECT_EQ(DemandOf(kGeometry, window, 1000, kChunk).tiles, 0);
}

TEST_F(SessionGrowthTest, WhatNeverFitsIsNoShortage) {
  NewPool({.max_pages = 20, .max_host_pages = 100, .max_state_slots = 4});
  auto session = Create();
  EXPECT_TRUE(Reserve(*session, 960).ok());
  session->Trim(0);
  const absl::Status never = Reserve(*session, 961);
  EXPECT_EQ(never.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_FALSE(IsShortage(never));
  EXPECT_NE(never.message().find("16 pages on the device, 8 tiles"), absl::string_view::npos)
      << never;
  auto other = Create();
  ASSERT_TRUE(Reserve(*other, 600).ok());
  const int64_t used = Used();
  const absl::Status later = Reserve(*session, 960);
  EXPECT_EQ(later.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(IsShortage(later)) << later;
  EXPECT_EQ(Used(), used) << "all or nothing";
  SpanSettings full = kSettings;
  full.policy = AttentionPolicy::kFull;
  EXPECT_FALSE(IsShortage(session->ReserveFor(full, 200, kChunk))) << "the host is no help";
}

TEST_F(SessionGrowthTest, GrowsChunkByChunkWithWhatItReserved) {
  NewPool({.max_pages = 20, .max_host_pages = 200, .max_state_slots = 4});
  auto session = Create();
  ASSERT_TRUE(Reserve(*session, 1000).ok());
  EXPECT_TRUE(session->growing());
  // Whatever comes free is taken by others: it needs nothing more.
  auto other = Create();
  const int64_t left = pool_->pages().free_count() / 2;
  ASSERT_TRUE(other->Reserve(left * kBlock).ok());
  EXPECT_LT(pool_->pages().free_count(), 2);
  auto host = *pool_->host_pages()->Allocate(pool_->host_pages()->free_count());
  while (session->published() + kChunk <= 1000) ASSERT_TRUE(Step(*session));
  ASSERT_TRUE(Step(*session, 1000 - session->published()));
  EXPECT_FALSE(session->growing()) << "all that stood aside is used";
  ExpectAllThere(*session);
  EXPECT_EQ(session->page_count(), 126);
  for (PageId page : host) pool_->host_pages()->Release(page);
  session.reset();
  other.reset();
  EXPECT_EQ(Used(), 0);
}

TEST_F(SessionGrowthTest, TrimGivesBackWhatStandsAside) {
  NewPool({.max_pages = 20, .max_host_pages = 200, .max_state_slots = 4});
  auto session = Create();
  ASSERT_TRUE(Reserve(*session, 1000).ok());
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(Step(*session));
  session->Trim(session->published());
  EXPECT_FALSE(session->growing());
  EXPECT_EQ(pool_->pages().used_count() + pool_->host_pages()->used_count(), 2 * 20);
  EXPECT_EQ(pool_->tiles().used_count(), 2 * 2);
  pool_->set_make_room([&](int64_t pages) { return session->MoveToHost(1, 17, pages) > 0; });
  ASSERT_TRUE(Reserve(*session, 1000).ok()) << "and takes it again from where it stands";
  while (session->published() + kChunk <= 1000) ASSERT_TRUE(Step(*session));
  ExpectAllThere(*session);
  session.reset();
  EXPECT_EQ(Used(), 0);
}

TEST_F(SessionGrowthTest, AnotherReservationThatFailsLeavesTheFirst) {
  NewPool({.max_pages = 20, .max_host_pages = 100, .max_state_slots = 4});
  auto session = Create();
  ASSERT_TRUE(Reserve(*session, 700).ok());
  ASSERT_TRUE(Step(*session));
  const int64_t used = Used();
  auto host = *pool_->host_pages()->Allocate(pool_->host_pages()->free_count());
  EXPECT_TRUE(IsShortage(Reserve(*session, 900)));
  for (PageId page : host) pool_->host_pages()->Release(page);
  EXPECT_EQ(Used(), used);
  ASSERT_TRUE(Reserve(*session, 900).ok());
  while (session->published() + kChunk <= 900) ASSERT_TRUE(Step(*session));
  ExpectAllThere(*session);
}

TEST_F(SessionGrowthTest, WaitsWhileAForkOrACheckpointSharesWhatMustMove) {
  NewPool({.max_pages = 20, .max_host_pages = 200, .max_state_slots = 4});
  auto session = Create();
  ASSERT_TRUE(Reserve(*session, 1000).ok());
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(Step(*session));
  for (const bool fork : {true, false}) {
    auto child = fork ? *session->Fork(SummaryKind::kBounds) : nullptr;
    auto image = fork ? nullptr : session->Image(0, 0);
    int steps = 0;
    while (Step(*session)) ASSERT_LT(++steps, 10);
    const Position stands = session->published();
    const int64_t used = Used();
    EXPECT_FALSE(Step(*session));
    EXPECT_EQ(session->published(), stands);
    EXPECT_EQ(Used(), used) << "a try changes nothing";
    child.reset();
    image.reset();
    EXPECT_TRUE(Step(*session));
  }
  while (session->published() + kChunk <= 1000) ASSERT_TRUE(Step(*session));
  ExpectAllThere(*session);
}

// CLOCK: what a step chose since it was spared last is spared once more.
TEST_F(SessionGrowthTest, WhatWasChosenLatelyMovesLast) {
  NewPool({.max_pages = 40, .max_host_pages = 200, .max_state_slots = 4});
  auto session = Create();
  ASSERT_TRUE(Reserve(*session, 160).ok());
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(Step(*session));
  for (int32_t layer = 0; layer < 2; ++layer) session->page_table(layer)->Chosen(2);
  const auto is_moved = [&](BlockIndex block) {
    return session->page_table(0)->host_page(block) != PageId();
  };
  EXPECT_EQ(session->MoveToHost(1, 6, 6), 8);
  EXPECT_FALSE(is_moved(2));
  EXPECT_TRUE(is_moved(1) && is_moved(3));
  session->page_table(0)->Chosen(2);
  EXPECT_EQ(session->MoveToHost(1, 6, 6), 2) << "nothing else is left";
  EXPECT_TRUE(is_moved(2));
  EXPECT_EQ(pool_->moved_pages(), 10);
  ExpectAllThere(*session);
}

}  // namespace
}  // namespace eidetic::memory
