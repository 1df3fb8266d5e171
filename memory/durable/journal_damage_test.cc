// Bits that flip in a journal's files: found, or harmless, never silently fewer records.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

#include "memory/durable/journal_testing.h"

namespace eidetic::memory {
namespace {

namespace fs = std::filesystem;

std::string ReadAll(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void WriteAll(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

std::vector<fs::path> FilesWith(const fs::path& folder, const std::string& part) {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().filename().string().find(part) != std::string::npos) {
      paths.push_back(entry.path());
    }
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

class JournalDamageTest : public testing::Test {
 protected:
  static constexpr int kBatches = 60;

  // Of 60 batches, some of several log blocks. `image_` is what a crash would leave (all is in
  // the log) or, `orderly`, what an orderly end leaves (all is in a table).
  void MakeImage(bool orderly) {
    TestFolder live("journal_live");
    std::mt19937_64 random(3);
    auto journal = *Journal::Open({.folder = live.path()});
    for (int i = 0; i < kBatches; ++i) {
      std::string value(i % 20 == 7 ? 50'000 : 20 + random() % 400, '\0');
      for (char& byte : value) byte = static_cast<char>(random());
      std::string key = std::to_string(1000 + i);
      records_[key] = value;
      JournalBatch batch = PutBatch(key, value);
      batch.Put("gone/" + key, "x");
      batch.DeletePrefix("gone/");
      ASSERT_TRUE(journal->Commit(std::move(batch)).ok());
    }
    if (orderly) journal = nullptr;
    fs::copy(live.path(), image_.path());
  }

  // OK with all records, or DATA_LOSS; `may_lose_last`: one batch fewer is the torn tail.
  void ExpectFoundOrHarmless(const std::string& what, bool may_lose_last) {
    auto journal = Journal::Open({.folder = copy_.path()});
    const auto records =
        journal.ok() ? ReadRecords(**journal) : absl::StatusOr<Records>(journal.status());
    if (!records.ok()) {
      ++found_;
      EXPECT_EQ(records.status().code(), absl::StatusCode::kDataLoss) << what << records.status();
      return;
    }
    if (*records == records_) return;
    Records fewer = records_;
    fewer.erase(std::prev(fewer.end()));
    ++fewer_;
    EXPECT_TRUE(may_lose_last) << what << ": " << records->size() << " records";
    EXPECT_TRUE(*records == fewer) << what << ": " << records->size() << " records";
  }

  void FlipAndOpen(const fs::path& file, size_t at, int bit, bool may_lose_last) {
    fs::remove_all(copy_.path());
    fs::copy(image_.path(), copy_.path());
    std::string bytes = ReadAll(file);
    bytes[at] = static_cast<char>(bytes[at] ^ (1 << bit));
    WriteAll(copy_.path() / file.filename(), bytes);
    ExpectFoundOrHarmless(
        file.filename().string() + " byte " + std::to_string(at) + " bit " + std::to_string(bit),
        may_lose_last);
  }

  TestFolder image_{"journal_image"}, copy_{"journal_copy"};
  Records records_;
  int found_ = 0, fewer_ = 0;
};

TEST_F(JournalDamageTest, AFlippedBitInALogIsFound) {
  ASSERT_NO_FATAL_FAILURE(MakeImage(false));
  const auto logs = FilesWith(image_.path(), ".log");
  ASSERT_EQ(logs.size(), 1u);
  const std::string bytes = ReadAll(logs[0]);
  // Where the last batch's record begins: 7 bytes of header, 12 of batch, and its first key.
  const size_t last = bytes.rfind("k1059", bytes.find("gone/1059")) - 21;
  std::mt19937_64 random(5);
  for (int i = 0; i < 150; ++i) {
    const size_t at = random() % last;
    FlipAndOpen(logs[0], at, static_cast<int>(random() % 8), false);
  }
  EXPECT_GE(found_, 145);  // a block's padding is nobody's
  EXPECT_EQ(fewer_, 0);
}

// Every bit of the headers: lengths and types that send the reader astray.
TEST_F(JournalDamageTest, AFlippedBitInALogsRecordHeaderIsFound) {
  ASSERT_NO_FATAL_FAILURE(MakeImage(false));
  const fs::path log = FilesWith(image_.path(), ".log").front();
  const std::string bytes = ReadAll(log);
  for (const char* key : {"k1000", "k1001", "k1058"}) {
    const size_t header = bytes.find(key) - 21;
    for (size_t at = header; at < header + 7; ++at) {
      for (int bit = 0; bit < 8; ++bit) FlipAndOpen(log, at, bit, false);
    }
  }
  EXPECT_EQ(found_, 3 * 7 * 8);
}

TEST_F(JournalDamageTest, ALogCutAnywhereInItsLastRecordOpensWithoutIt) {
  ASSERT_NO_FATAL_FAILURE(MakeImage(false));
  const fs::path log = FilesWith(image_.path(), ".log").front();
  const std::string bytes = ReadAll(log);
  const size_t last = bytes.rfind("k1059", bytes.find("gone/1059")) - 21;
  for (size_t size = last; size < bytes.size(); size += 17) {
    for (const bool zeros : {false, true}) {
      fs::remove_all(copy_.path());
      fs::copy(image_.path(), copy_.path());
      std::string torn = bytes.substr(0, size);
      if (zeros) torn.resize(bytes.size(), '\0');
      WriteAll(copy_.path() / log.filename(), torn);
      ExpectFoundOrHarmless("cut at " + std::to_string(size), true);
    }
  }
  EXPECT_EQ(found_, 0);
  EXPECT_GT(fewer_, 10);
}

// The log's first block ends within a batch's header, at each of its bytes: no damage.
TEST_F(JournalDamageTest, ABatchWhoseHeaderIsSplitOverTwoBlocksIsWhole) {
  constexpr size_t kLogBlock = 32768;
  for (size_t bytes = kLogBlock - 110; bytes < kLogBlock - 40; ++bytes) {
    fs::remove_all(copy_.path());
    TestFolder live("journal_live");
    auto journal = *Journal::Open({.folder = live.path()});
    records_ = {{"a", std::string(bytes, 'v')}, {"b", "1"}, {"c", "2"}};
    for (const auto& [key, value] : records_) {
      ASSERT_TRUE(journal->Commit(PutBatch(key, value)).ok());
    }
    fs::copy(live.path(), copy_.path());
    ExpectFoundOrHarmless(std::to_string(bytes), false);
  }
  EXPECT_EQ(found_, 0);
}

TEST_F(JournalDamageTest, AFlippedBitInATableIsFound) {
  ASSERT_NO_FATAL_FAILURE(MakeImage(true));
  const auto tables = FilesWith(image_.path(), ".sst");
  ASSERT_EQ(tables.size(), 1u);
  const size_t size = fs::file_size(tables[0]);
  std::mt19937_64 random(6);
  for (int i = 0; i < 100; ++i) {
    // Half of them among the last bytes, where index, properties and deletions stand.
    const size_t at =
        i % 2 == 0 ? random() % size : size - 1 - random() % std::min<size_t>(size, 2500);
    FlipAndOpen(tables[0], at, static_cast<int>(random() % 8), false);
  }
  EXPECT_GE(found_, 50);
}

TEST_F(JournalDamageTest, AFlippedBitInTheManifestIsFound) {
  ASSERT_NO_FATAL_FAILURE(MakeImage(true));
  for (const fs::path& manifest : FilesWith(image_.path(), "MANIFEST")) {
    const size_t size = fs::file_size(manifest);
    for (size_t at = 0; at < size; at += 2) FlipAndOpen(manifest, at, at / 2 % 8, false);
  }
  EXPECT_GT(found_, 20);
}

TEST_F(JournalDamageTest, AMissingFileIsFound) {
  for (const bool orderly : {false, true}) {
    fs::remove_all(image_.path());
    ASSERT_NO_FATAL_FAILURE(MakeImage(orderly));
    for (const char* part : {"CURRENT", "MANIFEST", ".sst"}) {
      const auto files = FilesWith(image_.path(), part);
      if (files.empty()) continue;
      fs::remove_all(copy_.path());
      fs::copy(image_.path(), copy_.path());
      fs::remove(copy_.path() / files.back().filename());
      ExpectFoundOrHarmless(part, false);
    }
  }
  EXPECT_EQ(found_, 5);
}

}  // namespace
}  // namespace eidetic::memory
