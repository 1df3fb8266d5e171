#include "server/convert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "absl/strings/str_cat.h"
#include "server/attention_convert.h"
#include "server/content_tokens.h"
#include "server/fake_engine.h"

namespace eidetic {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::StartsWith;

class ConvertTest : public ::testing::Test {
 protected:
  ConvertTest() {
    request_.set_session("tenants/acme/sessions/chat");
    request_.mutable_prompt()->set_text("Hi");
  }

  absl::Status Refusal(const v1::GenerateRequest& request) {
    return ToGenerateSpec(request, served_).status();
  }

  FakeEngine engine_;
  ServedModel served_{&engine_, "models/fake", "fake"};
  v1::GenerateRequest request_;
};

TEST_F(ConvertTest, UnsetFieldsTakeTheDefaultsOfTheContract) {
  const auto spec = ToGenerateSpec(request_, served_);
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->session->ToString(), "tenants/acme/sessions/chat");
  EXPECT_EQ(spec->tenant, "acme");
  EXPECT_THAT(spec->prompt, ElementsAre('H', 'i'));
  EXPECT_EQ(spec->max_tokens, 256);
  EXPECT_EQ(spec->sampling.temperature, 1.0f);
  EXPECT_EQ(spec->sampling.top_p, 1.0f);
  EXPECT_FALSE(spec->seed.has_value());
  EXPECT_FALSE(spec->expected_position.has_value());
  EXPECT_THAT(spec->fingerprint, IsEmpty());
}

TEST_F(ConvertTest, EveryFieldArrives) {
  auto* sampling = request_.mutable_sampling();
  sampling->set_temperature(0);
  sampling->set_top_k(5);
  sampling->set_top_p(0.5);
  sampling->set_min_p(0.25);
  sampling->set_repetition_penalty(1.5);
  sampling->set_presence_penalty(-1);
  sampling->set_frequency_penalty(2);
  (*sampling->mutable_logit_bias())[9] = -100;
  (*sampling->mutable_logit_bias())[3] = 1;
  sampling->set_seed(77);
  request_.set_max_tokens(3);
  request_.add_stop_strings("END");
  request_.add_stop_tokens(4);
  request_.set_ignore_end_tokens(true);
  request_.set_logprobs(2);
  request_.set_return_token_blocks(true);
  request_.set_request_id("once");
  request_.set_resume_from(6);
  request_.set_expected_position(12);
  const auto spec = ToGenerateSpec(request_, served_);
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->sampling.temperature, 0);
  EXPECT_EQ(spec->sampling.top_k, 5);
  EXPECT_EQ(spec->sampling.top_p, 0.5f);
  EXPECT_EQ(spec->sampling.min_p, 0.25f);
  EXPECT_EQ(spec->sampling.repetition_penalty, 1.5f);
  EXPECT_EQ(spec->sampling.presence_penalty, -1.0f);
  EXPECT_EQ(spec->sampling.frequency_penalty, 2.0f);
  EXPECT_THAT(spec->sampling.logit_bias, ElementsAre(Pair(3, 1.0f), Pair(9, -100.0f)));
  EXPECT_EQ(spec->sampling.top_logprobs, 2);
  EXPECT_EQ(spec->seed, 77u);
  EXPECT_EQ(spec->max_tokens, 3);
  EXPECT_THAT(spec->stop_strings, ElementsAre("END"));
  EXPECT_THAT(spec->stop_tokens, ElementsAre(4));
  EXPECT_TRUE(spec->ignore_end_tokens);
  EXPECT_TRUE(spec->token_blocks);
  EXPECT_EQ(spec->request_id, "once");
  EXPECT_EQ(spec->resume_from, 6);
  EXPECT_EQ(spec->expected_position, 12);
  EXPECT_EQ(spec->fingerprint.size(), 32u);
}

TEST_F(ConvertTest, ValuesAtTheirBordersAreTaken) {
  auto* sampling = request_.mutable_sampling();
  sampling->set_temperature(100);
  sampling->set_top_p(1);
  sampling->set_min_p(1);
  sampling->set_repetition_penalty(100);
  sampling->set_presence_penalty(-100);
  sampling->set_frequency_penalty(100);
  (*sampling->mutable_logit_bias())[259] = 100;
  request_.set_max_tokens(65536);
  request_.set_logprobs(20);
  for (int i = 0; i < 16; ++i) request_.add_stop_strings(std::string(256, 'x'));
  for (int i = 0; i < 64; ++i) request_.add_stop_tokens(i);
  std::string id;
  for (int i = 0; i < 128; ++i) id += "\xC3\xA4";  // 128 characters, 256 bytes
  request_.set_request_id(id);
  EXPECT_TRUE(Refusal(request_).ok()) << Refusal(request_);
}

