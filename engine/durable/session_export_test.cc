#include "engine/durable/session_export.h"

#include <gmock/gmock.h>

#include <random>

#include "memory/durable/checksum.h"

namespace eidetic {
namespace {

using ::testing::HasSubstr;

const ExportBinding kHere = {
    .model_hash = "abc", .block_tokens = 32, .query_chunk_tokens = 512, .vocab_size = 4000};

ExportedSession Example() {
  ExportedSession session;
  memory::SpanSettings settings = {.window_tokens = 64, .span_blocks = 3, .sink_blocks = 0};
  settings.remap_positions = false;
  session.settings = memory::SettingsHistory(settings);
  settings.policy = memory::AttentionPolicy::kFull;
  session.settings.Change(600, settings);
  settings.policy = memory::AttentionPolicy::kWindow;
  session.settings.Change(710, settings);
  std::vector<memory::TokenId> tokens(700);
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int32_t>(i * 37 % 4000);
  session.log.Append(std::span(tokens).first(600));
  session.log.Append(std::span(tokens).last(100));
  for (int token = 0; token < 9; ++token) session.log.AppendGenerated(token);
  session.log.Append(std::span(tokens).first(1));
  return session;
}

TEST(SessionExportTest, ComesBackWhole) {
  const ExportedSession session = Example();
  const auto back = DecodeExport(EncodeExport(session, kHere), kHere);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->log.size(), session.log.size());
  EXPECT_EQ(back->log.CommonPrefix(session.log), session.log.size());
  EXPECT_EQ(back->settings, session.settings);
  const auto empty = DecodeExport(EncodeExport({}, kHere), kHere);
  ASSERT_TRUE(empty.ok()) << empty.status();
  EXPECT_EQ(empty->log.size(), 0);
}

TEST(SessionExportTest, SettingsBehindTheEndAreRefused) {
  ExportedSession session = Example();
  session.settings.Change(session.log.size() + 1, {});
  EXPECT_EQ(DecodeExport(EncodeExport(session, kHere), kHere).status().code(),
            absl::StatusCode::kDataLoss);
}

TEST(SessionExportTest, AnotherServerIsRefusedAndToldWhy) {
  const std::string bytes = EncodeExport(Example(), kHere);
  ExportBinding other = kHere;
  other.model_hash = "abd";
  EXPECT_THAT(std::string(DecodeExport(bytes, other).status().message()),
              HasSubstr("model content hash: the export's is abc"));
  other = kHere;
  other.block_tokens = 16;
  EXPECT_THAT(std::string(DecodeExport(bytes, other).status().message()),
              HasSubstr("block_tokens"));
  other = kHere;
  other.query_chunk_tokens = 256;
  const absl::Status status = DecodeExport(bytes, other).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("query_chunk_tokens"));
  other = kHere;
  other.vocab_size = 3000;
  EXPECT_EQ(DecodeExport(bytes, other).status().code(), absl::StatusCode::kDataLoss);
}

TEST(SessionExportTest, EveryByteThatIsFlippedIsFound) {
  const std::string bytes = EncodeExport(Example(), kHere);
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (const char mask : {'\x01', '\x80', '\xff'}) {
      std::string damaged = bytes;
      damaged[i] ^= mask;
      EXPECT_FALSE(DecodeExport(damaged, kHere).ok()) << i;
    }
  }
}

TEST(SessionExportTest, RandomBitsAreFound) {
  const std::string bytes = EncodeExport(Example(), kHere);
  std::mt19937_64 random(7);
  for (int i = 0; i < 10'000; ++i) {
    std::string damaged = bytes;
    for (uint64_t flips = 1 + random() % 4; flips > 0; --flips) {
      damaged[random() % bytes.size()] ^= static_cast<char>(1 << random() % 8);
    }
    EXPECT_TRUE(damaged == bytes || !DecodeExport(damaged, kHere).ok()) << i;
  }
}

TEST(SessionExportTest, EveryOtherLengthIsFound) {
  const std::string bytes = EncodeExport(Example(), kHere);
  for (size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_FALSE(DecodeExport(bytes.substr(0, length), kHere).ok()) << length;
  }
  EXPECT_EQ(DecodeExport(bytes.substr(0, 100), kHere).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(DecodeExport(bytes + '\0', kHere).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(DecodeExport("no export", kHere).status().code(), absl::StatusCode::kInvalidArgument);
}

// Who computes a checksum of their own gets no further than their own bytes.
TEST(SessionExportTest, HostileBodiesAreBounded) {
  const std::string bytes = EncodeExport(Example(), kHere);
  std::mt19937_64 random(9);
  for (int i = 0; i < 3'000; ++i) {
    std::string hostile = bytes.substr(0, bytes.size() - 8);
    for (int flips = 0; flips < 3; ++flips) {
      hostile[20 + random() % (hostile.size() - 20)] = static_cast<char>(random());
    }
    const uint64_t checksum = memory::Checksum(hostile);
    for (int b = 0; b < 8; ++b) hostile.push_back(static_cast<char>(checksum >> (8 * b)));
    const auto session = DecodeExport(hostile, kHere);
    EXPECT_TRUE(!session.ok() || session->log.size() <= static_cast<int64_t>(hostile.size()));
  }
}

}  // namespace
}  // namespace eidetic
