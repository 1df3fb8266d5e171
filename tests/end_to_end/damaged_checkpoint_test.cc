// A data folder whose checkpoint was changed, and the real server on it: it says so, computes the
// log again, in bounded memory, and tells the tokens that it would have told.
// EIDETIC_DAMAGE_CASES: how many changes of each kind (8).
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>

#include "absl/time/clock.h"
#include "clients/cpp/client.h"
#include "memory/durable/extent_format.h"
#include "tests/end_to_end/requests.h"
#include "tests/end_to_end/server_process.h"

namespace eidetic::testing {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMoreBytes = int64_t{64} << 20;  // than a server takes that finds it whole

class DamagedCheckpointTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* temporary = std::getenv("TEST_TMPDIR");
    ASSERT_NE(temporary, nullptr);
    whole_ = fs::path(temporary) / "whole";
    data_ = fs::path(temporary) / "data";
    fs::remove_all(whole_);
    {
      ServerProcess server(Flags(whole_));
      v1::AttentionSettings attention;
      attention.set_window_tokens(64);
      auto session =
          client::Client(server.channel()).CreateSession({.id = "a", .attention = attention});
      ASSERT_TRUE(session.ok()) << session.status();
      session->Keep();
      ASSERT_TRUE(session->Append(Prose(300, 3)).ok());
      EXPECT_EQ(server.Stop(), 0);
    }
    Begin();
    const std::string bytes = Bytes();
    for (size_t at = bytes.find(Magic(bytes)); at != bytes.npos;
         at = bytes.find(Magic(bytes), at + 1)) {
      extents_.push_back(static_cast<int64_t>(at));
    }
    ASSERT_GT(extents_.size(), 20u);
    bytes_ = static_cast<int64_t>(bytes.size());
    std::printf("bench name=checkpoint_bytes extents=%zu bytes=%zu\n", extents_.size(),
                bytes.size());
    Go(/*refused=*/0);
  }

  // Every byte that is written is read again.
  static std::vector<std::string> Flags(const fs::path& folder) {
    return {"--data_folder=" + folder.string(), "--max_state_checkpoints=0"};
  }

  static std::string Magic(const std::string& file) { return file.substr(0, 8); }
  fs::path File() const { return *fs::directory_iterator(data_ / "extents"); }
  std::string Bytes() const {
    std::ifstream file(File(), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }

  void Begin() {
    fs::remove_all(data_);
    fs::copy(whole_, data_, fs::copy_options::recursive);
  }
  void Change(int64_t at, uint8_t bits) {
    std::fstream file(File(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(at);
    const int byte = file.get();
    file.seekp(at);
    file.put(static_cast<char>(byte ^ bits));
    ASSERT_TRUE(file.flush().good());
  }

  // A life on the folder as it is. The first one tells what is expected of the others.
  void Go(double refused) {
    ServerProcess server(Flags(data_));
    auto session = client::Client(server.channel()).OpenSession("a");
    ASSERT_TRUE(session.ok()) << session.status();
    const Answer answer = Read(session->Generate(Greedy("Who came?", 12)));
    ASSERT_TRUE(answer.finish) << answer.status;
    ASSERT_TRUE(WaitUntilFree(*session));
    if (expected_.empty()) {
      expected_ = answer.tokens;
      peak_ = server.PeakBytes();
    }
    EXPECT_EQ(answer.tokens, expected_);
    EXPECT_LT(server.PeakBytes() - peak_, kMoreBytes);
    // Of a page that no step wanted it is found behind the answer.
    const auto count = [&server] {
      return server.Metrics().at("eidetic_checkpoints_total{kind=\"refused\"}");
    };
    const absl::Time end = absl::Now() + absl::Seconds(30);
    while (count() != refused && absl::Now() < end) absl::SleepFor(absl::Milliseconds(5));
    EXPECT_EQ(count(), refused);
    EXPECT_EQ(server.Metrics().at("eidetic_integrity_errors_total"), refused);
  }

  static int Cases() {
    const char* wanted = std::getenv("EIDETIC_DAMAGE_CASES");
    return wanted == nullptr ? 8 : std::atoi(wanted);
  }
  int64_t DrawExtent() { return extents_[random_() % extents_.size()]; }

  fs::path whole_, data_;
  std::vector<int64_t> extents_;  // where each begins
  int64_t bytes_ = 0, peak_ = 0;
  std::vector<int32_t> expected_;
  std::mt19937_64 random_{7};
};

TEST_F(DamagedCheckpointTest, BytesOfHeaders) {
  for (int i = 0; i < Cases() && !HasFailure(); ++i) {
    Begin();
    const auto byte = static_cast<int64_t>(random_() % memory::kExtentHeaderBytes);
    Change(DrawExtent() + byte, static_cast<uint8_t>(1 + random_() % 255));
    Go(/*refused=*/1);
  }
}

TEST_F(DamagedCheckpointTest, BitsAnywhere) {
  for (int i = 0; i < Cases() && !HasFailure(); ++i) {
    Begin();
    const auto at = static_cast<int64_t>(random_() % bytes_);
    SCOPED_TRACE(at);
    Change(at, static_cast<uint8_t>(1 << random_() % 8));
    Go(/*refused=*/1);
  }
}

TEST_F(DamagedCheckpointTest, CutWhereAnExtentBegins) {
  for (int i = 0; i < Cases() && !HasFailure(); ++i) {
    Begin();
    const int64_t length = DrawExtent();
    SCOPED_TRACE(length);
    fs::resize_file(File(), length);
    Go(/*refused=*/1);
  }
}

}  // namespace
}  // namespace eidetic::testing
