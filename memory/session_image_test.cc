#include "memory/session_image.h"

#include <gtest/gtest.h>

#include <cstring>

#include "memory/host_arena.h"
#include "memory/host_indexer.h"
#include "memory/session_load.h"
#include "memory/session_memory.h"
#include "memory/slow_arena.h"
#include "memory/span_retrieval.h"

namespace eidetic::memory {
namespace {

constexpr PageLayout kLayout{.block_size = 16, .kv_heads = 2, .head_dim = 3};
constexpr MemoryGeometry kGeometry{.layout = kLayout, .attention_layers = 2, .state_bytes = 24};
constexpr Position kPosition = 16 * 37 + 5;  // two complete tiles, a partial one, a partial block

class SessionImageTest : public testing::Test {
 protected:
  void TearDown() override {
    EXPECT_EQ(pool_.pages().used_count(), 0);
    EXPECT_EQ(pool_.host_pages()->used_count(), 0);
    EXPECT_EQ(pool_.tiles().used_count(), 0);
    EXPECT_EQ(pool_.slots().used_count(), 0);
  }

  // As a step would: every number of a page tells where it is.
  static void Advance(SessionMemory& session, Position end) {
    ASSERT_TRUE(session.Reserve(end).ok());
    ASSERT_TRUE(session.BeginWork().ok());
    for (int32_t layer = 0; layer < 2; ++layer) {
      for (Position p = session.published(); p < end; ++p) {
        for (int32_t i = 0; i < 2 * 3; ++i) {
          float* const page = static_cast<float*>(session.pages(layer)[p / 16]);
          page[i * 16 + p % 16] = static_cast<float>(p * 10 + i + 100000 * layer);
          page[(6 + i) * 16 + p % 16] = static_cast<float>(-p * 10 - i);
        }
      }
      for (Position b = session.published() / 16; b < end / 16; ++b) {
        if (session.summary() == SummaryKind::kNone) break;
        SummarizeBlock(kLayout, session.summary(), session.pages(layer)[b], b,
                       session.tiles(layer)[b / kTileBlocks]);
      }
    }
    std::memset(session.next_state(), 'A' + static_cast<int>(end % 26), kGeometry.state_bytes);
    session.Publish(end);
    session.EndWork();
  }

  std::unique_ptr<SessionMemory> Make(Position end, SummaryKind summary = SummaryKind::kBounds) {
    auto session = *SessionMemory::Create(&pool_, summary);
    Advance(*session, end);
    return session;
  }

  // Through bytes, as a checkpoint does it.
  std::unique_ptr<SessionMemory> Restore(const SessionImage& image, SummaryKind wanted) {
    auto load = SessionLoad::Begin(&pool_, {.position = image.position(),
                                            .stored = image.summary(),
                                            .wanted = wanted,
                                            .first_far = 1,
                                            .last_far = 30});
    EXPECT_TRUE(load.ok()) << load.status();
    if (!load.ok()) return nullptr;
    for (int64_t layer = 0; layer < 2; ++layer) {
      for (int64_t block = 0; block < (*load)->blocks(); ++block) {
        (*load)->WritePage(layer, block, Bytes(image.pages()[layer], block));
      }
      for (int64_t tile = 0; tile < (*load)->tiles(); ++tile) {
        (*load)->WriteTile(layer, tile, Bytes(image.tiles()[layer], tile));
      }
    }
    (*load)->WriteState(image.state());
    return (*load)->Finish();
  }

  static std::vector<std::byte> Bytes(const SessionImage::Layer& layer, int64_t index) {
    std::vector<std::byte> bytes(layer.bytes);
    SessionImage::Read(layer, index, bytes);
    return bytes;
  }

  static void ExpectEqual(const SessionMemory& a, const SessionMemory& b) {
    ASSERT_EQ(a.published(), b.published());
    EXPECT_EQ(std::memcmp(a.state(), b.state(), kGeometry.state_bytes), 0);
    for (int32_t layer = 0; layer < 2; ++layer) {
      for (Position block = 0; block * 16 < a.published(); ++block) {
        EXPECT_EQ(std::memcmp(a.pages(layer)[block], b.pages(layer)[block], kLayout.page_bytes()),
                  0)
            << "block " << block << " of layer " << layer;
      }
      for (int64_t tile = 0; tile < b.tile_count() / 2; ++tile) {
        EXPECT_EQ(std::memcmp(a.tiles(layer)[tile], b.tiles(layer)[tile],
                              kLayout.tile_bytes(b.summary())),
                  0)
            << "tile " << tile << " of layer " << layer;
      }
    }
  }

