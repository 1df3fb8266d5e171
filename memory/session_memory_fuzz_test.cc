// Random lives of many sessions against a model of what each should remember.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <set>
#include <vector>

#include "memory/host_arena.h"
#include "memory/host_indexer.h"
#include "memory/session_memory.h"
#include "memory/slow_arena.h"
#include "memory/span_retrieval.h"

namespace eidetic::memory {
namespace {

constexpr PageLayout kLayout{.block_size = 16, .kv_heads = 2, .head_dim = 2};
constexpr MemoryGeometry kGeometry{.layout = kLayout, .attention_layers = 2, .state_bytes = 64};
constexpr MemoryLimits kOneTier{.max_pages = 150, .max_state_slots = 12};
constexpr MemoryLimits kTwoTiers{.max_pages = 120,
                                 .max_host_pages = 60,
                                 .max_promoted_pages = 9,
                                 .max_promoted_bytes_per_step = 5 * 2 * 2 * 2 * 16 * 4,
                                 .max_state_slots = 12};
constexpr size_t kFloatsPerToken = 2 * 2 * 2;  // keys and values, heads, channels

// A session beside what it should hold: one tag per position, no two alike
// unless a fork shares them.
struct Tracked {
  std::unique_ptr<SessionMemory> memory;
  std::vector<float> tags;
  float state = 0;
};

class Life {
 public:
  explicit Life(const MemoryLimits& limits)
      : limits_(limits), pool_(&arena_, &indexer_, kGeometry, limits, &host_arena_) {
    arena_.progress = [this] {
      const uint32_t dice = random_() % 16;
      return dice == 0  ? Arena::Progress::kFailed
             : dice < 8 ? Arena::Progress::kRunning
                        : Arena::Progress::kDone;
    };
    pool_.set_make_room([this](int64_t pages) { return MoveToHost(pages) > 0; });
  }

  void Run(int steps) {
    for (int step = 0; step < steps; ++step) {
      Step();
      ASSERT_FALSE(testing::Test::HasFailure()) << "step " << step;
    }
    End();
  }

  int64_t refused = 0, forked = 0;
  const PromotionStats& promotion() { return pool_.promoted()->stats(); }

 private:
  void Step() {
    pool_.BetweenSteps(Choices());
    const uint32_t action = random_() % 16;
    if (sessions_.empty() || action == 0) {
      Create();
    } else if (action < 3) {
      Fork(Any());
    } else if (action < 5) {
      sessions_.erase(sessions_.begin() + random_() % sessions_.size());
    } else if (action < 7) {
      Trim(Any());
    } else if (action < 9) {
      Abandon(Any());
    } else {
      Advance(Any());
    }
    CheckCounts();
    if (!sessions_.empty()) CheckContents(Any());
  }

  void End() {
    for (const Tracked& session : sessions_) CheckContents(session);
    sessions_.clear();
    arena_.progress = [] { return Arena::Progress::kDone; };
    pool_.BetweenSteps({});
    CheckCounts();
    if (pool_.host_pages() == nullptr) return;
    EXPECT_EQ(pool_.promoted()->size(), 0);
    EXPECT_EQ(pool_.host_pages()->used_count(), 0);
  }

  Tracked& Any() { return sessions_[random_() % sessions_.size()]; }
  SummaryKind AnyKind() { return static_cast<SummaryKind>(random_() % 4); }

  int64_t MoveToHost(int64_t wanted) {
    int64_t moved = 0;
    for (Tracked& session : sessions_) {
      const auto complete = static_cast<BlockIndex>(session.memory->published() / 16);
      moved += session.memory->MoveToHost(0, complete, wanted);
      if (moved >= wanted) break;
    }
    return moved;
  }

  // What a step might have chosen: a few sessions, a few blocks of one layer each.
  std::vector<ChosenBlocks> Choices() {
    std::vector<ChosenBlocks> choices;
    if (pool_.host_pages() == nullptr) return choices;
    for (Tracked& session : sessions_) {
      const Position complete = session.memory->published() / 16;
      if (complete == 0 || random_() % 2) continue;
      ChosenBlocks& choice = choices.emplace_back();
      choice.table = session.memory->page_table(random_() % kGeometry.attention_layers);
      for (int i = 0; i < 3; ++i) choice.blocks.push_back(random_() % complete);
    }
    return choices;
  }

