#include "memory/durable/journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "memory/durable/faulty_env.h"
#include "memory/durable/journal_testing.h"

namespace eidetic::memory {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

class JournalTest : public testing::Test {
 protected:
  std::unique_ptr<Journal> Open() {
    auto journal = Journal::Open(options_);
    EXPECT_TRUE(journal.ok()) << journal.status();
    return journal.ok() ? *std::move(journal) : nullptr;
  }
  static Records All(const Journal& journal) { return *ReadRecords(journal); }

  TestFolder folder_{"journal"};
  FaultyEnv disk_;
  JournalOptions options_{.folder = folder_.path(), .env = disk_.env()};
};

TEST_F(JournalTest, ReopenedItHasEverything) {
  auto journal = Open();
  ASSERT_TRUE(journal->Commit(PutBatch("a", "1")).ok());
  JournalBatch second;
  second.Put("b", "2");
  second.Put("c", std::string("\0\xff", 2));
  second.Delete("a");
  ASSERT_TRUE(journal->Commit(std::move(second)).ok());
  journal = nullptr;
  journal = Open();
  EXPECT_THAT(All(*journal), ElementsAre(Pair("b", "2"), Pair("c", std::string("\0\xff", 2))));
  EXPECT_EQ(*journal->Get("b"), "2");
  EXPECT_EQ(journal->Get("a").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(JournalTest, WorksOnTheSystemsEnvToo) {
  options_.env = nullptr;
  auto journal = Open();
  ASSERT_TRUE(journal->Commit(PutBatch("a", "1")).ok());
  journal = nullptr;
  EXPECT_THAT(All(*Open()), ElementsAre(Pair("a", "1")));
}

TEST_F(JournalTest, DoneRunsInOrderAndDestructionCommitsWhatWaits) {
  disk_.set_sync_time(absl::Milliseconds(2));
  std::vector<int> order;
  auto journal = Open();
  for (int i = 0; i < 200; ++i) {
    journal->Submit(PutBatch("k" + std::to_string(i), "v"), [&order, i](absl::Status status) {
      EXPECT_TRUE(status.ok()) << status;
      order.push_back(i);
    });
  }
  journal = nullptr;
  ASSERT_EQ(order.size(), 200u);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
  EXPECT_EQ(All(*Open()).size(), 200u);
}

TEST_F(JournalTest, WhatIsSubmittedDuringASyncGoesIntoTheNext) {
  auto journal = Open();
  disk_.set_sync_time(absl::Milliseconds(50));
  for (int i = 0; i < 300; ++i) {
    journal->Submit(PutBatch("k" + std::to_string(i), "v"), [](absl::Status) {});
  }
  ASSERT_TRUE(journal->Commit(PutBatch("last", "v")).ok());
  const JournalStats stats = journal->stats();
  EXPECT_EQ(stats.batches, 301);
  EXPECT_LE(stats.commits, 6);
  EXPECT_GE(stats.commits, 1);
  EXPECT_GE(stats.sync_seconds, 0.05);
  EXPECT_EQ(stats.waiting_bytes, 0);
}

TEST_F(JournalTest, AnEmptyBatchIsDurableWithWhatCameBefore) {
  auto journal = Open();
  std::atomic<bool> before = false;
  disk_.set_sync_time(absl::Milliseconds(20));
  journal->Submit(PutBatch("a", "1"), [&](absl::Status status) { before = status.ok(); });
  EXPECT_TRUE(journal->Commit(JournalBatch()).ok());
  EXPECT_TRUE(before);
}

TEST_F(JournalTest, SubmitWaitsForNoSyncAndTellsWhatWaits) {
  auto journal = Open();
  constexpr absl::Duration kSync = absl::Milliseconds(300);
  disk_.set_sync_time(kSync);
  const absl::Time begin = absl::Now();
  for (int i = 0; i < 100; ++i) {
    journal->Submit(PutBatch("k" + std::to_string(i), std::string(50'000, 'x')),
                    [](absl::Status status) { EXPECT_TRUE(status.ok()) << status; });
  }
  EXPECT_LT(absl::Now() - begin, kSync);
  EXPECT_GE(journal->stats().waiting_bytes, 99 * 50'000);
  ASSERT_TRUE(journal->Commit(JournalBatch()).ok());
  EXPECT_EQ(journal->stats().waiting_bytes, 0);
}

TEST_F(JournalTest, ADoneMaySubmit) {
  auto journal = Open();
  disk_.set_sync_time(absl::Milliseconds(5));
  absl::Notification finished;
  journal->Submit(PutBatch("a", "1"), [&](absl::Status) {
    journal->Submit(PutBatch("b", "2"), [](absl::Status) {});
    journal->Submit(PutBatch("c", "3"), [&](absl::Status) { finished.Notify(); });
  });
  EXPECT_TRUE(finished.WaitForNotificationWithTimeout(absl::Seconds(20)));
}

TEST_F(JournalTest, ASecondOpenIsRefusedAndNamesTheFolder) {
  auto journal = Open();
  ASSERT_TRUE(journal->Commit(PutBatch("a", "1")).ok());
  const absl::Status second = Journal::Open(options_).status();
  EXPECT_EQ(second.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(second.message(), HasSubstr(folder_.path().string()));
  EXPECT_THAT(second.message(), HasSubstr("Is another server using it?"));
  EXPECT_TRUE(journal->Commit(PutBatch("b", "2")).ok());
  journal = nullptr;
  EXPECT_EQ(All(*Open()).size(), 2u);
}

TEST_F(JournalTest, AFolderThatCanNotBeMadeIsRefused) {
  options_.folder = folder_.path() / "no" / "parent";
  EXPECT_EQ(Journal::Open(options_).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(JournalTest, DeletePrefixTakesWhatBeginsWithItAndNothingElse) {
  const std::vector<std::string> keys = {"",
                                         "a",
                                         "a\xff",
                                         "a\xff\xff",
                                         "a\xff\xff"
                                         "b",
                                         "b",
                                         "\xfe\xff",
                                         "\xff",
                                         "\xff\x01",
                                         "\xff\xff",
                                         "\xff\xff\xff",
                                         "ab",
                                         "ac",
                                         std::string("a\0", 2)};
  for (const std::string prefix : {"a", "a\xff", "a\xff\xff", "\xff", "\xff\xff", "ab", "z"}) {
    auto journal = Open();
    JournalBatch batch;
    Records expected;
    for (const std::string& key : keys) {
      batch.Put(key, "v");
      if (!key.starts_with(prefix)) expected[key] = "v";
    }
    ASSERT_TRUE(journal->Commit(std::move(batch)).ok());
    JournalBatch erase;
    erase.DeletePrefix(prefix);
    ASSERT_TRUE(journal->Commit(std::move(erase)).ok());
    EXPECT_EQ(All(*journal), expected) << testing::PrintToString(prefix);
    journal = nullptr;
    EXPECT_EQ(All(*Open()), expected) << testing::PrintToString(prefix);
  }
}

TEST_F(JournalTest, ChangesOfABatchHappenInOrder) {
  auto journal = Open();
  JournalBatch batch;
  batch.Put("s/1", "old");
  batch.Put("s/2", "old");
  batch.DeletePrefix("s/");
  batch.Put("s/2", "new");
  batch.Put("t", "x");
  batch.Delete("t");
  const int64_t bytes = batch.bytes();
  EXPECT_EQ(bytes, 23);
  ASSERT_TRUE(journal->Commit(std::move(batch)).ok());
  EXPECT_THAT(All(*journal), ElementsAre(Pair("s/2", "new")));
  EXPECT_EQ(journal->stats().bytes, bytes);
}

TEST_F(JournalTest, ScanBeginsWhereItIsToldAndEndsWithThePrefix) {
  auto journal = Open();
  JournalBatch batch;
  for (const char* key : {"a", "s/1", "s/2", "s/3", "t"}) batch.Put(key, key);
  ASSERT_TRUE(journal->Commit(std::move(batch)).ok());
  const auto keys = [&](std::string_view prefix, std::string_view begin, size_t most) {
    std::vector<std::string> found;
    EXPECT_TRUE(journal
                    ->Scan(prefix, begin,
                           [&](std::string_view key, std::string_view) {
                             found.emplace_back(key);
                             return found.size() < most;
                           })
                    .ok());
    return found;
  };
  EXPECT_THAT(keys("s/", "", 9), ElementsAre("s/1", "s/2", "s/3"));
  EXPECT_THAT(keys("s/", "s/2", 9), ElementsAre("s/2", "s/3"));
  EXPECT_THAT(keys("s/", "s/2", 1), ElementsAre("s/2"));
  EXPECT_THAT(keys("s/", "s/4", 9), ElementsAre());
  EXPECT_THAT(keys("s/", "u", 9), ElementsAre());
  EXPECT_THAT(keys("", "s/3", 9), ElementsAre("s/3", "t"));
}

TEST_F(JournalTest, ScansWithinAScanHaveTheirOwnPlaces) {
  auto journal = Open();
  for (int round = 0; round < 3; ++round) {
    // What an earlier scan left behind does not hide what was written since.
    JournalBatch batch;
    for (const char* log : {"a", "b"}) batch.Put(absl::StrCat("t/", log, "/", round), log);
    batch.Put(absl::StrCat("s/", round), "");
    ASSERT_TRUE(journal->Commit(std::move(batch)).ok());
    int sessions = 0;
    const absl::Status scanned = journal->Scan("s/", "s/", [&](std::string_view, std::string_view) {
      ++sessions;
      for (const char* log : {"a", "b"}) {
        EXPECT_EQ(ReadRecords(*journal, absl::StrCat("t/", log, "/"))->size(), round + 1u);
        EXPECT_EQ(*journal->Get(absl::StrCat("t/", log, "/", round)), log);
      }
      EXPECT_EQ(journal->Get("t/a").status().code(), absl::StatusCode::kNotFound);
      return true;
    });
    EXPECT_TRUE(scanned.ok()) << scanned;
    EXPECT_EQ(sessions, round + 1);
  }
}

TEST_F(JournalTest, BigBatchesOverManyLogsComeBack) {
  options_.write_buffer_bytes = 256 << 10;
  auto journal = Open();
  Records expected;
  for (int i = 0; i < 12; ++i) {
    JournalBatch batch;
    for (int j = 0; j < 10; ++j) {
      const std::string key = std::to_string(i) + "/" + std::to_string(j);
      expected[key] = std::string(100'000 + i, static_cast<char>('a' + j));
      batch.Put(key, expected[key]);
    }
    ASSERT_TRUE(journal->Commit(std::move(batch)).ok());
  }
  EXPECT_EQ(All(*journal), expected);
  journal = nullptr;
  EXPECT_EQ(All(*Open()), expected);
}

TEST_F(JournalTest, ManyThreadsWriteAndReadAtOnce) {
  auto journal = Open();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        const std::string key = std::to_string(t) + "/" + std::to_string(i);
        ASSERT_TRUE(journal->Commit(PutBatch(key, key)).ok());
        ASSERT_EQ(*journal->Get(key), key);
        if (i % 50 == 0) {
          ASSERT_EQ(ReadRecords(*journal, std::to_string(t) + "/")->size(), i + 1u);
        }
        ASSERT_TRUE(journal->health().ok() && journal->stats().waiting_bytes >= 0);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(All(*journal).size(), 800u);
}

TEST_F(JournalTest, RecoverOfAHealthyJournalDoesNothing) {
  auto journal = Open();
  EXPECT_TRUE(journal->Recover().ok());
  EXPECT_TRUE(journal->health().ok());
}

}  // namespace
}  // namespace eidetic::memory