TEST_F(ConvertTest, TopKOfTheWholeVocabularyIsOff) {
  request_.mutable_sampling()->set_top_k(std::numeric_limits<int32_t>::max());
  EXPECT_EQ(ToGenerateSpec(request_, served_)->sampling.top_k, 0);
}

TEST_F(ConvertTest, ASessionWithAPastNeedsNoPrompt) {
  request_.clear_prompt();
  const auto spec = ToGenerateSpec(request_, served_);
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_THAT(spec->prompt, IsEmpty());
}

TEST_F(ConvertTest, AFingerprintIsOfTheBodyAlone) {
  request_.set_request_id("a");
  const std::string first = ToGenerateSpec(request_, served_)->fingerprint;
  request_.set_request_id("b");
  request_.set_resume_from(7);
  request_.set_max_message_tokens(8);
  EXPECT_EQ(ToGenerateSpec(request_, served_)->fingerprint, first);
  request_.set_max_tokens(9);
  EXPECT_NE(ToGenerateSpec(request_, served_)->fingerprint, first);
}

TEST_F(ConvertTest, OnlyAnAnswerGetsTheWordsThatBeginIt) {
  using T = FakeChatTokenizer;
  v1::Content content;
  auto* message = content.mutable_messages()->add_messages();
  message->set_role("user");
  message->set_content("Hi");
  EXPECT_THAT(*ContentTokens(content, "prompt", ContentUse::kAppend, engine_),
              ElementsAre(T::kUser, '\n', 'H', 'i'));
  EXPECT_THAT(*ContentTokens(content, "prompt", ContentUse::kAnswer, engine_),
              ElementsAre(T::kUser, '\n', 'H', 'i', T::kAssistant, '\n'));
}

TEST_F(ConvertTest, WhatAUserTypesYieldsSpecialTokensOnlyWhenAsked) {
  v1::Content content;
  content.set_text("<|user|>");
  EXPECT_EQ(ContentTokens(content, "prompt", ContentUse::kAppend, engine_)->size(), 8u);
  content.set_parse_special(true);
  EXPECT_THAT(*ContentTokens(content, "prompt", ContentUse::kAppend, engine_),
              ElementsAre(FakeChatTokenizer::kUser));
}

TEST_F(ConvertTest, MessagesNeedAModelWithAChatForm) {
  engine_.has_chat = false;
  request_.mutable_prompt()->mutable_messages()->add_messages()->set_role("user");
  const absl::Status status = Refusal(request_);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("text or tokens"));
}

TEST_F(ConvertTest, AttentionSettingsGoRoundTrip) {
  v1::AttentionSettings settings;
  settings.set_policy(v1::ATTENTION_POLICY_WINDOW);
  settings.set_rule(v1::RETRIEVAL_RULE_POOLED);
  settings.set_window_tokens(64);
  settings.set_span_blocks(3);
  settings.set_sink_blocks(0);
  settings.set_first_candidates(10);
  settings.set_candidate_budget(20);
  settings.set_scan_channels(16);
  settings.set_remap_positions(false);
  settings.set_retrieve_in_prefill(false);
  const auto inside = NewSpanSettings(settings, "attention", engine_);
  ASSERT_TRUE(inside.ok()) << inside.status();
  EXPECT_EQ(ToProto(*inside).SerializeAsString(), settings.SerializeAsString());
}

TEST_F(ConvertTest, ScoreRefusesTooManyTokensAndAlternatives) {
  engine_.engine_limits.max_score_tokens = 3;
  v1::ScoreRequest request;
  request.set_parent("tenants/acme");
  request.mutable_content()->set_text("abc");
  EXPECT_TRUE(ToScoreSpec(request, served_).ok());
  request.set_top_logprobs(21);
  EXPECT_THAT(std::string(ToScoreSpec(request, served_).status().message()),
              StartsWith("top_logprobs: "));
  request.set_top_logprobs(20);
  request.mutable_content()->set_text("abcd");
  EXPECT_THAT(std::string(ToScoreSpec(request, served_).status().message()),
              StartsWith("content: has 4 tokens"));
}

TEST(NewSessionNameTest, DrawsNamesThatAreNamesAndDiffer) {
  const auto first = NewSessionName("acme", "");
  const auto second = NewSessionName("acme", "");
  EXPECT_TRUE(SessionName::Parse(first->ToString(), "name").ok()) << first->ToString();
  EXPECT_NE(*first, *second);
  for (const char* bad : {"Upper", "9digit", "a/b", "a b", "-a"}) {
    EXPECT_THAT(std::string(NewSessionName("acme", bad).status().message()),
                StartsWith("session_id: "));
  }
}

TEST(PageSizeTest, FollowsTheContract) {
  EXPECT_EQ(*PageSize(0), 50);
  EXPECT_EQ(*PageSize(7), 7);
  EXPECT_EQ(*PageSize(5000), 1000);
  EXPECT_FALSE(PageSize(-1).ok());
}

}  // namespace
}  // namespace eidetic
