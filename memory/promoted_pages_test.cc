#include "memory/promoted_pages.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "memory/host_indexer.h"
#include "memory/page_table.h"
#include "memory/session_memory.h"
#include "memory/slow_arena.h"

namespace eidetic::memory {
namespace {

constexpr PageLayout kLayout{.block_size = 16, .kv_heads = 2, .head_dim = 4};
constexpr MemoryGeometry kGeometry{.layout = kLayout, .attention_layers = 1, .state_bytes = 64};
const int64_t kPageBytes = kLayout.page_bytes();

class PromotedPagesTest : public testing::Test {
 protected:
  ~PromotedPagesTest() override {
    pool_->BetweenSteps({});
    EXPECT_EQ(pool_->promoted()->size(), 0);
    EXPECT_EQ(pool_->pages().used_count(), 0);
    EXPECT_EQ(pool_->host_pages()->used_count(), 0);
  }

  void NewPool(const MemoryLimits& limits) {
    pool_ = std::make_unique<MemoryPool>(&arena_, &indexer_, kGeometry, limits, &host_arena_);
  }

  // `blocks` blocks, each filled with its number, and one token more.
  std::unique_ptr<SessionMemory> NewSession(int32_t blocks) {
    auto session = *SessionMemory::Create(pool_.get(), SummaryKind::kNone);
    EXPECT_TRUE(session->Reserve(blocks * 16 + 1).ok());
    EXPECT_TRUE(session->BeginWork().ok());
    for (int32_t b = 0; b < blocks; ++b) *kLayout.Keys(session->pages(0)[b], 0) = float(b);
    session->Publish(blocks * 16 + 1);
    session->EndWork();
    return session;
  }
  static float Held(const SessionMemory& session, int32_t block) {
    return *kLayout.Keys(session.pages(0)[block], 0);
  }
  static ChosenBlocks Choice(SessionMemory& session, std::vector<BlockIndex> blocks) {
    return {.table = session.page_table(0), .blocks = std::move(blocks)};
  }
  void Step(SessionMemory& session, std::vector<BlockIndex> blocks) {
    pool_->BetweenSteps(std::vector<ChosenBlocks>{Choice(session, std::move(blocks))});
  }
  const PromotionStats& stats() { return pool_->promoted()->stats(); }