  void Create() {
    auto created = SessionMemory::Create(&pool_, AnyKind());
    if (!created.ok()) return Refused(created.status());
    sessions_.push_back({.memory = std::move(*created), .tags = {}});
  }

  void Fork(Tracked& parent) {
    auto child = parent.memory->Fork(random_() % 4 ? parent.memory->summary() : AnyKind());
    if (!child.ok()) return Refused(child.status());
    ++forked;
    sessions_.push_back({std::move(*child), parent.tags, parent.state});
  }

  void Trim(Tracked& session) {
    const Position end = session.memory->published() + random_() % 40;
    session.memory->Trim(end);
    ASSERT_LT(session.memory->reserved(), end + kLayout.block_size);
  }

  bool Reserve(Tracked& session, Position end) {
    const Position before = session.memory->reserved();
    if (absl::Status status = session.memory->Reserve(end); !status.ok()) {
      EXPECT_EQ(session.memory->reserved(), before);
      Refused(status);
      return false;
    }
    for (int32_t layer = 0; layer < kGeometry.attention_layers; ++layer) {
      for (Position b = before / 16; b < session.memory->reserved() / 16; ++b) {
        const float* page = static_cast<const float*>(session.memory->pages(layer)[b]);
        EXPECT_TRUE(std::all_of(page, page + 16 * kFloatsPerToken, [](float x) { return x == 0; }))
            << "a fresh page holds foreign bytes";
      }
    }
    return true;
  }

  // Writes positions [published, end) and the next state, as a step does.
  void Write(Tracked& session, Position end, std::vector<float>& tags, float state) {
    SessionMemory& memory = *session.memory;
    for (Position p = memory.published(); p < end; ++p) tags.push_back(next_tag_++);
    for (int32_t layer = 0; layer < kGeometry.attention_layers; ++layer) {
      for (Position p = memory.published(); p < end; ++p) {
        for (size_t i = 0; i < kFloatsPerToken; ++i) Cell(memory, layer, p, i) = tags[p] + layer;
      }
      if (memory.summary() == SummaryKind::kNone) continue;
      for (Position b = memory.published() / 16; b < end / 16; ++b) {
        SummarizeBlock(kLayout, memory.summary(), memory.pages(layer)[b], b,
                       memory.tiles(layer)[b / kTileBlocks]);
      }
    }
    float* next = static_cast<float*>(memory.next_state());
    std::fill(next, next + kGeometry.state_bytes / sizeof(float), state);
  }

  void Advance(Tracked& session) {
    const Position end = session.memory->published() + 1 + random_() % 120;
    if (!Reserve(session, end)) return;
    if (absl::Status status = session.memory->BeginWork(); !status.ok()) return Refused(status);
    session.state = next_tag_++;
    Write(session, end, session.tags, session.state);
    session.memory->Publish(end);
    session.memory->EndWork();
  }

  // A step that is computed and never published.
  void Abandon(Tracked& session) {
    const Position end = session.memory->published() + 1 + random_() % 60;
    if (!Reserve(session, end)) return;
    if (absl::Status status = session.memory->BeginWork(); !status.ok()) return Refused(status);
    std::vector<float> tags = session.tags;
    Write(session, end, tags, next_tag_++);
    session.memory->EndWork();
  }

  // The i-th float of a token: the cells of its keys, then of its values.
  static float& Cell(const SessionMemory& memory, int32_t layer, Position p, size_t i) {
    void* page = memory.pages(layer)[p / 16];
    const int32_t head = i / 2 % 2, d = i % 2, t = p % 16;
    return i < kFloatsPerToken / 2 ? kLayout.Keys(page, head)[d * 16 + t]
                                   : kLayout.Values(page, head)[t * 2 + d];
  }

