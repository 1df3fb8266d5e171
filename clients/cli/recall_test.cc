#include <gmock/gmock.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "clients/cli/cli_test_base.h"

namespace eidetic::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;

using FakeAnswer = client::testing::FakeServer::Answer;

constexpr size_t kFakeWindow = 400;  // characters

// What `past` tells after `tells`, of `size` characters or up to the full stop: looked for
// everywhere, or under WINDOW only in the end of `past`.
FakeAnswer Find(const std::string& past, const std::string& tells, v1::AttentionPolicy policy) {
  const size_t from = policy == v1::ATTENTION_POLICY_WINDOW && past.size() > kFakeWindow
                          ? past.size() - kFakeWindow
                          : 0;
  const size_t told = past.find(tells, from);
  if (told == std::string::npos) return {"nobody knows.", {}};
  const size_t value = told + tells.size();
  v1::Passage passage;
  passage.set_begin_position(told);
  passage.set_text(past.substr(told, past.find('.', told) - told));
  return {past.substr(value, past.find('.', value) - value) + ".", {passage}};
}

// The words between the last `before` in `past` and the next `after`.
std::string LastBetween(const std::string& past, const std::string& before,
                        const std::string& after) {
  const size_t begin = past.rfind(before) + before.size();
  return past.substr(begin, past.find(after, begin) - begin);
}

FakeAnswer AnswerFromPast(const std::string& past, v1::AttentionPolicy policy) {
  if (past.ends_with("text is:")) {
    const std::string key = LastBetween(past, "What is the special magic number for ", " ");
    FakeAnswer answer = Find(past, "numbers for " + key + " is: ", policy);
    answer.text.insert(0, " ");
    return answer;
  }
  const std::string question = LastBetween(past, "<|user|>\n", "<|assistant|>");
  const bool asks_name = question.starts_with("What is my ");
  const std::string subject = asks_name ? LastBetween(past, "What is my ", "?") + " is "
                                        : LastBetween(past, "does my ", " live?") + " lives in ";
  FakeAnswer answer = Find(past, "My " + subject, policy);
  answer.text.insert(0, "Your " + subject);
  return answer;
}

class RecallTest : public CliTestBase {
 protected:
  RecallTest() {
    server_.answer = AnswerFromPast;
    for (int i = 0; i < 300; ++i) book_ += "Paragraph " + std::to_string(i) + " goes on.\n\n";
  }
  std::string book_;
};

TEST_F(RecallTest, AsksEveryFactUnderBothPoliciesAndEndsWithItsLine) {
  EXPECT_EQ(RunCli({"recall", WriteFile(book_), "--facts", "10"}), ExitCode::kOk) << err_;
  EXPECT_EQ(std::count(out_.begin(), out_.end(), '\n'), 1 + 20 + 1);
  const size_t last = out_.rfind('\n', out_.size() - 2) + 1;
  EXPECT_THAT(out_.substr(last), MatchesRegex("recall se_attn=10/10 window=[01]/10 tokens=[0-9]+ "
                                              "seconds=[0-9]+\\.[0-9]\n"));
  EXPECT_EQ(server_.generate_requests().size(), 20u);
  EXPECT_THAT(server_.SessionNames(), IsEmpty());
}

TEST_F(RecallTest, NoQuestionSeesAnother) {
  ASSERT_EQ(RunCli({"recall", WriteFile(book_), "--facts", "3", "--json"}), ExitCode::kOk);
  const auto report = nlohmann::json::parse(out_);
  EXPECT_EQ(report["se_attn_right"], 3);
  EXPECT_EQ(report["answers"].size(), 6u);
  for (const auto& answer : report["answers"]) {
    EXPECT_EQ(answer["right"], answer["answer"] == answer["expected"]);
    if (answer["right"]) {
      EXPECT_GT(answer["tokens_back"], 0);
      EXPECT_THAT(answer["passage"].get<std::string>(),
                  HasSubstr(answer["expected"].get<std::string>()));
    }
  }
}

TEST_F(RecallTest, KeepsTheSessionThatReadTheBook) {
  ASSERT_EQ(RunCli({"recall", WriteFile(book_), "--facts", "2", "--keep", "reader"}),
            ExitCode::kOk);
  EXPECT_THAT(server_.SessionNames(), ElementsAre("tenants/default/sessions/reader"));
  const std::string text = *server_.TextOf("tenants/default/sessions/reader");
  EXPECT_TRUE(text.starts_with("<|user|>\nSome special facts"));
  EXPECT_TRUE(text.ends_with("<|assistant|>\nI will remember that.<|endoftext|>"));
  EXPECT_EQ(text.find("What is the special magic number"), std::string::npos);
}

TEST_F(RecallTest, ReadsNoMoreThanAllowed) {
  ASSERT_EQ(RunCli({"recall", WriteFile(book_), "--facts", "2", "--bytes", "1000", "--keep", "r"}),
            ExitCode::kOk);
  EXPECT_LT(server_.TextOf("tenants/default/sessions/r")->size(), 1400u);
}