  SlowArena arena_{size_t{64} << 20};
  HostArena host_arena_{size_t{64} << 20};
  HostIndexer indexer_;
  MemoryPool pool_{&arena_,
                   &indexer_,
                   kGeometry,
                   {.max_pages = 400, .max_host_pages = 100, .max_state_slots = 6},
                   &host_arena_};
};

TEST_F(SessionImageTest, ASessionComesBackAsItWas) {
  for (Position end : {Position{1}, Position{16}, Position{256}, kPosition}) {
    const auto session = Make(end);
    ExpectEqual(*session, *Restore(*session->Image(0, 0), SummaryKind::kBounds));
  }
}

TEST_F(SessionImageTest, AnImageStaysWhileTheSessionGoesOnAndGoes) {
  auto session = Make(kPosition);
  const auto expected = Make(kPosition);
  const auto image = session->Image(0, 0);
  Advance(*session, kPosition + 100);
  session.reset();
  const auto other = Make(300);  // takes pages that would be free
  ExpectEqual(*expected, *Restore(*image, SummaryKind::kBounds));
}

TEST_F(SessionImageTest, BlocksOnTheHostAndTheirCopiesAreReadThere) {
  const auto expected = Make(kPosition);
  auto session = Make(kPosition);
  ASSERT_EQ(session->MoveToHost(1, 30, 58), 58);
  const ChosenBlocks chosen{session->page_table(0), {2, 3}};
  arena_.progress = [] { return Arena::Progress::kRunning; };
  pool_.BetweenSteps({&chosen, 1});
  auto image = session->Image(0, 0);
  arena_.progress = [] { return Arena::Progress::kDone; };
  pool_.BetweenSteps({&chosen, 1});
  ASSERT_EQ(pool_.promoted()->size(), 2);
  ExpectEqual(*expected, *Restore(*image, SummaryKind::kBounds));
  EXPECT_EQ(session->MoveToHost(0, 37, 100), 0) << "what an image shares stays where it is";
  session.reset();
  EXPECT_GT(pool_.host_pages()->used_count(), 0) << "the image holds them";
  image.reset();
  EXPECT_EQ(pool_.promoted()->size(), 0) << "a copy of a page that nobody has";
}

TEST_F(SessionImageTest, AnotherIndexIsBuiltFromThePages) {
  const auto bounds = Make(kPosition), means = Make(kPosition, SummaryKind::kMean);
  ExpectEqual(*means, *Restore(*bounds->Image(0, 0), SummaryKind::kMean));
  ExpectEqual(*bounds, *Restore(*means->Image(0, 0), SummaryKind::kBounds));
  const auto none = Make(kPosition, SummaryKind::kNone);
  ExpectEqual(*bounds, *Restore(*none->Image(0, 0), SummaryKind::kBounds));
  ExpectEqual(*means, *Restore(*bounds->Image(0, 0), SummaryKind::kNone));
}

TEST_F(SessionImageTest, OnlyWhatIsAskedForIsHeld) {
  auto session = Make(kPosition);
  const auto image = session->Image(30, 2);
  EXPECT_EQ(image->pages()[0].parts.size(), 8u) << "30 to 36, and the partial one";
  EXPECT_EQ(image->tiles()[1].parts.size(), 1u);
  session.reset();
  EXPECT_EQ(pool_.pages().used_count(), 2 * 7);
  EXPECT_EQ(pool_.tiles().used_count(), 0);
}

TEST_F(SessionImageTest, WhatTheDeviceHasNoRoomForStandsOnTheHost) {
  const auto session = Make(kPosition);
  const auto other = pool_.pages().Allocate(pool_.pages().free_count() - 2 * 20);
  const auto back = Restore(*session->Image(0, 0), SummaryKind::kBounds);
  EXPECT_EQ(pool_.host_pages()->used_count(), 2 * 18);
  EXPECT_EQ(pool_.pages().free_count(), 0);
  ExpectEqual(*session, *back);
  for (PageId page : *other) pool_.pages().Release(page);
}

TEST_F(SessionImageTest, NoRoomTakesNothing) {
  const auto session = Make(kPosition);
  const int32_t used = pool_.pages().used_count();
  for (Position position : {Position{1} << 20, Position{1} << 50}) {
    EXPECT_EQ(SessionLoad::Begin(&pool_, {.position = position, .last_far = 50}).status().code(),
              absl::StatusCode::kResourceExhausted);
  }
  EXPECT_EQ(pool_.pages().used_count(), used);
  EXPECT_EQ(pool_.slots().used_count(), 1);
}

}  // namespace
}  // namespace eidetic::memory
