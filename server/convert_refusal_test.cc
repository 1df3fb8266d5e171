#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/convert.h"
#include "server/fake_engine.h"

namespace eidetic {
namespace {

using ::testing::StartsWith;

// A change that makes a good request bad, and the field that the refusal must name.
struct BadRequest {
  const char* field;
  std::function<void(v1::GenerateRequest&)> spoil;
};

std::vector<BadRequest> BadSampling() {
  using R = v1::GenerateRequest;
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInf = std::numeric_limits<float>::infinity();
  return {
      {"sampling.temperature", [](R& r) { r.mutable_sampling()->set_temperature(-0.1f); }},
      {"sampling.temperature", [](R& r) { r.mutable_sampling()->set_temperature(100.5f); }},
      {"sampling.temperature", [](R& r) { r.mutable_sampling()->set_temperature(kNan); }},
      {"sampling.temperature", [](R& r) { r.mutable_sampling()->set_temperature(kInf); }},
      {"sampling.top_k", [](R& r) { r.mutable_sampling()->set_top_k(-1); }},
      {"sampling.top_p", [](R& r) { r.mutable_sampling()->set_top_p(0); }},
      {"sampling.top_p", [](R& r) { r.mutable_sampling()->set_top_p(1.01f); }},
      {"sampling.top_p", [](R& r) { r.mutable_sampling()->set_top_p(kNan); }},
      {"sampling.min_p", [](R& r) { r.mutable_sampling()->set_min_p(-0.5f); }},
      {"sampling.min_p", [](R& r) { r.mutable_sampling()->set_min_p(kNan); }},
      {"sampling.repetition_penalty",
       [](R& r) { r.mutable_sampling()->set_repetition_penalty(0); }},
      {"sampling.repetition_penalty",
       [](R& r) { r.mutable_sampling()->set_repetition_penalty(kInf); }},
      {"sampling.presence_penalty", [](R& r) { r.mutable_sampling()->set_presence_penalty(101); }},
      {"sampling.frequency_penalty",
       [](R& r) { r.mutable_sampling()->set_frequency_penalty(kNan); }},
      {"sampling.logit_bias[5]",
       [](R& r) { (*r.mutable_sampling()->mutable_logit_bias())[5] = -101; }},
      {"sampling.logit_bias[5]",
       [](R& r) { (*r.mutable_sampling()->mutable_logit_bias())[5] = kNan; }},
      {"sampling.logit_bias[-1]",
       [](R& r) { (*r.mutable_sampling()->mutable_logit_bias())[-1] = 1; }},
      {"sampling.logit_bias[260]",
       [](R& r) { (*r.mutable_sampling()->mutable_logit_bias())[260] = 1; }},
      {"sampling.logit_bias",
       [](R& r) {
         for (int i = 0; i <= kMaxLogitBias; ++i) {
           (*r.mutable_sampling()->mutable_logit_bias())[i] = 1;
         }
       }},
  };
}

std::vector<BadRequest> BadTargetsAndPrompts() {
  using R = v1::GenerateRequest;
  return {
      {"session", [](R& r) { r.clear_session(); }},
      {"session", [](R& r) { r.set_session("acme/chat"); }},
      {"session", [](R& r) { r.set_session("tenants/a/sessions/" + std::string(64, 'x')); }},
      {"parent", [](R& r) { r.set_parent("tenants/acme"); }},
      {"parent", [](R& r) { r.clear_session(), r.set_parent("acme"); }},
      {"attention", [](R& r) { r.mutable_attention(); }},
      {"attention",
       [](R& r) {
         r.clear_session(), r.set_parent("tenants/acme");
         r.mutable_attention()->set_span_blocks(-1);
       }},
      {"attention.policy",
       [](R& r) {
         r.clear_session(), r.set_parent("tenants/acme");
         r.mutable_attention()->set_policy(v1::AttentionPolicy(9));
       }},
      {"attention.rule",
       [](R& r) {
         r.clear_session(), r.set_parent("tenants/acme");
         r.mutable_attention()->set_rule(v1::RetrievalRule(-3));
       }},
      {"model", [](R& r) { r.set_model("models/fake"); }},
      {"model",
       [](R& r) {
         r.clear_session(), r.set_parent("tenants/acme");
         r.set_model("models/other");
       }},
      {"prompt",
       [](R& r) {
         r.clear_session(), r.set_parent("tenants/acme");
         r.clear_prompt();
       }},
      {"prompt", [](R& r) { r.mutable_prompt()->clear_form(); }},
      {"prompt.text", [](R& r) { r.mutable_prompt()->set_text(""); }},
      {"prompt.text", [](R& r) { r.mutable_prompt()->set_text("a\xFF"); }},
      {"prompt.tokens", [](R& r) { r.mutable_prompt()->mutable_tokens(); }},
      {"prompt.tokens.ids[1]",
       [](R& r) {
         r.mutable_prompt()->mutable_tokens()->add_ids(0);
         r.mutable_prompt()->mutable_tokens()->add_ids(260);
       }},
      {"prompt.tokens.ids[0]", [](R& r) { r.mutable_prompt()->mutable_tokens()->add_ids(-1); }},
      {"prompt.messages", [](R& r) { r.mutable_prompt()->mutable_messages(); }},
      {"prompt.messages",
       [](R& r) { r.mutable_prompt()->mutable_messages()->add_messages()->set_role("robot"); }},
  };
}

std::vector<BadRequest> BadLimits() {
  using R = v1::GenerateRequest;
  return {
      {"max_tokens", [](R& r) { r.set_max_tokens(0); }},
      {"max_tokens", [](R& r) { r.set_max_tokens(65537); }},
      {"logprobs", [](R& r) { r.set_logprobs(-1); }},
      {"logprobs", [](R& r) { r.set_logprobs(21); }},
      {"stop_strings",
       [](R& r) {
         for (int i = 0; i < 17; ++i) r.add_stop_strings("x");
       }},
      {"stop_strings[0]", [](R& r) { r.add_stop_strings(""); }},
      {"stop_strings[1]",
       [](R& r) {
         r.add_stop_strings("x");
         r.add_stop_strings(std::string(257, 'x'));
       }},
      {"stop_tokens",
       [](R& r) {
         for (int i = 0; i < 65; ++i) r.add_stop_tokens(1);
       }},
      {"stop_tokens[0]", [](R& r) { r.add_stop_tokens(9999); }},
      {"request_id", [](R& r) { r.set_request_id(std::string(129, 'x')); }},
      {"resume_from", [](R& r) { r.set_request_id("a"), r.set_resume_from(-1); }},
      {"resume_from", [](R& r) { r.set_resume_from(1); }},
      {"expected_position", [](R& r) { r.set_expected_position(-1); }},
      {"expected_position",
       [](R& r) {
         r.clear_session(), r.set_parent("tenants/acme");
         r.set_expected_position(1);
       }},
  };
}

TEST(ConvertRefusalTest, EveryBadFieldIsNamedWithARemedy) {
  FakeEngine engine;
  const ServedModel served{&engine, "models/fake", "fake"};
  for (const auto& table : {BadSampling(), BadTargetsAndPrompts(), BadLimits()}) {
    for (size_t row = 0; row < table.size(); ++row) {
      v1::GenerateRequest request;
      request.set_session("tenants/acme/sessions/chat");
      request.mutable_prompt()->set_text("Hi");
      table[row].spoil(request);
      const absl::Status status = ToGenerateSpec(request, served).status();
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << table[row].field;
      EXPECT_THAT(std::string(status.message()), StartsWith(absl::StrCat(table[row].field, ": ")))
          << "row " << row;
    }
  }
}

}  // namespace
}  // namespace eidetic
