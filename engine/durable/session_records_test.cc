#include "engine/durable/session_records.h"

#include <gtest/gtest.h>

#include <random>

namespace eidetic {
namespace {

RequestRecord SomeRequest() {
  RequestRecord record;
  record.fingerprint = "print";
  record.settings.sampling = {.temperature = 0.5f,
                              .top_k = 7,
                              .logit_bias = {{3, -1.5f}, {9, 2.0f}},
                              .seed = 1u << 31,
                              .top_logprobs = 2};
  record.settings.max_tokens = 99;
  record.settings.stop_strings = {"", "\n\n", std::string("\0x", 2)};
  record.settings.stop_tokens = {0, 65535};
  record.token_blocks = true;
  record.prompt_begin = int64_t{1} << 40;
  record.prompt_tokens = 3;
  record.last_used = absl::FromUnixNanos(1234567890123456789);
  record.error = absl::AbortedError("moved on");
  record.span = {.policy = memory::AttentionPolicy::kWindow, .span_blocks = 3, .scan_channels = 32};
  record.prompt = {1, 2, 3};
  return record;
}

TokenRecord SomeToken() {
  return {.sampled = {.token = 17, .logprob = -0.25f, .top = {{17, -0.25f}, {4, -3.0f}}},
          .retrieved = true,
          .span = {{5, 0.125}, {9, 0.5}}};
}

TEST(SessionRecordsTest, ARequestComesBackAsItWas) {
  const RequestRecord was = SomeRequest();
  const auto is = Decode<RequestRecord>(Encode(was));
  ASSERT_TRUE(is.ok()) << is.status();
  EXPECT_EQ(Encode(*is), Encode(was));
  EXPECT_EQ(is->settings.stop_strings, was.settings.stop_strings);
  EXPECT_EQ(is->settings.sampling.logit_bias, was.settings.sampling.logit_bias);
  EXPECT_EQ(is->error, was.error);
  EXPECT_EQ(is->span.scan_channels, 32);
  EXPECT_EQ(is->last_used, was.last_used);
  EXPECT_EQ(is->prompt, was.prompt);
}

TEST(SessionRecordsTest, ATokenComesBackAsItWas) {
  const auto is = Decode<TokenRecord>(Encode(SomeToken()));
  ASSERT_TRUE(is.ok()) << is.status();
  EXPECT_EQ(is->sampled.token, 17);
  EXPECT_EQ(is->sampled.logprob, -0.25f);
  ASSERT_EQ(is->sampled.top.size(), 2u);
  EXPECT_EQ(is->sampled.top[1].token, 4);
  ASSERT_EQ(is->span.size(), 2u);
  EXPECT_EQ(is->span[1].block, 9);
  EXPECT_EQ(is->span[1].mass, 0.5);
}

TEST(SessionRecordsTest, CutAndLengthenedRecordsAreRefused) {
  const std::string request = Encode(SomeRequest()), token = Encode(SomeToken());
  for (size_t length = 0; length < request.size(); ++length) {
    EXPECT_FALSE(Decode<RequestRecord>(std::string_view(request).substr(0, length)).ok()) << length;
  }
  for (size_t length = 0; length < token.size(); ++length) {
    EXPECT_FALSE(Decode<TokenRecord>(std::string_view(token).substr(0, length)).ok()) << length;
  }
  EXPECT_FALSE(Decode<RequestRecord>(request + "x").ok());
}

TEST(SessionRecordsTest, ChangedBytesNeverCrashNorAllocateWithoutBound) {
  std::mt19937 random(1);
  for (int round = 0; round < 20000; ++round) {
    std::string bytes = round % 2 == 0 ? Encode(SomeRequest()) : Encode(SomeToken());
    for (int change = 0; change < 3; ++change) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    const auto request = Decode<RequestRecord>(bytes);
    EXPECT_LE(request.ok() ? request->prompt.size() : 0, bytes.size());
    const auto token = Decode<TokenRecord>(bytes);
    EXPECT_LE(token.ok() ? token->span.size() : 0, bytes.size());
    (void)Decode<SessionRecord>(bytes);
    (void)Decode<SnapshotRecord>(bytes);
    (void)Decode<RunRecord>(bytes);
    (void)Decode<LogEnd>(bytes);
    (void)Decode<CreationRecord>(bytes);
  }
}

TEST(SessionRecordsTest, KeysComeBackAndSortByPosition) {
  const RequestKey key{{"acme", "chat"}, std::string("a/b\0c", 5)};
  const auto parsed = ParseRequestKey(KeyOf(key));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->owner, key.owner);
  EXPECT_EQ(parsed->id, key.id);
  const auto loose = ParseRequestKey(KeyOf(RequestKey{{"acme", ""}, "x"}));
  ASSERT_TRUE(loose.ok()) << loose.status();
  EXPECT_TRUE(loose->owner.session.empty());
  EXPECT_EQ(*ParseSessionKey(KeyOf(SessionName{"acme", "chat"})), (SessionName{"acme", "chat"}));
  EXPECT_LT(KeyOfRun(3, 255), KeyOfRun(3, 256));
  EXPECT_LT(KeyOfRun(3, int64_t{1} << 40), KeyOfRun(4, 0));
  EXPECT_EQ(*ParseRunKey(KeyOfRun(3, 77)), 77);
  EXPECT_LT(KeyOfToken(key, 9), KeyOfToken(key, 10));
  EXPECT_TRUE(KeyOfToken(key, 9).starts_with(TokenPrefix(key.owner)));
  for (std::string_view bad : {"", "s/", "s/acme", "s/Acme/chat", "s/acme/chat/more"}) {
    EXPECT_FALSE(ParseSessionKey(bad).ok()) << bad;
  }
  const SnapshotName snapshot{{"acme", "chat"}, "before"};
  EXPECT_EQ(*ParseSnapshotKey(KeyOf(snapshot)), snapshot);
  for (std::string_view bad : {"", "p/acme/chat", "p/acme/chat/", "p/acme/chat/a/b"}) {
    EXPECT_FALSE(ParseSnapshotKey(bad).ok()) << bad;
  }
  for (std::string_view bad : {"", "r/acme/chat", "r/acme/chat/", "r/acme/chat/xyz"}) {
    EXPECT_FALSE(ParseRequestKey(bad).ok()) << bad;
  }
}

TEST(SessionRecordsTest, ASnapshotComesBack) {
  memory::SettingsHistory settings;
  settings.Change(40, {.span_blocks = 3});
  settings.Change(41, {.policy = memory::AttentionPolicy::kFull});
  const std::string bytes = Encode(SnapshotRecord{.segments = {{.log = 7, .begin = 0}, {9, 40}},
                                                  .position = 55,
                                                  .settings = settings,
                                                  .create_time = absl::FromUnixSeconds(3)});
  const auto back = Decode<SnapshotRecord>(bytes);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->position, 55);
  EXPECT_EQ(back->settings, settings);
  EXPECT_EQ(back->segments, (std::vector<LogSegment>{{7, 0}, {9, 40}}));
  for (size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_FALSE(Decode<SnapshotRecord>(std::string_view(bytes).substr(0, length)).ok()) << length;
  }
}

// One request's tokens must not be another's: ids are any bytes.
TEST(SessionRecordsTest, AnExpiryComesBack) {
  const std::string bytes = Encode(ExpiryRecord{absl::Hours(7), absl::FromUnixSeconds(3)});
  const auto back = Decode<ExpiryRecord>(bytes);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->expire_after, absl::Hours(7));
  EXPECT_EQ(back->last_use, absl::FromUnixSeconds(3));
  EXPECT_FALSE(Decode<ExpiryRecord>(std::string_view(bytes).substr(0, 3)).ok());
  EXPECT_FALSE(Decode<ExpiryRecord>(bytes + "x").ok());
}

TEST(SessionRecordsTest, NoRequestsPrefixIsAnothers) {
  const RequestKey one{{"acme", "chat"}, "a"}, other{{"acme", "chat"}, "ab"};
  EXPECT_FALSE(KeyOfToken(other, 1).starts_with(TokenPrefix(one)));
  EXPECT_FALSE(TokenPrefix(SessionName{"acme", "chat2"})
                   .starts_with(TokenPrefix(SessionName{"acme", "chat"})));
}

}  // namespace
}  // namespace eidetic
