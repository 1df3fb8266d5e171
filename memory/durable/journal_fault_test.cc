// The journal on a disk that crashes, fills up and fails.
#include <gtest/gtest.h>
#include <rocksdb/env.h>

#include <atomic>
#include <functional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "memory/durable/faulty_env.h"
#include "memory/durable/journal_testing.h"

namespace eidetic::memory {
namespace {

constexpr int kCrashRuns = 100;
constexpr int kCrashesOfARun = 4;
constexpr int kFaults = 30;
constexpr int kThreads = 32;

// After a failed flush RocksDB sleeps for a second: the cases do it together.
void ForEachCase(int count, const std::function<void(int)>& run) {
  std::atomic<int> next = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = next++; i < count && !testing::Test::HasFailure(); i = next++) {
        SCOPED_TRACE(i);
        run(i);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// A run of numbered batches. Batch i puts two records, rewrites a common one and now and then
// deletes all records of the ten before: each has its trace, all are small tables soon.
std::string Name(int i) { return "b/" + std::to_string(1'000'000 + i); }

JournalBatch Numbered(int i, size_t bytes) {
  JournalBatch batch;
  if (i % 10 == 9) batch.DeletePrefix("scratch/");
  batch.Put(Name(i) + "/1", std::string(bytes, static_cast<char>('a' + i % 26)));
  batch.Put("scratch/" + Name(i), "s");
  batch.Put("last", std::to_string(i));
  batch.Put(Name(i) + "/2", "end");
  return batch;
}

// Which batches are there, each whole.
std::vector<bool> Present(const Journal& journal, int count) {
  const auto records = ReadRecords(journal);
  EXPECT_TRUE(records.ok()) << records.status();
  std::vector<bool> present(count);
  int last = -1;
  for (int i = 0; records.ok() && i < count; ++i) {
    present[i] = records->contains(Name(i) + "/1");
    EXPECT_EQ(present[i], records->contains(Name(i) + "/2")) << "half of batch " << i;
    if (present[i]) last = i;
  }
  if (last >= 0) {
    EXPECT_EQ(records->at("last"), std::to_string(last));
  }
  int cleared = last;
  while (cleared >= 0 && !(present[cleared] && cleared % 10 == 9)) --cleared;
  for (int i = 0; i <= last; ++i) {
    EXPECT_EQ(records->contains("scratch/" + Name(i)), present[i] && i >= cleared) << i;
  }
  return present;
}

JournalOptions SmallBuffers(const TestFolder& folder, FaultyEnv* disk) {
  return {.folder = folder.path(), .env = disk->env(), .write_buffer_bytes = 64 << 10};
}

// Submits until `count` were, or one failed; returns what was acknowledged.
std::vector<bool> RunUntilFailure(Journal* journal, int begin, int count, std::mt19937_64* random) {
  std::vector<bool> acknowledged(count);
  std::atomic<bool> failed = false;
  for (int i = begin; i < count && !failed; ++i) {
    const size_t bytes = (*random)() % 8 == 0 ? (*random)() % 20'000 : (*random)() % 2000;
    journal->Submit(Numbered(i, bytes), [&, i](absl::Status status) {
      acknowledged[i] = status.ok();
      if (!status.ok()) failed = true;
    });
    if ((*random)() % 3 == 0) journal->Commit(JournalBatch()).IgnoreError();
  }
  journal->Commit(JournalBatch()).IgnoreError();
  return acknowledged;
}

struct CrashCounts {
  std::atomic<int> crashed = 0, opened = 0;
};

// Some crash in a run, some while the folder is opened after the crash before.
void CrashAndCheck(int seed, CrashCounts* counts) {
  std::mt19937_64 random(seed);
  TestFolder folder("journal_crash" + std::to_string(seed));
  FaultyEnv disk;
  std::vector<bool> acknowledged;
  int next = 0;
  for (int crash = 0; crash < kCrashesOfARun; ++crash) {
    disk.FailAfter(random() % 150, DiskFault::kIoError);
    if (auto journal = Journal::Open(SmallBuffers(folder, &disk)); journal.ok()) {
      ++counts->opened;
      const auto run = RunUntilFailure(journal->get(), next, next + 100, &random);
      acknowledged.insert(acknowledged.end(), run.begin() + next, run.end());
      next += 100;
    } else {
      ASSERT_EQ(journal.status().code(), absl::StatusCode::kUnavailable) << journal.status();
    }
    counts->crashed += disk.failed();
    disk.Crash(&random);
    auto journal = Journal::Open(SmallBuffers(folder, &disk));
    ASSERT_TRUE(journal.ok()) << journal.status();
    const auto present = Present(**journal, next);
    for (int i = 0; i < next; ++i) {
      ASSERT_TRUE(present[i] || !acknowledged[i]) << "acknowledged batch " << i << " is lost";
    }
    acknowledged = present;
  }
}

TEST(JournalFaultTest, WhatWasAcknowledgedSurvivesCrashesAtAnyPoint) {
  CrashCounts counts;
  ForEachCase(kCrashRuns, [&](int seed) { CrashAndCheck(seed, &counts); });
  EXPECT_GE(counts.crashed, 200);
  EXPECT_GE(counts.opened, 200);
}

class DiskFaultTest : public testing::TestWithParam<DiskFault> {
 protected:
  static absl::StatusCode Code() {
    return GetParam() == DiskFault::kNoSpace ? absl::StatusCode::kResourceExhausted
                                             : absl::StatusCode::kUnavailable;
  }
};

TEST_P(DiskFaultTest, RecoversInPlaceFromAFailureAtEveryChange) {
  ForEachCase(kFaults, [](int n) {
    TestFolder folder("journal_fault" + std::to_string(n));
    FaultyEnv disk;
    std::mt19937_64 random(n);
    auto journal = *Journal::Open(SmallBuffers(folder, &disk));
    std::vector<bool> acknowledged;
    if (n % 2 == 0) acknowledged = RunUntilFailure(journal.get(), 0, 20, &random);
    const int begin = static_cast<int>(acknowledged.size());
    disk.FailAfter(n, GetParam());
    const auto run = RunUntilFailure(journal.get(), begin, 200, &random);
    acknowledged.insert(acknowledged.end(), run.begin() + begin, run.end());
    ASSERT_TRUE(disk.failed());
    ASSERT_EQ(journal->health().code(), Code()) << journal->health();
    EXPECT_EQ(journal->Commit(PutBatch("x", "refused")).code(), Code());
    EXPECT_EQ(journal->Recover().code(), Code());  // still failing
    EXPECT_EQ(journal->Commit(PutBatch("x", "refused")).code(), Code());

    disk.Heal();
    EXPECT_EQ(journal->Commit(PutBatch("x", "refused")).code(), Code());  // nobody said so yet
    const absl::Status recovered = journal->Recover();
    ASSERT_TRUE(recovered.ok()) << recovered;
    EXPECT_TRUE(journal->health().ok());
    EXPECT_FALSE(journal->Get("x").ok());
    ASSERT_TRUE(journal->Commit(PutBatch("y", "taken")).ok());
    auto present = Present(*journal, 200);
    for (int i = 0; i < 200; ++i) ASSERT_TRUE(present[i] || !acknowledged[i]) << i;

    journal = nullptr;
    disk.Crash(&random);
    journal = *Journal::Open(SmallBuffers(folder, &disk));
    EXPECT_EQ(*journal->Get("y"), "taken");
    EXPECT_EQ(Present(*journal, 200), present);
  });
}

// The crash comes while the journal still runs: no orderly end helps.
TEST_P(DiskFaultTest, ACrashSoonAfterRecoveryLosesNothing) {
  ForEachCase(kFaults, [](int seed) {
    std::mt19937_64 random(seed);
    TestFolder folder("journal_fault" + std::to_string(seed));
    FaultyEnv disk;
    auto journal = *Journal::Open(SmallBuffers(folder, &disk));
    disk.FailAfter(random() % 60, GetParam());
    auto acknowledged = RunUntilFailure(journal.get(), 0, 100, &random);
    disk.Heal();
    ASSERT_TRUE(journal->Recover().ok());
    disk.FailAfter(random() % 30, DiskFault::kIoError);
    const auto later = RunUntilFailure(journal.get(), 100, 200, &random);
    acknowledged.insert(acknowledged.end(), later.begin() + 100, later.end());
    journal = nullptr;
    disk.Crash(&random);
    auto reopened = Journal::Open(SmallBuffers(folder, &disk));
    ASSERT_TRUE(reopened.ok()) << reopened.status();
    const auto present = Present(**reopened, 200);
    for (int i = 0; i < 200; ++i) ASSERT_TRUE(present[i] || !acknowledged[i]) << i;
  });
}

// RocksDB's own log lay on the same disk, and its assertions ended the process at the second line
// that it could not write.
TEST_P(DiskFaultTest, NoLogOfItsOwnLiesOnTheDisk) {
  TestFolder folder("journal_log");
  FaultyEnv disk;
  auto journal = *Journal::Open(SmallBuffers(folder, &disk));
  for (int i = 0; i < 3; ++i) {
    disk.FailAfter(0, GetParam());
    EXPECT_EQ(journal->Commit(PutBatch("a", "1")).code(), Code());
    disk.Heal();
    ASSERT_TRUE(journal->Recover().ok());
  }
  for (const auto& file : std::filesystem::directory_iterator(folder.path())) {
    EXPECT_NE(file.path().filename().string().substr(0, 3), "LOG") << file.path();
  }
}

TEST_P(DiskFaultTest, AStartOnADiskThatFailsAtAnyChangeIsAnError) {
  std::atomic<int> failed = 0;
  ForEachCase(kFaults, [&](int n) {
    TestFolder folder("journal_start" + std::to_string(n));
    FaultyEnv disk;
    std::mt19937_64 random(n);
    auto journal = Journal::Open(SmallBuffers(folder, &disk));
    for (bool held : RunUntilFailure(journal->get(), 0, 20, &random)) ASSERT_TRUE(held);
    // As a process ends that is killed: with a log for the next start.
    disk.FailAfter(0, DiskFault::kIoError);
    journal = absl::CancelledError();
    disk.FailAfter(n, GetParam());
    journal = Journal::Open(SmallBuffers(folder, &disk));
    if (!journal.ok()) {
      ++failed;
      EXPECT_EQ(journal.status().code(), Code()) << journal.status();
    }
    journal = absl::CancelledError();
    if (n % 2 == 0) disk.Crash(&random);
    disk.Heal();
    journal = Journal::Open(SmallBuffers(folder, &disk));
    ASSERT_TRUE(journal.ok()) << journal.status();
    const auto present = Present(**journal, 20);
    for (int i = 0; i < 20; ++i) ASSERT_TRUE(present[i]) << i;
  });
  EXPECT_GT(failed, 5);
}

TEST_P(DiskFaultTest, ReadsGoOnWhileTheDiskFailsAndTheMarkerIsNeverSeen) {
  TestFolder folder("journal_fault");
  FaultyEnv disk;
  auto journal = *Journal::Open(SmallBuffers(folder, &disk));
  ASSERT_TRUE(journal->Commit(PutBatch("a", "1")).ok());
  disk.FailAfter(0, GetParam());
  ASSERT_EQ(journal->Commit(PutBatch("b", "2")).code(), Code());
  EXPECT_EQ(ReadRecords(*journal)->at("a"), "1");
  disk.Heal();
  ASSERT_TRUE(journal->Recover().ok());
  const Records records = *ReadRecords(*journal);
  EXPECT_EQ(records.size(), 1u + records.contains("b"));
}

// Names a log that is gone when it is looked at: as when RocksDB deletes one meanwhile.
class NamesADeletedLog : public rocksdb::EnvWrapper {
 public:
  using EnvWrapper::EnvWrapper;
  std::atomic<bool> once = false;

  rocksdb::Status GetChildren(const std::string& folder, std::vector<std::string>* names) override {
    const rocksdb::Status status = EnvWrapper::GetChildren(folder, names);
    if (once.exchange(false)) names->push_back("999999.log");
    return status;
  }
};

TEST(JournalFaultTest, ALogThatIsDeletedWhileStorageRecoversDoesNotStopIt) {
  TestFolder folder("journal_deleted_log");
  FaultyEnv disk;
  NamesADeletedLog env(disk.env());
  JournalOptions options = SmallBuffers(folder, &disk);
  options.env = &env;
  auto journal = *Journal::Open(options);
  ASSERT_TRUE(journal->Commit(PutBatch("a", "1")).ok());
  disk.FailAfter(0, DiskFault::kIoError);
  ASSERT_FALSE(journal->Commit(PutBatch("b", "2")).ok());
  disk.Heal();
  env.once = true;
  const absl::Status recovered = journal->Recover();
  EXPECT_TRUE(recovered.ok()) << recovered;
  EXPECT_FALSE(env.once);
  EXPECT_EQ(ReadRecords(*journal)->at("a"), "1");
}

// One batch waits while another's sync fails, one comes just after: storage recovers before
// either has its turn, yet what stands before them is missing.
TEST(JournalFaultTest, ABatchBehindAFailedOneFailsThoughRecoverIsQuicker) {
  TestFolder folder("journal_gap");
  FaultyEnv disk;
  auto journal = *Journal::Open(SmallBuffers(folder, &disk));
  disk.set_sync_time(absl::Milliseconds(100));
  disk.FailAfter(1, DiskFault::kIoError);  // the append succeeds, the sync fails
  absl::Status first, waiting, after;
  journal->Submit(PutBatch("1", "first"), [&](absl::Status status) {
    first = status;
    journal->Submit(PutBatch("3", "after"), [&](absl::Status status) { after = status; });
    disk.set_sync_time(absl::ZeroDuration());
    disk.Heal();
    EXPECT_TRUE(journal->Recover().ok());
  });
  absl::SleepFor(absl::Milliseconds(30));  // the first is being written
  journal->Submit(PutBatch("2", "waiting"), [&](absl::Status status) { waiting = status; });
  while (!journal->health().ok() || journal->stats().waiting_bytes > 0) {
    absl::SleepFor(absl::Milliseconds(5));
  }
  ASSERT_TRUE(journal->Commit(PutBatch("4", "later")).ok());
  EXPECT_EQ(first.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(waiting.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(after.code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(journal->Get("2").ok());
  EXPECT_FALSE(journal->Get("3").ok());
}

TEST_P(DiskFaultTest, RecoveringWhileOthersSubmitLosesNothing) {
  TestFolder folder("journal_fault");
  FaultyEnv disk;
  disk.set_sync_time(absl::Milliseconds(1));
  auto journal = *Journal::Open(SmallBuffers(folder, &disk));
  std::vector<bool> acknowledged(3000);
  std::atomic<bool> finished = false;
  std::thread recovers([&] {
    std::mt19937_64 random(7);
    while (!finished) {
      disk.FailAfter(random() % 8, GetParam());
      absl::SleepFor(absl::Milliseconds(3));
      disk.Heal();
      EXPECT_TRUE(journal->Recover().ok());
    }
  });
  std::atomic<int> failures = 0;
  for (int i = 0; i < 3000; ++i) {
    journal->Submit(Numbered(i, 10), [&, i](absl::Status status) {
      acknowledged[i] = status.ok();
      failures += !status.ok();
    });
    if (i % 20 == 0) journal->Commit(JournalBatch()).IgnoreError();
  }
  finished = true;
  recovers.join();
  journal = nullptr;
  journal = *Journal::Open(SmallBuffers(folder, &disk));
  EXPECT_GT(failures, 0);
  const auto records = *ReadRecords(*journal);
  for (int i = 0; i < 3000; ++i) {
    ASSERT_TRUE(!acknowledged[i] || records.contains(Name(i) + "/2")) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Faults, DiskFaultTest,
                         testing::Values(DiskFault::kNoSpace, DiskFault::kIoError),
                         [](const auto& fault) {
                           return fault.param == DiskFault::kNoSpace ? "NoSpace" : "IoError";
                         });

}  // namespace
}  // namespace eidetic::memory
