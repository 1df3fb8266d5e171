// Kills the real server again and again while clients work, and compares what they were told with
// an uninterrupted run. EIDETIC_CHAOS_KILLS: how often (30). EIDETIC_CHAOS_SEED: other scripts,
// other moments (11).
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <random>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "tests/chaos/script.h"
#include "tests/end_to_end/server_process.h"

namespace eidetic::testing {
namespace {

constexpr int kClients = 3;
constexpr uint64_t kScripts = 6;  // played again and again, in new sessions

// The server that runs now, for all clients.
class Victim {
 public:
  explicit Victim(std::string folder) : folder_(std::move(folder)) {}

  std::shared_ptr<grpc::Channel> Channel() {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(
        +[](Victim* v) ABSL_EXCLUSIVE_LOCKS_REQUIRED(v->mutex_) { return v->channel_ != nullptr; },
        this));
    return channel_;
  }

  // One life: starts it, lets it live for `life` or until its fail point, kills it.
  void Live(absl::Duration life, const std::string& fail_point) {
    std::vector<std::string> environment;
    if (!fail_point.empty()) environment.push_back("EIDETIC_FAIL_POINT=" + fail_point);
    ServerProcess server(Flags(), environment);
    Set(server.channel());
    for (const absl::Time end = absl::Now() + life; absl::Now() < end && !server.Ended();) {
      absl::SleepFor(absl::Milliseconds(2));
    }
    Set(nullptr);
    server.Kill();
  }

  // From now on one server, until the clients are through.
  void LiveOn(const std::function<void()>& wait) {
    ServerProcess server(Flags());
    Set(server.channel());
    wait();
    // Its sessions rest now, and are checkpointed.
    const absl::Time patience = absl::Now() + absl::Seconds(30);
    do {
      last_metrics_ = server.Metrics();
      absl::SleepFor(absl::Milliseconds(20));
    } while (Checkpoints("written") <= 0 && absl::Now() < patience);
    Set(nullptr);
    EXPECT_EQ(server.Stop(), 0);
  }

  // Of the one that lived on: checkpoints that were written, loaded, refused.
  int64_t Checkpoints(const std::string& kind) const {
    const auto found = last_metrics_.find("eidetic_checkpoints_total{kind=\"" + kind + "\"}");
    return found == last_metrics_.end() ? -1 : static_cast<int64_t>(found->second);
  }

 private:
  // Sessions are checkpointed all the time, and sleep as soon as they rest.
  std::vector<std::string> Flags() const {
    return {"--data_folder=" + folder_, "--threads=1",
            "--max_pages=16384",        "--checkpoint_tokens=64",
            "--checkpoint_idle=50ms",   "--sleep_after=100ms"};
  }

  void Set(std::shared_ptr<grpc::Channel> channel) {
    absl::MutexLock lock(&mutex_);
    channel_ = std::move(channel);
  }

  const std::string folder_;
  std::map<std::string, double> last_metrics_;
  absl::Mutex mutex_;
  std::shared_ptr<grpc::Channel> channel_ ABSL_GUARDED_BY(mutex_);
};

int FromEnvironment(const char* name, int otherwise) {
  const char* wanted = std::getenv(name);
  return wanted == nullptr ? otherwise : std::atoi(wanted);
}

uint64_t Seed() { return static_cast<uint64_t>(FromEnvironment("EIDETIC_CHAOS_SEED", 11)); }

Script DrawScriptOf(uint64_t number) { return DrawScript(Seed() * kScripts + number); }

std::vector<Outcome> Uninterrupted() {
  ServerProcess server({"--max_pages=16384"});
  std::vector<Outcome> outcomes(kScripts);
  for (uint64_t i = 0; i < kScripts; ++i) {
    const absl::Status status = Play(
        DrawScriptOf(i), [&] { return server.channel(); }, &outcomes[i]);
    EXPECT_TRUE(status.ok()) << status;
  }
  return outcomes;
}

TEST(ChaosTest, NothingAcknowledgedIsLostDoubledOrReordered) {
  const std::vector<Outcome> expected = Uninterrupted();
  const char* temporary = std::getenv("TEST_TMPDIR");
  ASSERT_NE(temporary, nullptr);
  Victim victim(absl::StrCat(temporary, "/data"));
  std::atomic<bool> enough = false;
  std::atomic<int64_t> played = 0, retries = 0;
  std::vector<std::thread> clients;
  for (int c = 0; c < kClients; ++c) {
    clients.emplace_back([&, c] {
      for (uint64_t round = 0; !enough; ++round) {
        const uint64_t number = (round * kClients + c) % kScripts;
        Script script = DrawScriptOf(number);
        script.session_id = absl::StrCat("c", c, "-r", round);
        Outcome outcome;
        const absl::Status status = Play(
            script, [&] { return victim.Channel(); }, &outcome);
        EXPECT_TRUE(status.ok()) << status;
        EXPECT_TRUE(outcome == expected[number]) << script.session_id << " differs";
        ++played;
        retries += outcome.retries;
      }
    });
  }
  std::mt19937_64 random(Seed());
  const char* points[] = {"journal.before_write",       "journal.after_write",
                          "checkpoint.before_extents",  "checkpoint.after_extents",
                          "checkpoint.before_manifest", "checkpoint.after_manifest"};
  const int kills = FromEnvironment("EIDETIC_CHAOS_KILLS", 30);
  int at_points = 0;
  for (int kill = 0; kill < kills && !HasFailure(); ++kill) {
    std::string point;
    if (random() % 2 == 0) {
      point = absl::StrCat(points[random() % std::size(points)], ":", 1 + random() % 40);
      ++at_points;
    }
    // Now and then a longer life: on a slow machine too the clients come to an end.
    const uint64_t life = 20 + random() % 800;
    victim.Live(absl::Milliseconds(kill % 10 == 9 ? 5 * life : life), point);
  }
  enough = true;
  victim.LiveOn([&] {
    for (std::thread& client : clients) client.join();
    // What they had left to do may be too little for a checkpoint.
    Script script = DrawScriptOf(0);
    script.session_id = "last";
    Outcome outcome;
    const absl::Status status = Play(
        script, [&] { return victim.Channel(); }, &outcome);
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_TRUE(outcome == expected[0]);
  });
  EXPECT_GT(victim.Checkpoints("written"), 0);
  EXPECT_EQ(victim.Checkpoints("refused"), 0);
  std::printf("bench name=chaos last_life written=%lld loaded=%lld\n",
              static_cast<long long>(victim.Checkpoints("written")),
              static_cast<long long>(victim.Checkpoints("loaded")));
  std::printf("bench name=chaos kills=%d at_fail_points=%d sessions=%lld retries=%lld\n", kills,
              at_points, static_cast<long long>(played), static_cast<long long>(retries));
}

}  // namespace
}  // namespace eidetic::testing
