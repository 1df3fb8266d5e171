// How quickly the journal makes small batches durable, on the disk that holds --folder.
//
//   journal_bench --folder DIR [--submitters 1,64] [--bytes 256] [--seconds 5]
//
// Each submitter commits one batch after another. Prints one `bench` line a number of
// submitters: bytes_ratio is what the process had the kernel write (/proc/self/io) for a byte
// submitted, logs and tables together. It asserts nothing.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "glog/logging.h"
#include "memory/durable/journal.h"

ABSL_FLAG(std::string, folder, "", "a folder to be made, and removed, for the measurement");
ABSL_FLAG(std::vector<std::string>, submitters, std::vector<std::string>({"1", "64"}),
          "threads that commit");
ABSL_FLAG(int32_t, bytes, 256, "of a batch: one record, key and value");
ABSL_FLAG(double, seconds, 5, "of each measurement");

namespace eidetic::memory {
namespace {

double NowSeconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

int64_t WrittenBytes() {
  std::ifstream io("/proc/self/io");
  std::string name;
  int64_t value = 0;
  while (io >> name >> value) {
    if (name == "write_bytes:") return value;
  }
  return 0;
}

double Quantile(std::vector<double> values, double share) {
  CHECK(!values.empty());
  const size_t at = std::min(values.size() - 1, static_cast<size_t>(share * values.size()));
  std::nth_element(values.begin(), values.begin() + at, values.end());
  return values[at];
}

// Commits until `end`; the seconds that each took.
std::vector<double> CommitUntil(Journal* journal, int submitter, double end) {
  std::vector<double> seconds;
  const std::string value(std::max(0, absl::GetFlag(FLAGS_bytes) - 24), 'v');
  for (int64_t i = 0; NowSeconds() < end; ++i) {
    const std::string key = absl::StrFormat("%08d%016d", submitter, i);
    JournalBatch batch;
    batch.Put(key, value);
    const double begin = NowSeconds();
    const absl::Status status = journal->Commit(std::move(batch));
    CHECK(status.ok()) << status;
    seconds.push_back(NowSeconds() - begin);
  }
  return seconds;
}

void Bench(int submitters) {
  const std::filesystem::path folder = absl::GetFlag(FLAGS_folder);
  auto journal = Journal::Open({.folder = folder});
  CHECK(journal.ok()) << journal.status();
  const int64_t written = WrittenBytes();
  const double begin = NowSeconds();
  std::vector<std::vector<double>> seconds(submitters);
  std::vector<std::thread> threads;
  for (int i = 0; i < submitters; ++i) {
    threads.emplace_back([&, i] {
      seconds[i] = CommitUntil(journal->get(), i, begin + absl::GetFlag(FLAGS_seconds));
    });
  }
  for (std::thread& thread : threads) thread.join();
  const double took = NowSeconds() - begin;
  const JournalStats stats = (*journal)->stats();
  journal->reset();  // writes the last table: it counts
  std::vector<double> all;
  for (const auto& some : seconds) all.insert(all.end(), some.begin(), some.end());
  std::printf(
      "bench name=journal submitters=%d batch_bytes=%d commits_per_second=%.1f "
      "batches_per_second=%.1f p50_ms=%.3f p99_ms=%.3f bytes_ratio=%.2f\n",
      submitters, absl::GetFlag(FLAGS_bytes), stats.commits / took, stats.batches / took,
      Quantile(all, 0.5) * 1e3, Quantile(all, 0.99) * 1e3,
      static_cast<double>(WrittenBytes() - written) / stats.bytes);
  std::fflush(stdout);
  std::filesystem::remove_all(folder);
}

void Run() {
  CHECK(!absl::GetFlag(FLAGS_folder).empty()) << "--folder: name one on the disk to measure";
  CHECK(!std::filesystem::exists(absl::GetFlag(FLAGS_folder))) << "--folder is there already";
  for (const std::string& word : absl::GetFlag(FLAGS_submitters)) {
    int submitters = 0;
    CHECK(absl::SimpleAtoi(word, &submitters) && submitters > 0) << "--submitters: " << word;
    Bench(submitters);
  }
}

}  // namespace
}  // namespace eidetic::memory

int main(int argc, char** argv) {
  google::InitGoogleLogging(argv[0]);
  absl::ParseCommandLine(argc, argv);
  eidetic::memory::Run();
}
