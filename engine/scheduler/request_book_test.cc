#include "engine/scheduler/request_book.h"

#include <gtest/gtest.h>

namespace eidetic {
namespace {

enum class Stage { kRunning, kInterrupted, kFinished };

std::shared_ptr<Request> NewRequest(Stage stage, int64_t second) {
  auto request = std::make_shared<Request>();
  request->record = std::make_shared<GenerationRecord>([] {});
  request->record->Publish(GenerationStart{});
  if (stage == Stage::kFinished) request->record->Publish(GenerationFinish{});
  request->ended = stage == Stage::kFinished;
  request->running = stage == Stage::kRunning;
  request->facts.last_used = absl::FromUnixSeconds(second);
  return request;
}

TEST(RequestBookTest, MakesRoomByForgettingTheOldestFinished) {
  RequestBook book;
  ASSERT_TRUE(book.Add("interrupted", NewRequest(Stage::kInterrupted, 1), 3).ok());
  ASSERT_TRUE(book.Add("old", NewRequest(Stage::kFinished, 2), 3).ok());
  ASSERT_TRUE(book.Add("new", NewRequest(Stage::kFinished, 3), 3).ok());
  ASSERT_TRUE(book.Add("next", NewRequest(Stage::kRunning, 4), 3).ok());
  EXPECT_EQ(book.Find("old"), nullptr);
  EXPECT_NE(book.Find("interrupted"), nullptr);
  EXPECT_NE(book.Find("new"), nullptr);
}

TEST(RequestBookTest, NeverForgetsWhatRuns) {
  RequestBook book;
  ASSERT_TRUE(book.Add("a", NewRequest(Stage::kRunning, 1), 2).ok());
  ASSERT_TRUE(book.Add("b", NewRequest(Stage::kInterrupted, 2), 2).ok());
  ASSERT_TRUE(book.Add("c", NewRequest(Stage::kRunning, 3), 2).ok());
  EXPECT_EQ(book.Find("b"), nullptr);
  EXPECT_EQ(book.Add("d", NewRequest(Stage::kRunning, 4), 2).code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_NE(book.Find("a"), nullptr);
}

TEST(RequestBookTest, ExpiresWhatRestedTooLong) {
  RequestBook book;
  ASSERT_TRUE(book.Add("a", NewRequest(Stage::kFinished, 10), 9).ok());
  ASSERT_TRUE(book.Add("b", NewRequest(Stage::kRunning, 10), 9).ok());
  ASSERT_TRUE(book.Add("c", NewRequest(Stage::kInterrupted, 20), 9).ok());
  book.Expire(absl::FromUnixSeconds(20));
  EXPECT_EQ(book.Find("a"), nullptr);
  EXPECT_NE(book.Find("b"), nullptr);
  EXPECT_NE(book.Find("c"), nullptr);
  EXPECT_FALSE(book.empty());
}

}  // namespace
}  // namespace eidetic
