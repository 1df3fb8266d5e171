#include "clients/cpp/append.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "clients/cpp/client.h"
#include "clients/cpp/testing/fake_server.h"

namespace eidetic::client {
namespace {

class AppendTest : public ::testing::Test {
 protected:
  AppendTest() {
    for (int i = 0; i < 40; ++i) text_ += "Paragraph " + std::to_string(i) + ".\n\n";
    options_.part_bytes = 64;
    options_.first_backoff = absl::Milliseconds(1);
    options_.on_progress = [this](const AppendProgress& progress) { told_.push_back(progress); };
  }

  testing::FakeServer server_;
  Client client_ = Client::Connect(server_.address());
  Session session_ = *client_.CreateSession({.id = "book"});
  std::string text_;
  AppendOptions options_;
  std::vector<AppendProgress> told_;
};

TEST_F(AppendTest, SendsEverythingOnceAndTellsHowFar) {
  const auto progress = session_.Append(text_, options_);
  ASSERT_TRUE(progress.ok()) << progress.status();
  EXPECT_EQ(server_.TextOf(session_.name()), text_);
  EXPECT_EQ(progress->bytes_acknowledged, static_cast<int64_t>(text_.size()));
  EXPECT_EQ(session_.position(), static_cast<int64_t>(text_.size()));
  EXPECT_GT(told_.size(), 5u);
  for (size_t i = 1; i < told_.size(); ++i) {
    EXPECT_GE(told_[i].bytes_acknowledged, told_[i - 1].bytes_acknowledged);
  }
}

TEST_F(AppendTest, GoesOnAfterABreak) {
  server_.faults.break_append_after = 3;
  ASSERT_TRUE(session_.Append(text_, options_).ok());
  EXPECT_EQ(server_.TextOf(session_.name()), text_);
}

TEST_F(AppendTest, SendsNoPartTwiceWhenItsAnswerWasLost) {
  for (int taken : {1, 2, 5}) {
    Session session = *client_.CreateSession();
    server_.faults.break_append_after = taken;
    server_.faults.lose_last_answer = true;
    const auto progress = session.Append(text_, options_);
    ASSERT_TRUE(progress.ok()) << progress.status();
    EXPECT_EQ(server_.TextOf(session.name()), text_);
    EXPECT_EQ(progress->bytes_acknowledged, static_cast<int64_t>(text_.size()));
  }
}

TEST_F(AppendTest, GivesUpAfterItsRetriesAndTellsHowFarItCame) {
  options_.max_retries = 0;
  server_.faults.break_append_after = 3;
  const auto progress = session_.Append(text_, options_);
  EXPECT_TRUE(absl::IsUnavailable(progress.status()));
  EXPECT_THAT(std::string(progress.status().message()), ::testing::HasSubstr("bytes appended"));
  EXPECT_EQ(session_.position(), static_cast<int64_t>(server_.TextOf(session_.name())->size()));
}

TEST_F(AppendTest, RefusesAnUnexpectedPositionWithoutRetrying) {
  options_.expected_position = 7;
  const auto progress = session_.Append(text_, options_);
  EXPECT_TRUE(absl::IsFailedPrecondition(progress.status())) << progress.status();
  EXPECT_EQ(server_.TextOf(session_.name()), "");
}

TEST_F(AppendTest, AppendsNothingOfAnEmptyText) {
  const auto progress = session_.Append("", options_);
  ASSERT_TRUE(progress.ok());
  EXPECT_EQ(progress->position, 0);
}

TEST_F(AppendTest, ACancelledClientEndsAtOnce) {
  options_.first_backoff = absl::Hours(1);
  server_.faults.break_append_after = 1;
  options_.on_progress = [this](const AppendProgress&) { client_.Cancel(); };
  EXPECT_TRUE(absl::IsCancelled(session_.Append(text_, options_).status()));
}

}  // namespace
}  // namespace eidetic::client
