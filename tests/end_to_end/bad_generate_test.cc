// Every field of GenerateRequest that can be wrong, at its limit and beyond.
#include <functional>
#include <limits>

#include "tests/end_to_end/bad_input_fixture.h"

namespace eidetic::testing {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr int32_t kLowest = std::numeric_limits<int32_t>::min();
constexpr int32_t kHighest = std::numeric_limits<int32_t>::max();

using Request = v1::GenerateRequest;
using Sampling = v1::SamplingParameters;

struct Bad {
  const char* field;  // that the refusal names
  std::function<void(Request*)> spoil;
};

class BadGenerateTest : public BadInputTest {
 protected:
  void ExpectRefused(const std::vector<Bad>& requests) {
    for (const Bad& bad : requests) {
      Request request = Greedy(" and", 2);
      bad.spoil(&request);
      SCOPED_TRACE(request.ShortDebugString().substr(0, 300));
      const absl::Status status = Read(session_->Generate(request)).status;
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
      EXPECT_EQ(BadField(status), bad.field) << status;
      EXPECT_LT(status.message().size(), 1100u);
      ExpectUnharmed();
    }
  }
};

Bad Number(const char* field, void (Sampling::*set)(float), float value) {
  return {field, [=](Request* r) { (r->mutable_sampling()->*set)(value); }};
}

TEST_F(BadGenerateTest, AbsurdSampling) {
  std::vector<Bad> bad;
  for (const float value : {kNan, kInfinity, -kInfinity, -1e30f, 1e30f, 100.5f, -100.5f}) {
    bad.push_back(Number("sampling.temperature", &Sampling::set_temperature, value));
    bad.push_back(Number("sampling.top_p", &Sampling::set_top_p, value));
    bad.push_back(Number("sampling.min_p", &Sampling::set_min_p, value));
    bad.push_back(Number("sampling.repetition_penalty", &Sampling::set_repetition_penalty, value));
    bad.push_back(Number("sampling.presence_penalty", &Sampling::set_presence_penalty, value));
    bad.push_back(Number("sampling.frequency_penalty", &Sampling::set_frequency_penalty, value));
    bad.push_back({"sampling.logit_bias[7]",
                   [=](Request* r) { (*r->mutable_sampling()->mutable_logit_bias())[7] = value; }});
  }
  bad.push_back(Number("sampling.top_p", &Sampling::set_top_p, 0));
  bad.push_back(Number("sampling.repetition_penalty", &Sampling::set_repetition_penalty, 0));
  bad.push_back({"sampling.top_k", [](Request* r) { r->mutable_sampling()->set_top_k(-1); }});
  bad.push_back({"sampling.logit_bias[6144]",
                 [](Request* r) { (*r->mutable_sampling()->mutable_logit_bias())[6144] = 1; }});
  bad.push_back({"sampling.logit_bias", [](Request* r) {
                   for (int i = 0; i < 1025; ++i) {
                     (*r->mutable_sampling()->mutable_logit_bias())[i] = 1;
                   }
                 }});
  ExpectRefused(bad);
}

TEST_F(BadGenerateTest, ExtremeSamplingWithinTheLimitsIsServed) {
  Request request = Sampled(" and", 4, std::numeric_limits<uint64_t>::max());
  Sampling& sampling = *request.mutable_sampling();
  sampling.set_temperature(100);
  sampling.set_top_k(kHighest);
  sampling.set_top_p(1e-30f);
  sampling.set_min_p(1);
  sampling.set_repetition_penalty(1e-30f);
  sampling.set_presence_penalty(-100);
  sampling.set_frequency_penalty(100);
  for (int i = 0; i < 1024; ++i) (*sampling.mutable_logit_bias())[i] = i % 2 == 0 ? 100 : -100;
  auto fork = session_->Fork({.temporary = true});
  ASSERT_TRUE(fork.ok());
  request.set_logprobs(20);
  const Answer answer = Read(fork->Generate(request));
  EXPECT_EQ(answer.tokens.size(), 4u) << answer.status;
  for (const float logprob : answer.logprobs) EXPECT_LE(logprob, 0);
  fork->Delete().IgnoreError();
  ExpectUnharmed();
}

TEST_F(BadGenerateTest, NumbersOutOfRange) {
  std::vector<Bad> bad;
  for (const int32_t value : {0, -1, kLowest, 65537, kHighest}) {
    bad.push_back({"max_tokens", [=](Request* r) { r->set_max_tokens(value); }});
  }
  for (const int32_t value : {-1, kLowest, 21, kHighest}) {
    bad.push_back({"logprobs", [=](Request* r) { r->set_logprobs(value); }});
  }
  bad.push_back({"resume_from", [](Request* r) { r->set_resume_from(-1); }});
  bad.push_back({"expected_position", [](Request* r) { r->set_expected_position(-1); }});
  ExpectRefused(bad);
}

TEST_F(BadGenerateTest, BadPrompts) {
  std::vector<Bad> bad = {
      {"prompt", [](Request* r) { r->mutable_prompt()->Clear(); }},
      {"prompt.text", [](Request* r) { r->mutable_prompt()->set_text(""); }},
      {"prompt.tokens", [](Request* r) { r->mutable_prompt()->mutable_tokens(); }},
      {"prompt.messages", [](Request* r) { r->mutable_prompt()->mutable_messages(); }},
  };
  for (const int32_t id : {-1, 6144, kLowest, kHighest}) {
    bad.push_back({"prompt.tokens.ids[1]", [=](Request* r) {
                     r->mutable_prompt()->mutable_tokens()->add_ids(5);
                     r->mutable_prompt()->mutable_tokens()->add_ids(id);
                   }});
  }
  for (const char* role : {"", "root", "User", "user\n"}) {
    bad.push_back({"prompt.messages", [=](Request* r) {
                     auto* message = r->mutable_prompt()->mutable_messages()->add_messages();
                     message->set_role(role);
                     message->set_content("hello");
                   }});
  }
  ExpectRefused(bad);
}

TEST_F(BadGenerateTest, BadStopsAndIds) {
  ExpectRefused({
      {"stop_strings[0]", [](Request* r) { r->add_stop_strings(""); }},
      {"stop_strings[0]", [](Request* r) { r->add_stop_strings(std::string(257, 'x')); }},
      {"stop_strings",
       [](Request* r) {
         for (int i = 0; i < 17; ++i) r->add_stop_strings("x");
       }},
      {"stop_tokens[0]", [](Request* r) { r->add_stop_tokens(6144); }},
      {"stop_tokens",
       [](Request* r) {
         for (int i = 0; i < 65; ++i) r->add_stop_tokens(i);
       }},
      {"request_id", [](Request* r) { r->set_request_id(std::string(129, 'r')); }},
      {"parent", [](Request* r) { r->set_parent("tenants/default"); }},
      {"model", [](Request* r) { r->set_model("models/other"); }},
      {"attention", [](Request* r) { r->mutable_attention()->set_window_tokens(64); }},
  });
}

TEST_F(BadGenerateTest, BadAttentionWithoutASession) {
  const auto spoil = [](const std::function<void(v1::AttentionSettings*)>& edit) {
    Request request = Greedy("x", 1);
    edit(request.mutable_attention());
    return request;
  };
  const Request requests[] = {
      spoil([](auto* a) { a->set_window_tokens(-1); }),
      spoil([](auto* a) { a->set_window_tokens(kHighest); }),
      spoil([](auto* a) { a->set_span_blocks(-1); }),
      spoil([](auto* a) { a->set_span_blocks(kHighest); }),
      spoil([](auto* a) { a->set_sink_blocks(kLowest); }),
      spoil([](auto* a) { a->set_sink_blocks(kHighest); }),
      spoil([](auto* a) { a->set_first_candidates(-1); }),
      spoil([](auto* a) { a->set_candidate_budget(-1); }),
      spoil([](auto* a) { a->set_policy(static_cast<v1::AttentionPolicy>(99)); }),
      spoil([](auto* a) { a->set_rule(static_cast<v1::RetrievalRule>(-7)); }),
  };
  for (const Request& request : requests) {
    SCOPED_TRACE(request.ShortDebugString());
    const absl::Status status = Read(client_.Generate(request)).status;
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_EQ(BadField(status).rfind("attention", 0), 0u) << status;
  }
  ExpectUnharmed();
}

}  // namespace
}  // namespace eidetic::testing
