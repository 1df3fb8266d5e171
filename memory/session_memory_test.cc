#include "memory/session_memory.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <string>

#include "memory/host_arena.h"
#include "memory/host_indexer.h"
#include "memory/span_retrieval.h"

namespace eidetic::memory {
namespace {

constexpr PageLayout kLayout{.block_size = 16, .kv_heads = 2, .head_dim = 3};
constexpr MemoryGeometry kGeometry{.layout = kLayout, .attention_layers = 2, .state_bytes = 100};
constexpr int64_t kTileTokens = int64_t{kTileBlocks} * 16;
constexpr Position kEndless = std::numeric_limits<Position>::max();

class SessionMemoryTest : public testing::Test {
 protected:
  SessionMemoryTest() : arena_(size_t{256} << 20) { NewPool({.max_pages = 200}); }
  ~SessionMemoryTest() override {
    EXPECT_EQ(pool_->pages().used_count(), 0);
    EXPECT_EQ(pool_->tiles().used_count(), 0);
    EXPECT_EQ(pool_->slots().used_count(), 0);
    if (pool_->host_pages() != nullptr) {
      EXPECT_EQ(pool_->host_pages()->used_count(), 0);
    }
  }

  void NewPool(const MemoryLimits& limits) {
    pool_ = std::make_unique<MemoryPool>(&arena_, &indexer_, kGeometry, limits, &host_arena_);
  }
  std::unique_ptr<SessionMemory> Create(SummaryKind summary = SummaryKind::kBounds) {
    return *SessionMemory::Create(pool_.get(), summary);
  }

  // As a step would: keys that tell position and layer, summaries of the blocks
  // that became complete, the state.
  void Advance(SessionMemory& session, Position end, char state = 's') {
    ASSERT_TRUE(session.Reserve(end).ok());
    ASSERT_TRUE(session.BeginWork().ok());
    for (int32_t layer = 0; layer < 2; ++layer) {
      for (Position p = session.published(); p < end; ++p) WriteToken(session, layer, p, float(p));
      for (Position b = session.published() / 16; b < end / 16; ++b) {
        if (session.summary() == SummaryKind::kNone) break;
        SummarizeBlock(kLayout, session.summary(), session.pages(layer)[b], b,
                       session.tiles(layer)[b / kTileBlocks]);
      }
    }
    std::memset(session.next_state(), state, kGeometry.state_bytes);
    session.Publish(end);
    session.EndWork();
  }
  void WriteToken(SessionMemory& session, int32_t layer, Position p, float value) {
    for (int32_t d = 0; d < 3; ++d) {
      kLayout.Keys(session.pages(layer)[p / 16], 1)[d * 16 + p % 16] = value + 1000 * layer + d;
    }
  }
  float Token(const SessionMemory& session, int32_t layer, Position p) {
    return kLayout.Keys(static_cast<const void*>(session.pages(layer)[p / 16]), 1)[p % 16];
  }
  char State(const SessionMemory& session) { return *static_cast<const char*>(session.state()); }

