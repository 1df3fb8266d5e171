#include "tests/bench/recall_bench/calls.h"

#include <gmock/gmock.h>

#include "clients/cpp/testing/fake_server.h"

namespace eidetic::bench {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using FakeAnswer = client::testing::FakeServer::Answer;

constexpr char kTwoStage[] = R"({"policy": "ATTENTION_POLICY_SE_ATTN",
                                 "rule": "RETRIEVAL_RULE_TWO_STAGE", "span_blocks": 4})";

class CallsTest : public ::testing::Test {
 protected:
  json Serve(const json& request) { return json::parse(calls_.Serve(request.dump())); }

  json Read(const std::vector<std::string>& ids) {
    json haystacks = json::array();
    for (const std::string& id : ids) {
      haystacks.push_back(
          {{"id", id},
           {"pieces", json::array({{{"text", "In " + id}, {"special", true}},
                                   {{"text", " is gold. "}, {"special", false}}})}});
    }
    return Serve({{"op", "read"}, {"attention", json::parse(kTwoStage)}, {"haystacks", haystacks}});
  }

  json Ask(const std::string& id, const std::vector<std::string>& questions) {
    return Serve({{"op", "ask"},
                  {"id", id},
                  {"attention", {{"policy", "ATTENTION_POLICY_WINDOW"}}},
                  {"max_tokens", 9},
                  {"parallel", 2},
                  {"questions", questions}});
  }

  client::testing::FakeServer server_;
  Calls calls_{client::Client::Connect(server_.address())};
};

TEST_F(CallsTest, EachQuestionIsAskedInAForkOfWhatWasRead) {
  server_.answer = [](const std::string& past, v1::AttentionPolicy policy) {
    return FakeAnswer{policy == v1::ATTENTION_POLICY_WINDOW ? past + "!" : "", {}};
  };
  EXPECT_EQ(Read({"a", "b"})["tokens"], json({14, 14}));
  const json answers = Ask("b", {"1?", "2?", "3?"})["answers"];
  ASSERT_EQ(answers.size(), 3u);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(answers[i]["text"], "In b is gold. " + std::to_string(i + 1) + "?!");
  }
  EXPECT_EQ(server_.SessionNames().size(), 2u);
  EXPECT_EQ(Serve({{"op", "drop"}, {"id", "a"}}), json::object());
  EXPECT_EQ(server_.SessionNames().size(), 1u);
}

TEST_F(CallsTest, CountsAndScores) {
  EXPECT_EQ(Serve({{"op", "count"}, {"text", "four"}})["tokens"], 4);
  Read({"a"});
  const json score = Serve({{"op", "score"}, {"id", "a"}, {"text", "more"}});
  EXPECT_EQ(score["tokens"], 4);
  EXPECT_EQ(score["logprob"], -6.0);
}

TEST_F(CallsTest, TellsWhatIsWrong) {
  EXPECT_THAT(calls_.Serve("no json"), HasSubstr("error"));
  EXPECT_THAT(calls_.Serve("{}"), HasSubstr("op"));
  EXPECT_EQ(Ask("nobody", {"?"})["code"], "NOT_FOUND");
  EXPECT_EQ(
      Serve(
          {{"op", "read"}, {"attention", {{"policy", 1.5}}}, {"haystacks", json::array()}})["code"],
      "INVALID_ARGUMENT");
  Read({"a"});
  EXPECT_EQ(Read({"a"})["code"], "ALREADY_EXISTS");
}

TEST_F(CallsTest, AFailedReadLeavesNoSession) {
  server_.faults.status = grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "full");
  EXPECT_EQ(Read({"a", "b"})["code"], "RESOURCE_EXHAUSTED");
  EXPECT_THAT(server_.SessionNames(), IsEmpty());
}

}  // namespace
}  // namespace eidetic::bench
