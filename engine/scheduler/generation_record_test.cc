#include "engine/scheduler/generation_record.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "absl/synchronization/notification.h"

namespace eidetic {
namespace {

std::shared_ptr<GenerationRecord> NewRecord(std::function<void()> on_change = [] {}) {
  auto record = std::make_shared<GenerationRecord>(std::move(on_change));
  record->Publish(GenerationStart{.seed = 7});
  return record;
}

void PublishToken(GenerationRecord& record, int64_t number) {
  TokenEvent event;
  event.sequence_number = number;
  record.Publish(event);
}

// Sequence numbers of what the reader can take now; 0 for a start, -1 for an end.
std::vector<int64_t> TakeAll(GenerationReader& reader) {
  std::vector<int64_t> numbers;
  while (auto event = reader.TryNext()) {
    if (const auto* token = std::get_if<TokenEvent>(&*event)) {
      numbers.push_back(token->sequence_number);
    } else {
      numbers.push_back(std::holds_alternative<GenerationStart>(*event) ? 0 : -1);
    }
  }
  return numbers;
}

TEST(GenerationRecordTest, AReaderGetsStartTokensEnd) {
  auto record = NewRecord();
  auto reader = record->Attach(0);
  PublishToken(*record, 1);
  PublishToken(*record, 2);
  EXPECT_FALSE(record->ended());
  record->Publish(GenerationFinish{});
  EXPECT_TRUE(record->finished());
  EXPECT_EQ(record->tokens(), 2);
  EXPECT_EQ(TakeAll(*reader), (std::vector<int64_t>{0, 1, 2, -1}));
}

TEST(GenerationRecordTest, AReaderThatComesBackStartsAfterWhatItSaw) {
  auto record = NewRecord();
  for (int64_t n = 1; n <= 3; ++n) PublishToken(*record, n);
  auto reader = record->Attach(2);
  EXPECT_EQ(TakeAll(*reader), (std::vector<int64_t>{0, 3}));
  auto ahead = record->Attach(3);
  EXPECT_EQ(TakeAll(*ahead), (std::vector<int64_t>{0}));
  PublishToken(*record, 4);
  EXPECT_EQ(TakeAll(*ahead), (std::vector<int64_t>{4}));
}

TEST(GenerationRecordTest, AnErrorEndsWithoutAFinish) {
  auto record = NewRecord();
  record->Publish(absl::InternalError("broken"));
  EXPECT_TRUE(record->ended());
  EXPECT_FALSE(record->finished());
  EXPECT_EQ(record->tokens(), 0);
}

TEST(GenerationRecordTest, LagIsTheSlowestReaders) {
  auto record = NewRecord();
  EXPECT_EQ(record->slowest_lag(), std::nullopt);
  auto slow = record->Attach(0);
  auto quick = record->Attach(0);
  PublishToken(*record, 1);
  TakeAll(*quick);
  EXPECT_EQ(record->slowest_lag(), 2);
  slow.reset();
  EXPECT_EQ(record->slowest_lag(), 0);
  EXPECT_EQ(record->readers(), 1);
}

TEST(GenerationRecordTest, AReaderDoesNotLagByWhatItHasSeen) {
  auto record = NewRecord();
  for (int64_t n = 1; n <= 5; ++n) PublishToken(*record, n);
  auto reader = record->Attach(5);
  reader->TryNext();  // the start
  EXPECT_EQ(reader->TryNext(), std::nullopt);
  EXPECT_EQ(record->slowest_lag(), 0);
  auto waiting = record->Attach(5);
  waiting->TryNext();
  waiting->NotifyWhenReady([] {});
  EXPECT_EQ(record->slowest_lag(), 0);
}

TEST(GenerationRecordTest, NotifiesOnceAndOnlyWhenThereIsSomethingNew) {
  auto record = NewRecord();
  auto reader = record->Attach(1);
  int calls = 0;
  reader->NotifyWhenReady([&] { ++calls; });
  EXPECT_EQ(calls, 1) << "the start is there already";
  TakeAll(*reader);
  reader->NotifyWhenReady([&] { ++calls; });
  PublishToken(*record, 1);
  EXPECT_EQ(calls, 1) << "this reader has seen token 1";
  PublishToken(*record, 2);
  EXPECT_EQ(calls, 2);
  PublishToken(*record, 3);
  EXPECT_EQ(calls, 2);
}

TEST(GenerationRecordTest, TellsWhenAReaderCatchesUpAndLeaves) {
  int changes = 0;
  auto record = NewRecord([&] { ++changes; });
  auto reader = record->Attach(0);
  PublishToken(*record, 1);
  reader->TryNext();
  EXPECT_EQ(changes, 0);
  reader->TryNext();
  EXPECT_EQ(changes, 1);
  reader.reset();
  EXPECT_EQ(changes, 2);
}

TEST(GenerationRecordTest, ReadersOnOtherThreadsMissNothing) {
  constexpr int64_t kTokens = 2000;
  auto record = NewRecord();
  std::vector<std::thread> threads;
  std::atomic<int64_t> seen{0};
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&, reader = record->Attach(0)] {
      int64_t expected = 0;
      while (expected <= kTokens) {
        auto ready = std::make_shared<absl::Notification>();
        reader->NotifyWhenReady([ready] { ready->Notify(); });
        ready->WaitForNotification();
        for (int64_t number : TakeAll(*reader)) {
          if (number < 0) return;
          ASSERT_EQ(number, expected++);
          seen += number > 0;
        }
      }
    });
  }
  for (int64_t n = 1; n <= kTokens; ++n) PublishToken(*record, n);
  record->Publish(GenerationFinish{});
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(seen, 3 * kTokens);
  EXPECT_EQ(record->readers(), 0);
}

}  // namespace
}  // namespace eidetic