  void CheckContents(const Tracked& session) {
    const SessionMemory& memory = *session.memory;
    ASSERT_EQ(memory.published(), static_cast<Position>(session.tags.size()));
    const float* state = static_cast<const float*>(memory.state());
    for (size_t i = 0; i < kGeometry.state_bytes / sizeof(float); ++i) {
      ASSERT_EQ(state[i], session.state);
    }
    for (int32_t layer = 0; layer < kGeometry.attention_layers; ++layer) {
      for (Position p = 0; p < memory.published(); ++p) {
        for (size_t i = 0; i < kFloatsPerToken; ++i) {
          ASSERT_EQ(Cell(memory, layer, p, i), session.tags[p] + layer);
        }
      }
      CheckIndex(memory, layer);
    }
  }

  void CheckIndex(const SessionMemory& memory, int32_t layer) {
    const int32_t vectors = SummaryVectors(memory.summary());
    std::vector<Bf16> tile(kLayout.tile_bytes(SummaryKind::kBounds) / sizeof(Bf16));
    for (BlockIndex b = 0; vectors > 0 && b < memory.published() / 16; ++b) {
      SummarizeBlock(kLayout, memory.summary(), memory.pages(layer)[b], b, tile.data());
      const Bf16* held = static_cast<const Bf16*>(memory.tiles(layer)[b / kTileBlocks]);
      const int64_t end = kLayout.SummaryOffset(kLayout.kv_heads, 0, vectors);
      for (int64_t i = b % kTileBlocks; i < end; i += kTileBlocks) ASSERT_EQ(held[i], tile[i]);
    }
  }

  // The stores hold what the sessions' tables name, and nothing else.
  void CheckCounts() {
    std::set<const void*> pages, tiles;
    std::set<PageId> host_pages;
    for (const Tracked& session : sessions_) {
      for (int32_t layer = 0; layer < kGeometry.attention_layers; ++layer) {
        void* const* page = session.memory->pages(layer);
        void* const* tile = session.memory->tiles(layer);
        tiles.insert(tile, tile + session.memory->tile_count() / 2);
        for (int64_t b = 0; b < session.memory->page_count() / 2; ++b) {
          const PageId host = session.memory->page_table(layer)->host_page(b);
          host == PageId() ? (void)pages.insert(page[b]) : (void)host_pages.insert(host);
        }
      }
    }
    const int64_t copies = pool_.promoted() == nullptr ? 0 : pool_.promoted()->size();
    ASSERT_LE(copies, limits_.max_promoted_pages);
    ASSERT_EQ(pool_.pages().used_count(), static_cast<int64_t>(pages.size()) + copies);
    const int64_t on_host = static_cast<int64_t>(host_pages.size());
    if (copies > 0) {  // some may be of pages whose sessions have gone while they were made
      ASSERT_GE(pool_.host_pages()->used_count(), on_host);
      ASSERT_LE(pool_.host_pages()->used_count(), on_host + copies);
    } else if (pool_.host_pages() != nullptr) {
      ASSERT_EQ(pool_.host_pages()->used_count(), on_host);
    }
    ASSERT_EQ(pool_.tiles().used_count(), static_cast<int32_t>(tiles.size()));
    ASSERT_EQ(pool_.slots().used_count(), static_cast<int32_t>(sessions_.size()));
  }

  void Refused(const absl::Status& status) {
    ++refused;
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  }

  std::mt19937 random_{17};
  const MemoryLimits limits_;
  SlowArena arena_{size_t{64} << 20};
  HostArena host_arena_{size_t{64} << 20};
  HostIndexer indexer_;
  MemoryPool pool_;
  std::vector<Tracked> sessions_;
  float next_tag_ = 1;
};

TEST(SessionMemoryFuzz, EverySessionRemembersItsOwnPastAlone) {
  Life life(kOneTier);
  life.Run(20000);
  // The limits were met and forks were made, often enough to mean something.
  EXPECT_GT(life.refused, 500);
  EXPECT_GT(life.forked, 500);
}

TEST(SessionMemoryFuzz, AlsoWhilePagesMoveToTheHostAndBack) {
  Life life(kTwoTiers);
  life.Run(20000);
  EXPECT_GT(life.refused, 500);
  EXPECT_GT(life.forked, 500);
  EXPECT_GT(life.promotion().promoted, 500);
  EXPECT_GT(life.promotion().dropped, 500);
  EXPECT_GT(life.promotion().chosen_on_device, 500);
}

}  // namespace
}  // namespace eidetic::memory
