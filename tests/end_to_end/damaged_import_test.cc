// Exports that are damaged, cut or made up, sent to the real server: refused whole, in bounded
// memory, and nothing of them stays.
#include <gtest/gtest.h>

#include <random>
#include <sstream>

#include "absl/time/clock.h"
#include "clients/cpp/client.h"
#include "memory/durable/checksum.h"
#include "tests/end_to_end/requests.h"
#include "tests/end_to_end/server_process.h"

namespace eidetic::testing {
namespace {

constexpr size_t kChecksumBytes = 8;
constexpr size_t kHeaderBytes = 200;  // at least: everything before the log, and its beginning
constexpr int kRandomBits = 10'000;
constexpr int64_t kMoreBytes = int64_t{64} << 20;  // that refusing them all may take

class DamagedImportTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto session = client_.CreateSession({.id = "a"});
    ASSERT_TRUE(session.ok()) << session.status();
    session->Keep();
    ASSERT_TRUE(session->Append(Prose(150, 3)).ok());
    ASSERT_TRUE(Read(session->Generate(Greedy("Who came?", 9))).finish);
    std::stringstream out;
    ASSERT_TRUE(session->Export(out).ok());
    whole_ = out.str();
    ASSERT_GT(whole_.size(), kHeaderBytes + kChecksumBytes);
    bytes_before_ = server_.PeakBytes();
  }

  absl::StatusOr<client::Session> Import(const std::string& bytes) {
    // An import counts as running a little longer than its caller waits for it.
    for (;; absl::SleepFor(absl::Milliseconds(1))) {
      std::istringstream in(bytes);
      auto made = client_.ImportSession(in, "b");
      if (!absl::IsResourceExhausted(made.status())) return made;
    }
  }

  void ExpectRefused(const std::string& bytes) {
    const absl::Status status = Import(bytes).status();
    EXPECT_TRUE(absl::IsDataLoss(status) || absl::IsInvalidArgument(status) ||
                absl::IsFailedPrecondition(status))
        << status;
    ++refused_;
  }

  // Nothing was made, and the server goes on.
  void ExpectNothingLeft() {
    const auto sessions = client_.ListSessions();
    ASSERT_TRUE(sessions.ok()) << sessions.status();
    EXPECT_EQ(sessions->size(), 1u);
    const int64_t more = server_.PeakBytes() - bytes_before_;
    EXPECT_LT(more, kMoreBytes);
    auto imported = Import(whole_);
    ASSERT_TRUE(imported.ok()) << imported.status();
    EXPECT_TRUE(Read(imported->Generate(Greedy("And?", 3))).finish);
    std::printf("bench name=damaged_import export_bytes=%zu refused=%lld more_bytes=%lld\n",
                whole_.size(), static_cast<long long>(refused_), static_cast<long long>(more));
  }

  ServerProcess server_;
  client::Client client_{server_.channel()};
  std::string whole_;
  int64_t bytes_before_ = 0, refused_ = 0;
  std::mt19937_64 random_{7};
};

TEST_F(DamagedImportTest, EveryByteOfTheHeader) {
  for (size_t i = 0; i < kHeaderBytes && !HasFailure(); ++i) {
    SCOPED_TRACE(i);
    std::string damaged = whole_;
    damaged[i] ^= static_cast<char>(1 + random_() % 255);
    ExpectRefused(damaged);
  }
  ExpectNothingLeft();
}

TEST_F(DamagedImportTest, TenThousandBits) {
  for (int i = 0; i < kRandomBits && !HasFailure(); ++i) {
    std::string damaged = whole_;
    damaged[random_() % damaged.size()] ^= static_cast<char>(1 << random_() % 8);
    ExpectRefused(damaged);
  }
  ExpectNothingLeft();
}

TEST_F(DamagedImportTest, EveryLength) {
  for (size_t length = 0; length < whole_.size() && !HasFailure(); ++length) {
    SCOPED_TRACE(length);
    ExpectRefused(whole_.substr(0, length));
  }
  ExpectRefused(whole_ + '\0');
  ExpectNothingLeft();
}

// Who makes up a body and its checksum gets a session that computes, or nothing.
TEST_F(DamagedImportTest, BodiesThatAreMadeUp) {
  constexpr int kBodies = 400;
  int taken = 0;
  for (int i = 0; i < kBodies && !HasFailure(); ++i) {
    std::string body = whole_.substr(0, whole_.size() - kChecksumBytes);
    for (uint64_t changes = 1 + random_() % 3; changes > 0; --changes) {
      // Half of them before the log.
      const size_t end = random_() % 2 == 0 ? kHeaderBytes : body.size();
      body[random_() % end] = static_cast<char>(random_());
    }
    const uint64_t checksum = memory::Checksum(body);
    for (size_t b = 0; b < kChecksumBytes; ++b) body += static_cast<char>(checksum >> (8 * b));
    auto made = Import(body);
    if (!made.ok()) continue;
    ++taken;
    EXPECT_LE(made->position(), static_cast<int64_t>(whole_.size()));
    if (taken % 4 == 0) {
      EXPECT_TRUE(Read(made->Generate(Greedy("And?", 2))).finish);
    }
    EXPECT_TRUE(client_.DeleteSession("b").ok());
  }
  EXPECT_GT(taken, 20);
  EXPECT_LT(taken, kBodies - 20);
  ExpectNothingLeft();
}

}  // namespace
}  // namespace eidetic::testing
