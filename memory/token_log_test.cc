#include "memory/token_log.h"

#include <gtest/gtest.h>

#include <random>
#include <utility>

namespace eidetic::memory {
namespace {

std::vector<TokenId> Tokens(int count) { return std::vector<TokenId>(count, 5); }

// The chunks as pairs, from the beginning of the log to its end.
std::vector<std::pair<Position, Position>> Chunks(const TokenLog& log, int32_t size) {
  std::vector<std::pair<Position, Position>> chunks;
  Position at = 0;
  for (Chunk chunk = log.ChunkAt(at, size); !chunk.empty(); chunk = log.ChunkAt(at, size)) {
    chunks.emplace_back(chunk.begin, chunk.end);
    at = chunk.end;
  }
  return chunks;
}

TEST(TokenLog, WorkedExample) {
  TokenLog log;
  log.Append(Tokens(6));
  log.Append(Tokens(3));
  log.AppendGenerated(1);
  log.AppendGenerated(2);
  const std::vector<std::pair<Position, Position>> expected = {{0, 4}, {4, 6},  {6, 8},
                                                               {8, 9}, {9, 10}, {10, 11}};
  EXPECT_EQ(Chunks(log, 4), expected);
  EXPECT_EQ(log.KindAt(8), TokenKind::kAppended);
  EXPECT_EQ(log.KindAt(9), TokenKind::kGenerated);
  EXPECT_EQ(log.ChunkAt(9, 4).kind, TokenKind::kGenerated);
}

TEST(TokenLog, EmptyLogHasNoChunk) {
  TokenLog log;
  log.Append({});
  EXPECT_EQ(log.size(), 0);
  EXPECT_TRUE(log.ChunkAt(0, 512).empty());
}

TEST(TokenLog, AppendsThatEndOnABorderAreNotCutTwice) {
  TokenLog log;
  log.Append(Tokens(4));
  log.Append(Tokens(4));
  EXPECT_EQ(Chunks(log, 4), (std::vector<std::pair<Position, Position>>{{0, 4}, {4, 8}}));
}

TEST(TokenLog, BordersAreAbsoluteAfterGeneration) {
  TokenLog log;
  log.AppendGenerated(1);
  log.Append(Tokens(8));
  log.AppendGenerated(1);
  EXPECT_EQ(Chunks(log, 4),
            (std::vector<std::pair<Position, Position>>{{0, 1}, {1, 4}, {4, 8}, {8, 9}, {9, 10}}));
}

TEST(TokenLog, ChunksOfOneToken) {
  TokenLog log;
  log.Append(Tokens(3));
  EXPECT_EQ(Chunks(log, 1), (std::vector<std::pair<Position, Position>>{{0, 1}, {1, 2}, {2, 3}}));
}

TEST(TokenLog, SliceHoldsTheTokens) {
  TokenLog log;
  log.Append(std::vector<TokenId>{10, 11, 12});
  log.AppendGenerated(13);
  const std::span<const TokenId> slice = log.Slice(1, 4);
  EXPECT_EQ(std::vector<TokenId>(slice.begin(), slice.end()), (std::vector<TokenId>{11, 12, 13}));
  EXPECT_TRUE(log.Slice(4, 4).empty());
}

TEST(TokenLog, ChunksTileTheLogAndKeepToTheirRun) {
  std::mt19937 random(3);
  for (int round = 0; round < 200; ++round) {
    TokenLog log;
    std::vector<int> append_of;  // of each position; -1: generated
    for (int i = 0; i < 20; ++i) {
      const int count = random() % 12;
      if (random() % 3 == 0) {
        log.AppendGenerated(1);
        append_of.push_back(-1);
      } else {
        log.Append(Tokens(count));
        append_of.insert(append_of.end(), count, i);
      }
    }
    const int32_t size = 1 + random() % 9;
    Position at = 0;
    for (const auto& [begin, end] : Chunks(log, size)) {
      ASSERT_EQ(begin, at);
      at = end;
      if (append_of[begin] < 0) {
        ASSERT_EQ(end, begin + 1);
        continue;
      }
      ASSERT_EQ(append_of[begin], append_of[end - 1]);
      ASSERT_EQ(begin / size, (end - 1) / size) << "spans a multiple of the chunk size";
      const bool at_border =
          end % size == 0 || end == log.size() || append_of[end] != append_of[begin];
      ASSERT_TRUE(at_border) << "cut where nothing asks for it";
    }
    ASSERT_EQ(at, log.size());
  }
}

TEST(TokenLogDeathTest, NoChunkBeginsInsideAnother) {
  TokenLog log;
  log.Append(Tokens(6));
  EXPECT_DEATH(log.ChunkAt(2, 4), "no chunk begins at 2");
  EXPECT_DEATH(log.ChunkAt(7, 4), "position 7");
  EXPECT_DEATH(log.Slice(2, 7), "\\[2, 7\\)");
}

TEST(TokenLogTest, APrefixKeepsTheBeginningOfAnAppendThatIsCut) {
  TokenLog log;
  log.Append(std::vector<TokenId>{1, 2, 3, 4, 5, 6});
  log.Append(std::vector<TokenId>{7, 8, 9});
  log.AppendGenerated(10);
  log.AppendGenerated(11);
  EXPECT_EQ(log.RunEnd(5), 6);
  EXPECT_EQ(log.RunEnd(9), 11);
  const TokenLog cut = log.Prefix(8);
  EXPECT_EQ(cut.size(), 8);
  EXPECT_EQ(cut.RunEnd(6), 8);
  EXPECT_EQ(cut.ChunkAt(6, 4).end, 8);
  EXPECT_EQ(log.Prefix(6).RunEnd(0), 6);
  EXPECT_EQ(log.Prefix(10).KindAt(9), TokenKind::kGenerated);
  EXPECT_EQ(log.Prefix(0).size(), 0);
  TokenLog longer = cut;
  longer.Append(std::vector<TokenId>{9});
  EXPECT_EQ(longer.ChunkAt(8, 4).end, 9) << "a new append begins where the old one was cut";
}

TEST(TokenLogTest, ACommonPrefixEndsWhereTokensKindsOrAppendsDiffer) {
  TokenLog log;
  log.Append(std::vector<TokenId>{1, 2, 3, 4});
  log.AppendGenerated(5);
  EXPECT_EQ(log.CommonPrefix(log), 5);
  EXPECT_EQ(log.CommonPrefix(log.Prefix(3)), 3);
  EXPECT_EQ(log.Prefix(3).CommonPrefix(log), 3);
  EXPECT_EQ(log.CommonPrefix({}), 0);
  TokenLog other_token = log.Prefix(3);
  other_token.Append(std::vector<TokenId>{4, 5});
  EXPECT_EQ(log.CommonPrefix(other_token), 3) << "the same tokens in two appends";
  TokenLog other_kind = log.Prefix(4);
  other_kind.Append(std::vector<TokenId>{5});
  EXPECT_EQ(log.CommonPrefix(other_kind), 4);
  TokenLog other = log.Prefix(2);
  other.AppendGenerated(9);
  EXPECT_EQ(other.CommonPrefix(log), 2);
}

}  // namespace
}  // namespace eidetic::memory