TEST_F(RecallTest, AsksEachKindUnderEachRuleInLines) {
  ASSERT_EQ(RunCli({"recall", WriteFile(book_), "--facts", "5", "--chat-facts", "4", "--rules",
                    "two-stage,exact"}),
            ExitCode::kOk)
      << err_;
  const std::string speed =
      " prefill_tokens_per_second=[0-9.]+ decode_tokens_per_second=[0-9.]+ "
      "question_seconds=[0-9.]+\n";
  std::string expected =
      "recall_reading tokens=[0-9]+ seconds=[0-9.]+ prefill_tokens_per_second=[0-9.]+ "
      "retrieval=on\n";
  for (const std::string kind : {"needles", "chat"}) {
    for (const std::string rule : {"two_stage", "exact", "window"}) {
      const std::string all = kind == "needles" ? "5" : "4";
      const std::string right = rule == "window" ? "[01]" : all;
      expected += "recall kind=" + kind + " rule=" + rule + " right=" + right + "/" + all +
                  " tokens=[0-9]+\nrecall_speed kind=" + kind + " rule=" + rule + speed;
    }
  }
  EXPECT_THAT(out_, MatchesRegex(expected));
  EXPECT_EQ(server_.generate_requests().size(), 27u);
  EXPECT_THAT(server_.SessionNames(), IsEmpty());
}

TEST_F(RecallTest, NoWindowAsksUnderTwoStageAlone) {
  ASSERT_EQ(RunCli({"recall", WriteFile(book_), "--facts", "0", "--chat-facts", "3", "--no-window",
                    "--json"}),
            ExitCode::kOk)
      << err_;
  const auto report = nlohmann::json::parse(out_);
  ASSERT_EQ(report["sections"].size(), 1u);
  EXPECT_EQ(report["sections"][0]["kind"], "chat");
  EXPECT_EQ(report["sections"][0]["rule"], "two_stage");
  EXPECT_EQ(report["sections"][0]["right"], 3);
  EXPECT_EQ(report["answers"].size(), 3u);
}

TEST_F(RecallTest, TokensRepeatTheTextButNotTheFacts) {
  // A token of the fake server is a byte; beyond 256k of them retrieval while reading is off.
  const int64_t tokens = 300'000;
  ASSERT_EQ(RunCli({"recall", WriteFile(book_), "--facts", "2", "--tokens", std::to_string(tokens),
                    "--keep", "long", "--json"}),
            ExitCode::kOk)
      << err_;
  const auto report = nlohmann::json::parse(out_);
  EXPECT_NEAR(report["tokens"].get<double>(), tokens, 50);
  EXPECT_EQ(report["retrieval_while_reading"], false);
  EXPECT_EQ(report["sections"][0]["right"], 2);
  const std::string text = *server_.TextOf("tenants/default/sessions/long");
  for (const std::string piece :
       {"One of the special magic numbers for ", "Paragraph 7 goes on."}) {
    size_t count = 0;
    for (size_t at = text.find(piece); at != std::string::npos; at = text.find(piece, at + 1)) {
      ++count;
    }
    EXPECT_GE(count, piece[0] == 'O' ? 2u : tokens / book_.size()) << piece;
    EXPECT_LE(count, piece[0] == 'O' ? 2u : tokens / book_.size() + 1) << piece;
  }
}

TEST_F(RecallTest, RefusesWhatMakesNoSense) {
  const std::string file = WriteFile(book_);
  EXPECT_EQ(RunCli({"recall", file, "--tokens", "0"}), ExitCode::kUsage);
  EXPECT_EQ(RunCli({"recall", file, "--rules", "guess"}), ExitCode::kUsage);
  EXPECT_EQ(RunCli({"recall", file, "--facts", "0"}), ExitCode::kRefused);
  EXPECT_THAT(err_, HasSubstr("chat-facts"));
  EXPECT_EQ(RunCli({"recall", file, "--chat-facts", "49"}), ExitCode::kRefused);
  EXPECT_EQ(RunCli({"recall", file, "--tokens", "500"}), ExitCode::kRefused);
  EXPECT_THAT(err_, HasSubstr("more tokens"));
  EXPECT_EQ(RunCli({"recall", WriteFile(""), "--tokens", "500"}), ExitCode::kRefused);
  EXPECT_THAT(err_, HasSubstr("empty"));
}

TEST_F(RecallTest, LeavesNothingBehindWhenItFails) {
  server_.answer = [this](const std::string&, v1::AttentionPolicy) {
    server_.faults.status = grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "full");
    return FakeAnswer{" 1.", {}};
  };
  EXPECT_EQ(RunCli({"recall", WriteFile(book_)}), ExitCode::kExhausted);
  EXPECT_THAT(server_.SessionNames(), IsEmpty());
  EXPECT_EQ(out_, "");
}

TEST_F(RecallTest, RefusesATextThatIsTooShort) {
  EXPECT_EQ(RunCli({"recall", WriteFile("a\n\nb")}), ExitCode::kRefused);
  EXPECT_THAT(err_, HasSubstr("fewer facts"));
}

}  // namespace
}  // namespace eidetic::cli