  HostArena arena_;
  HostArena host_arena_{size_t{64} << 20};
  HostIndexer indexer_;
  std::unique_ptr<MemoryPool> pool_;
};

TEST_F(SessionMemoryTest, ReserveCountsBlocksAndTiles) {
  auto session = Create();
  EXPECT_EQ(session->reserved(), 0);
  ASSERT_TRUE(session->Reserve(1).ok());
  EXPECT_EQ(session->reserved(), 16);
  EXPECT_EQ(session->page_count(), 2);
  EXPECT_EQ(session->tile_count(), 2);
  ASSERT_TRUE(session->Reserve(kTileTokens).ok());
  EXPECT_EQ(session->page_count(), 32);
  EXPECT_EQ(session->tile_count(), 2);
  ASSERT_TRUE(session->Reserve(kTileTokens + 1).ok());
  EXPECT_EQ(session->tile_count(), 4);
  ASSERT_TRUE(session->Reserve(3).ok());
  EXPECT_EQ(session->reserved(), kTileTokens + 16) << "Reserve never gives room back";
  EXPECT_EQ(pool_->pages().used_count(), session->page_count());
  EXPECT_EQ(pool_->tiles().used_count(), session->tile_count());
}

TEST_F(SessionMemoryTest, WithoutASummaryThereAreNoTiles) {
  auto session = Create(SummaryKind::kNone);
  ASSERT_TRUE(session->Reserve(500).ok());
  EXPECT_EQ(session->tile_count(), 0);
  EXPECT_EQ(pool_->tiles().used_count(), 0);
}

TEST_F(SessionMemoryTest, ReserveIsAllOrNothingWhenPagesRunOut) {
  auto session = Create();
  ASSERT_TRUE(session->Reserve(20).ok());
  for (Position end : {Position{101 * 16}, Position{1} << 40, kEndless}) {
    EXPECT_EQ(session->Reserve(end).code(), absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(session->reserved(), 32);
    EXPECT_EQ(pool_->pages().used_count(), 4);
    EXPECT_EQ(pool_->tiles().used_count(), 2);
  }
  EXPECT_TRUE(session->Reserve(100 * 16).ok());
}

TEST_F(SessionMemoryTest, ReserveIsAllOrNothingWhenTilesRunOut) {
  NewPool({.max_pages = 64, .max_state_slots = 2});  // 64 / 16 + 2 * 2 = 8 tiles
  ASSERT_EQ(pool_->tiles().capacity(), 8);
  auto hold = *pool_->tiles().Allocate(5);
  auto session = Create();
  ASSERT_TRUE(session->Reserve(16).ok());
  const void* const page = session->pages(0)[0];
  EXPECT_EQ(session->Reserve(kTileTokens + 1).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(session->reserved(), 16);
  EXPECT_EQ(session->page_count(), 2);
  EXPECT_EQ(pool_->pages().used_count(), 2);
  EXPECT_EQ(pool_->tiles().used_count(), 7);
  EXPECT_EQ(session->pages(0)[0], page);
  for (PageId tile : hold) pool_->tiles().Release(tile);
  EXPECT_TRUE(session->Reserve(kTileTokens + 1).ok());
}

TEST_F(SessionMemoryTest, ReserveIsAllOrNothingWhenTheArenaIsFull) {
  HostArena tight(1000);
  MemoryPool pool(&tight, &indexer_, kGeometry, {.max_pages = 200, .max_state_slots = 4});
  auto session = *SessionMemory::Create(&pool, SummaryKind::kBounds);
  EXPECT_EQ(session->Reserve(16).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(session->page_count(), 0);
  EXPECT_EQ(pool.pages().used_count() + pool.tiles().used_count(), 0);
}

TEST_F(SessionMemoryTest, CreateNeedsAStateSlot) {
  NewPool({.max_pages = 64, .max_state_slots = 2});
  auto a = Create();
  ASSERT_TRUE(a->BeginWork().ok());
  EXPECT_EQ(SessionMemory::Create(pool_.get(), SummaryKind::kNone).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(a->Fork(SummaryKind::kBounds).status().code(), absl::StatusCode::kResourceExhausted);
  a->EndWork();
  auto b = Create();
  EXPECT_EQ(b->BeginWork().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_FALSE(b->working());
}

TEST_F(SessionMemoryTest, AnAbandonedStepLeavesNoTrace) {
  auto session = Create();
  Advance(*session, 20, 'a');
  ASSERT_TRUE(session->BeginWork().ok());
  std::memset(session->next_state(), 'x', kGeometry.state_bytes);
  session->EndWork();
  EXPECT_EQ(State(*session), 'a');
  EXPECT_EQ(session->published(), 20);
  ASSERT_TRUE(session->BeginWork().ok());
  EXPECT_EQ(*static_cast<const char*>(session->next_state()), 0) << "slots come zeroed";
}

TEST_F(SessionMemoryTest, PublishSwapsTheStates) {
  auto session = Create();
  ASSERT_TRUE(session->Reserve(64).ok());
  ASSERT_TRUE(session->BeginWork().ok());
  EXPECT_EQ(State(*session), 0);
  for (char c : {'a', 'b', 'c'}) {
    std::memset(session->next_state(), c, kGeometry.state_bytes);
    session->Publish(session->published() + 1);
    EXPECT_EQ(State(*session), c);
    EXPECT_NE(session->next_state(), session->state());
  }
  EXPECT_EQ(session->published(), 3);
  EXPECT_EQ(pool_->slots().used_count(), 2);
}

TEST_F(SessionMemoryTest, TrimGivesBackWhatLiesBeyond) {
  auto session = Create();
  Advance(*session, 20);
  ASSERT_TRUE(session->Reserve(kTileTokens + 100).ok());
  session->Trim(kTileTokens);
  EXPECT_EQ(session->reserved(), kTileTokens);
  EXPECT_EQ(pool_->tiles().used_count(), 2);
  session->Trim(20);
  EXPECT_EQ(session->reserved(), 32);
  EXPECT_EQ(pool_->pages().used_count(), 4);
  EXPECT_EQ(Token(*session, 1, 19), 1019);
  session->Trim(1000);
  EXPECT_EQ(session->reserved(), 32) << "Trim adds nothing";
}

TEST_F(SessionMemoryTest, ForkSharesCompleteBlocksAndCopiesTheRest) {
  auto parent = Create();
  Advance(*parent, kTileTokens + 40, 'p');
  ASSERT_TRUE(parent->Reserve(2 * kTileTokens).ok());
  auto child = *parent->Fork(SummaryKind::kBounds);
  EXPECT_EQ(child->published(), parent->published());
  EXPECT_EQ(child->reserved(), kTileTokens + 48) << "the past alone, not what is reserved";
  const int32_t complete = kTileBlocks + 2;
  for (int32_t layer = 0; layer < 2; ++layer) {
    for (int32_t b = 0; b < complete; ++b) {
      EXPECT_EQ(child->pages(layer)[b], parent->pages(layer)[b]);
    }
    EXPECT_NE(child->pages(layer)[complete], parent->pages(layer)[complete]);
    EXPECT_EQ(child->tiles(layer)[0], parent->tiles(layer)[0]);
    EXPECT_NE(child->tiles(layer)[1], parent->tiles(layer)[1]);
    EXPECT_EQ(std::memcmp(child->tiles(layer)[1], parent->tiles(layer)[1],
                          kLayout.tile_bytes(SummaryKind::kBounds)),
              0);
  }
  EXPECT_NE(child->state(), parent->state());
  EXPECT_EQ(State(*child), 'p');
}

TEST_F(SessionMemoryTest, WhatTheChildWritesTheParentDoesNotSee) {
  auto parent = Create();
  Advance(*parent, 40, 'p');
  auto child = *parent->Fork(SummaryKind::kBounds);
  const std::string tile(static_cast<char*>(parent->tiles(0)[0]),
                         kLayout.tile_bytes(SummaryKind::kBounds));
  for (int32_t layer = 0; layer < 2; ++layer) WriteToken(*child, layer, 40, -7);
  Advance(*child, 100, 'c');
  EXPECT_EQ(Token(*parent, 0, 40), 0);
  EXPECT_EQ(State(*parent), 'p');
  EXPECT_EQ(std::memcmp(parent->tiles(0)[0], tile.data(), tile.size()), 0);
  parent.reset();
  for (Position p = 0; p < 100; ++p) EXPECT_EQ(Token(*child, 1, p), 1000 + p);
}

TEST_F(SessionMemoryTest, ForkAtABlocksBorderCopiesNoPage) {
  auto parent = Create();
  Advance(*parent, kTileTokens);
  auto child = *parent->Fork(SummaryKind::kBounds);
  EXPECT_EQ(pool_->pages().used_count(), parent->page_count());
  EXPECT_EQ(pool_->tiles().used_count(), parent->tile_count());
}

TEST_F(SessionMemoryTest, ForkOfAnEmptySession) {
  auto parent = Create();
  auto child = *parent->Fork(SummaryKind::kPooled);
  EXPECT_EQ(child->published(), 0);
  EXPECT_EQ(child->page_count(), 0);
}

TEST_F(SessionMemoryTest, AForkThatFindsNoRoomLeavesNothingBehind) {
  NewPool({.max_pages = 4});
  auto parent = Create();
  Advance(*parent, 20);
  EXPECT_EQ(parent->Fork(SummaryKind::kBounds).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(pool_->pages().used_count(), 4);
  EXPECT_EQ(pool_->slots().used_count(), 1);
  Advance(*parent, 32);  // a complete block needs no copy
  EXPECT_TRUE(parent->Fork(SummaryKind::kBounds).ok());
}

TEST_F(SessionMemoryTest, ForkWithAnotherSummaryRebuildsTheIndex) {
  const SummaryKind kinds[] = {SummaryKind::kNone, SummaryKind::kBounds, SummaryKind::kMean,
                               SummaryKind::kPooled};
  for (SummaryKind from : kinds) {
    for (SummaryKind to : kinds) {
      auto parent = Create(from);
      Advance(*parent, kTileTokens + 40);
      auto child = *parent->Fork(to);
      auto scratch = Create(to);
      Advance(*scratch, kTileTokens + 40);
      ASSERT_EQ(child->summary(), to);
      ASSERT_EQ(child->tile_count(), scratch->tile_count());
      for (int32_t layer = 0; layer < 2; ++layer) {
        for (int64_t t = 0; t < child->tile_count() / 2; ++t) {
          ASSERT_EQ(std::memcmp(child->tiles(layer)[t], scratch->tiles(layer)[t],
                                kLayout.tile_bytes(SummaryKind::kBounds)),
                    0);
        }
      }
    }
  }
}

TEST_F(SessionMemoryTest, AModelWithoutAttentionHasNoPages) {
  MemoryPool pool(&arena_, &indexer_, {.layout = {.block_size = 16}, .state_bytes = 64},
                  {.max_pages = 4, .max_state_slots = 4});
  auto session = *SessionMemory::Create(&pool, SummaryKind::kNone);
  ASSERT_TRUE(session->Reserve(1000).ok());
  ASSERT_TRUE(session->BeginWork().ok());
  session->Publish(1000);
  EXPECT_EQ(session->page_count(), 0);
  EXPECT_EQ((*session->Fork(SummaryKind::kNone))->published(), 1000);
}

TEST_F(SessionMemoryTest, MisuseIsLoud) {
  auto session = Create();
  EXPECT_DEATH(session->Publish(0), "nothing to publish");
  EXPECT_DEATH(session->EndWork(), "working");
  Advance(*session, 20);
  EXPECT_DEATH(session->Trim(19), "end >= published_");
  ASSERT_TRUE(session->BeginWork().ok());
  EXPECT_DEATH(session->Publish(33), "end <= reserved");
  EXPECT_DEATH((void)session->BeginWork(), "work runs already");
}

TEST_F(SessionMemoryTest, PagesMoveToTheHostWithWhatTheyHold) {
  NewPool({.max_pages = 200, .max_host_pages = 7});
  auto session = Create();
  Advance(*session, 16 * 10 + 3);
  // Three blocks of two layers fit; a fourth is one page short.
  EXPECT_EQ(session->MoveToHost(1, 10, 100), 7);
  EXPECT_EQ(pool_->host_pages()->used_count(), 7);
  EXPECT_EQ(pool_->pages().used_count(), 2 * 11 - 7);
  EXPECT_EQ(session->MoveToHost(1, 10, 100), 0) << "the host is full";
  for (int32_t layer = 0; layer < 2; ++layer) {
    for (Position p = 0; p < 16 * 10 + 3; ++p) {
      ASSERT_EQ(Token(*session, layer, p), float(p + 1000 * layer)) << layer << ", " << p;
    }
  }
  Advance(*session, 16 * 12);  // it goes on
  EXPECT_EQ(Token(*session, 1, 16 * 11), float(1000 + 16 * 11));
}

TEST_F(SessionMemoryTest, AForkSharesPagesOfBothTiersAndSharedPagesStay) {
  NewPool({.max_pages = 200, .max_host_pages = 50});
  auto parent = Create();
  Advance(*parent, 16 * 6 + 5);
  EXPECT_EQ(parent->MoveToHost(0, 2, 100), 4);
  auto child = *parent->Fork(SummaryKind::kBounds);
  EXPECT_EQ(child->pages(0)[1], parent->pages(0)[1]);
  EXPECT_EQ(parent->MoveToHost(0, 6, 100), 0) << "what two sessions hold stays where it is";
  EXPECT_EQ(pool_->host_pages()->used_count(), 4);
  parent.reset();
  EXPECT_EQ(pool_->host_pages()->used_count(), 4);
  for (Position p = 0; p < 16 * 6 + 5; ++p) ASSERT_EQ(Token(*child, 1, p), float(p + 1000));
  EXPECT_EQ(child->MoveToHost(0, 6, 100), 8);
}

TEST_F(SessionMemoryTest, AShortageOfPagesMovesOthersAndGoesOn) {
  NewPool({.max_pages = 20, .max_host_pages = 50});
  auto session = Create();
  int calls = 0;
  pool_->set_make_room([&](int64_t pages) {
    ++calls;
    return session->MoveToHost(0, static_cast<BlockIndex>(session->published() / 16), pages) > 0;
  });
  for (Position end = 64; end <= 16 * 25; end += 64) Advance(*session, end);
  EXPECT_GT(calls, 0);
  for (Position p = 0; p < session->published(); ++p) ASSERT_EQ(Token(*session, 0, p), float(p));
  // Without room on either side the refusal is as ever, and changes nothing.
  EXPECT_EQ(session->Reserve(16 * 80).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(session->reserved(), session->published());
}

}  // namespace
}  // namespace eidetic::memory
