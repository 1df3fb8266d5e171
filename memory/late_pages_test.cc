#include "memory/late_pages.h"

#include <gtest/gtest.h>

#include <cstring>

#include "memory/host_arena.h"

namespace eidetic::memory {
namespace {

constexpr size_t kPageBytes = 64;
constexpr BlockIndex kFirst = 3;
constexpr int32_t kLayers = 2, kBlocks = 4;

class LatePagesTest : public testing::Test {
 protected:
  LatePagesTest() {
    for (int32_t layer = 0; layer < kLayers; ++layer) {
      auto& places = places_.emplace_back();
      const auto pages = store_.Allocate(kBlocks);
      for (PageId page : *pages) {
        places.push_back({&store_, page, store_.Address(page)});
      }
    }
    late_.emplace(places_, kFirst);
  }

  // [layer * 100 + block] of the next page; -1: none.
  int Next() {
    const auto page = late_->Next();
    if (!page) return -1;
    given_.push_back(*page);
    return page->layer * 100 + page->block;
  }
  void Give() {  // what the engine's table held
    for (const auto& layer : places_) {
      for (const PageTable::Place& place : layer) store_.Release(place.id);
    }
  }

  HostArena arena_{size_t{1} << 24};
  PageStore store_{&arena_, kPageBytes, 16};
  std::vector<std::vector<PageTable::Place>> places_;
  std::vector<LatePages::Page> given_;
  std::optional<LatePages> late_;
};

TEST_F(LatePagesTest, WantedPagesFirstThenTheOthersInTheOrderOfTheDisk) {
  EXPECT_EQ(Next(), 3);
  late_->Want({1, 5});
  late_->Want({0, 3});  // is being read
  late_->Want({0, 6});
  late_->Want({1, 5});
  EXPECT_EQ(Next(), 105);
  EXPECT_EQ(Next(), 6);
  for (int page : {4, 5, 103, 104, 106}) EXPECT_EQ(Next(), page);
  EXPECT_EQ(Next(), -1);
  Give();
}

TEST_F(LatePagesTest, TellsWhenAllThatIsWantedHasCome) {
  late_->Want({1, 5});
  late_->Want({0, 4});
  EXPECT_TRUE(late_->wanted());
  Next(), Next(), Next();  // the third: nobody waits for it
  EXPECT_FALSE(late_->Landed(given_[0]));
  EXPECT_FALSE(late_->Landed(given_[2]));
  EXPECT_TRUE(late_->wanted());
  EXPECT_TRUE(late_->Landed(given_[1]));
  EXPECT_FALSE(late_->wanted());
  EXPECT_EQ(late_->TakeLanded().size(), 3u);
  EXPECT_TRUE(late_->TakeLanded().empty());
  late_->Want(given_[1]);
  EXPECT_FALSE(late_->wanted()) << "it is there";
  Give();
}

TEST_F(LatePagesTest, APageThatTheSessionGaveBackServesNobodyWhileItIsRead) {
  Next();
  Give();
  EXPECT_EQ(store_.used_count(), kLayers * kBlocks);
  late_->Abandon();
  EXPECT_EQ(Next(), -1);
  const std::vector<std::byte> bytes(kPageBytes, std::byte{7});
  late_->Write(given_[0], bytes);
  EXPECT_EQ(std::memcmp(places_[0][0].address, bytes.data(), kPageBytes), 0);
  late_.reset();
  EXPECT_EQ(store_.used_count(), 0);
}

}  // namespace
}  // namespace eidetic::memory