  SlowArena arena_{size_t{64} << 20};
  HostArena host_arena_{size_t{64} << 20};
  HostIndexer indexer_;
  std::unique_ptr<MemoryPool> pool_;
};

TEST_F(PromotedPagesTest, AChosenPageComesToTheDeviceOnceItsCopyHasEnded) {
  NewPool({.max_pages = 40, .max_host_pages = 40});
  auto session = NewSession(6);
  ASSERT_EQ(session->MoveToHost(0, 5, 100), 5);
  const void* host = session->pages(0)[2];
  arena_.progress = [] { return Arena::Progress::kRunning; };
  Step(*session, {2, 2, 5});
  Step(*session, {2});
  EXPECT_EQ(session->pages(0)[2], host) << "read there as long as it is not here";
  EXPECT_EQ(pool_->promoted()->size(), 1);
  arena_.progress = [] { return Arena::Progress::kDone; };
  Step(*session, {2});
  EXPECT_NE(session->pages(0)[2], host);
  EXPECT_EQ(Held(*session, 2), 2);
  Step(*session, {2, 3});
  EXPECT_EQ(stats().chosen, 7);
  EXPECT_EQ(stats().chosen_on_device, 2) << "block 5, and block 2 the last time";
  EXPECT_EQ(stats().promoted, 1);
  EXPECT_EQ(stats().copied_bytes, 2 * kPageBytes) << "block 3 is on its way";
  EXPECT_EQ(pool_->span_bus_bytes(), 5 * kPageBytes / 2 + 2 * kPageBytes);
}

TEST_F(PromotedPagesTest, TheCacheIsBoundedAndItsOldestPageGoesBackUncopied) {
  NewPool({.max_pages = 40, .max_host_pages = 40, .max_promoted_pages = 2});
  auto session = NewSession(6);
  session->MoveToHost(0, 6, 100);
  const void* host = session->pages(0)[0];
  for (BlockIndex block : {0, 1, 2, 3, 3}) Step(*session, {block});
  EXPECT_EQ(pool_->promoted()->size(), 2);
  EXPECT_EQ(session->pages(0)[0], host);
  EXPECT_EQ(stats().dropped, 2);
  EXPECT_EQ(stats().promoted, 4);
  for (int32_t b = 0; b < 6; ++b) EXPECT_EQ(Held(*session, b), b);
}

TEST_F(PromotedPagesTest, AStepCopiesNoMoreThanItsLimit) {
  NewPool({.max_pages = 40,
           .max_host_pages = 40,
           .max_promoted_bytes_per_step = 2 * kPageBytes + kPageBytes / 2});
  auto session = NewSession(8);
  session->MoveToHost(0, 8, 100);
  arena_.progress = [] { return Arena::Progress::kRunning; };
  Step(*session, {0, 1, 2, 3});
  EXPECT_EQ(stats().copied_bytes, 2 * kPageBytes);
  Step(*session, {0, 1, 2, 3});
  EXPECT_EQ(stats().copied_bytes, 2 * kPageBytes) << "those before are still under way";
  arena_.progress = [] { return Arena::Progress::kDone; };
  Step(*session, {0, 1, 2, 3});
  EXPECT_EQ(stats().copied_bytes, 4 * kPageBytes);
}

TEST_F(PromotedPagesTest, NoneAreMadeWhereTheLimitIsZero) {
  NewPool({.max_pages = 40, .max_host_pages = 40, .max_promoted_pages = 0});
  auto session = NewSession(4);
  session->MoveToHost(0, 4, 100);
  for (int i = 0; i < 3; ++i) Step(*session, {1});
  EXPECT_EQ(stats().copied_bytes, 0);
  EXPECT_EQ(stats().chosen, 3);
  EXPECT_EQ(stats().chosen_on_device, 0);
}

TEST_F(PromotedPagesTest, AdmissionTakesThePagesOfTheCacheFirst) {
  NewPool({.max_pages = 10, .max_host_pages = 40});
  int calls = 0;
  pool_->set_make_room([&](int64_t) {
    ++calls;
    return false;
  });
  auto session = NewSession(9);
  session->MoveToHost(0, 9, 100);
  Step(*session, {0, 1, 2, 3});
  arena_.progress = [polls = 0]() mutable {  // under way when the room is wanted
    return ++polls < 3 ? Arena::Progress::kRunning : Arena::Progress::kDone;
  };
  Step(*session, {4, 5});
  EXPECT_EQ(pool_->pages().free_count(), 3);
  EXPECT_TRUE(session->Reserve(16 * 19).ok()) << "nine pages more";
  EXPECT_EQ(pool_->promoted()->size(), 0);
  EXPECT_EQ(calls, 0);
  EXPECT_FALSE(session->Reserve(16 * 20).ok());
  EXPECT_EQ(calls, 1);
  for (int32_t b = 0; b < 9; ++b) EXPECT_EQ(Held(*session, b), b);
}

TEST_F(PromotedPagesTest, AForkNeedsRoomAndTakesItFromTheCache) {
  NewPool({.max_pages = 4, .max_host_pages = 40});
  auto session = NewSession(3);
  session->MoveToHost(0, 3, 100);
  Step(*session, {0, 1, 2});
  EXPECT_EQ(pool_->pages().free_count(), 0);
  EXPECT_TRUE(session->Fork(SummaryKind::kNone).ok());
}

TEST_F(PromotedPagesTest, ForksShareACopyAndTheLastOneFreesIt) {
  NewPool({.max_pages = 40, .max_host_pages = 40});
  auto parent = NewSession(4);
  parent->MoveToHost(0, 4, 100);
  auto before = *parent->Fork(SummaryKind::kNone);
  const void* host = before->pages(0)[1];
  Step(*parent, {1});
  auto during = *parent->Fork(SummaryKind::kNone);
  Step(*parent, {});
  auto after = *parent->Fork(SummaryKind::kNone);
  EXPECT_NE(parent->pages(0)[1], host);
  EXPECT_EQ(during->pages(0)[1], parent->pages(0)[1]);
  EXPECT_EQ(after->pages(0)[1], parent->pages(0)[1]);
  EXPECT_EQ(before->pages(0)[1], host) << "it has not chosen it";
  Step(*before, {1});
  EXPECT_EQ(before->pages(0)[1], parent->pages(0)[1]);
  EXPECT_EQ(stats().copied_bytes, kPageBytes);
  parent.reset();
  during.reset();
  EXPECT_EQ(Held(*after, 1), 1);
  after.reset();
  EXPECT_EQ(pool_->promoted()->size(), 1);
  before.reset();
  EXPECT_EQ(pool_->promoted()->size(), 0);
}

TEST_F(PromotedPagesTest, ASessionMayGoWhileItsPagesAreCopied) {
  NewPool({.max_pages = 40, .max_host_pages = 40});
  auto session = NewSession(4);
  session->MoveToHost(0, 4, 100);
  arena_.progress = [] { return Arena::Progress::kRunning; };
  Step(*session, {0, 1});
  session.reset();
  EXPECT_EQ(pool_->host_pages()->used_count(), 2) << "still read";
  arena_.progress = [] { return Arena::Progress::kDone; };
  pool_->BetweenSteps({});
  EXPECT_EQ(pool_->host_pages()->used_count(), 0);
  EXPECT_EQ(stats().promoted, 0);
}

TEST_F(PromotedPagesTest, ACopyThatFailedIsNotRead) {
  NewPool({.max_pages = 40, .max_host_pages = 40});
  auto session = NewSession(4);
  session->MoveToHost(0, 4, 100);
  arena_.progress = [] { return Arena::Progress::kFailed; };
  Step(*session, {0, 1});
  Step(*session, {});
  EXPECT_EQ(pool_->promoted()->size(), 0);
  for (int32_t b = 0; b < 4; ++b) EXPECT_EQ(Held(*session, b), b);
}

}  // namespace
}  // namespace eidetic::memory
