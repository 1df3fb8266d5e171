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

// Reads the last question's key out of `past` and looks for its statement: everywhere,
// or under WINDOW only in the end of `past`.
FakeAnswer AnswerFromPast(const std::string& past, v1::AttentionPolicy policy) {
  const std::string asks = "What is the special magic number for ";
  const size_t key_begin = past.rfind(asks) + asks.size();
  const std::string key = past.substr(key_begin, past.find(' ', key_begin) - key_begin);
  const std::string tells = "numbers for " + key + " is: ";
  const size_t from = policy == v1::ATTENTION_POLICY_WINDOW && past.size() > kFakeWindow
                          ? past.size() - kFakeWindow
                          : 0;
  const size_t told = past.find(tells, from);
  if (told == std::string::npos) return {" 0000000.", {}};
  v1::Passage passage;
  passage.set_begin_position(told);
  passage.set_text(past.substr(told, tells.size() + 8));
  return {" " + past.substr(told + tells.size(), 7) + ".", {passage}};
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
