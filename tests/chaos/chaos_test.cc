// Kills the real server again and again while clients work, and compares what they were told with
// an uninterrupted run; in the end every session that they made goes on. EIDETIC_CHAOS_KILLS: how
// often (30). EIDETIC_CHAOS_SEED: other scripts, settings and moments (11).
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <deque>
#include <functional>
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
constexpr absl::Duration kLongestLife = absl::Minutes(1);
constexpr uint64_t kScripts = 6;  // played again and again, in new sessions

// One that is never killed.
class OneServer : public Servers {
 public:
  explicit OneServer(const std::vector<std::string>& flags) : server_(flags) {}
  std::shared_ptr<grpc::Channel> Find() override { return server_.channel(); }

 private:
  ServerProcess server_;
};

// The server that runs now, for all clients.
class Victim {
 public:
  explicit Victim(std::vector<std::string> flags) : flags_(std::move(flags)) {}

  std::shared_ptr<grpc::Channel> Find() {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(
        +[](Victim* v) ABSL_EXCLUSIVE_LOCKS_REQUIRED(v->mutex_) { return v->channel_ != nullptr; },
        this));
    return channel_;
  }

  // One life: starts it, lets it live for `life` and until `enough`, or until its fail point; kills
  // it.
  void Live(absl::Duration life, const std::function<bool()>& enough,
            const std::string& fail_point) {
    std::vector<std::string> environment;
    if (!fail_point.empty()) environment.push_back("EIDETIC_FAIL_POINT=" + fail_point);
    ServerProcess server(flags_, environment);
    Set(server.channel());
    const absl::Time end = absl::Now() + life, latest = absl::Now() + kLongestLife;
    while (!server.Ended() && absl::Now() < latest && (absl::Now() < end || !enough())) {
      absl::SleepFor(absl::Milliseconds(2));
    }
    Set(nullptr);
    server.Kill();
  }

  // From now on one server, until the clients are through.
  void LiveOn(const std::function<void()>& wait) {
    ServerProcess server(flags_);
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
  void Set(std::shared_ptr<grpc::Channel> channel) {
    absl::MutexLock lock(&mutex_);
    channel_ = std::move(channel);
  }

  const std::vector<std::string> flags_;
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

// What tokens depend on; they do not depend on the other flags.
std::vector<std::string> Geometry() {
  return {"--max_pages=16384", Seed() % 4 == 3 ? "--query_chunk_tokens=64" : "--block_tokens=32"};
}

// Sessions are checkpointed all the time, and sleep as soon as they rest.
std::vector<std::string> VictimsFlags() {
  const char* temporary = std::getenv("TEST_TMPDIR");
  std::vector<std::string> flags = Geometry();
  std::mt19937_64 random(Seed());
  const auto draw = [&random](std::vector<const char*> values) {
    return std::string(values[random() % values.size()]);
  };
  for (const std::string& flag :
       {absl::StrCat("--data_folder=", temporary == nullptr ? "/tmp" : temporary, "/data"),
        "--threads=" + draw({"1", "2"}), "--checkpoint_tokens=" + draw({"32", "64", "128"}),
        "--checkpoint_idle=" + draw({"20ms", "50ms"}), "--sleep_after=" + draw({"50ms", "100ms"}),
        "--max_state_checkpoints=" + draw({"0", "4", "32"}),
        "--max_batch_tokens=" + draw({"512", "2048"})}) {
    flags.push_back(flag);
  }
  return flags;
}

std::vector<Outcome> Uninterrupted() {
  OneServer server(Geometry());
  std::vector<Outcome> outcomes(kScripts);
  for (uint64_t i = 0; i < kScripts; ++i) {
    const absl::Status status = Play(DrawScriptOf(i), &server, &outcomes[i]);
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_TRUE(PlayOn(DrawScriptOf(i), &server, &outcomes[i]).ok());
  }
  return outcomes;
}

// Plays scripts one after the other, each in sessions of its own, while it is killed.
class Client : public Servers {
 public:
  Client(int number, const std::vector<Outcome>& expected, Victim* victim)
      : number_(number), expected_(expected), victim_(victim) {}

  std::shared_ptr<grpc::Channel> Find() override { return victim_->Find(); }
  void OnProgress() override { ++steps_; }
  int64_t steps() const { return steps_; }

  void Play(const std::atomic<bool>& enough) {
    for (uint64_t round = 0; !enough; ++round) PlayNext(round);
  }
  void PlayNext(uint64_t round) {
    const uint64_t number = (round * kClients + number_) % kScripts;
    Script script = DrawScriptOf(number);
    script.session_id = absl::StrCat("c", number_, "-r", round);
    Played& played = played_.emplace_back(Played{number, std::move(script), {}});
    Note(testing::Play(played.script, this, &played.outcome));
  }

  // Every session that it made goes on.
  void PlayOn() {
    PlayNext(played_.size());  // what it had left to do may be too little for a checkpoint
    for (Played& played : played_) {
      Note(testing::PlayOn(played.script, this, &played.outcome));
      const bool same = played.outcome == expected_[played.number];
      EXPECT_TRUE(same) << played.script.session_id << " differs";
      played.outcome.findings.divergent += !same;
    }
  }

  void AddTo(Findings* sum, int64_t* sessions, int64_t* retries) const {
    for (const auto& [number, script, outcome] : played_) {
      sum->lost += outcome.findings.lost;
      sum->doubled += outcome.findings.doubled;
      sum->reordered += outcome.findings.reordered;
      sum->divergent += outcome.findings.divergent;
      *sessions += static_cast<int64_t>(outcome.sessions.size()) / 2;  // each was left twice
      *retries += outcome.retries;
    }
  }

 private:
  struct Played {
    uint64_t number;
    Script script;
    Outcome outcome;
  };
  static void Note(const absl::Status& status) { EXPECT_TRUE(status.ok()) << status; }

  const int number_;
  const std::vector<Outcome>& expected_;
  Victim* const victim_;
  std::atomic<int64_t> steps_ = 0;
  std::vector<Played> played_;
};

// Kills it at random moments and, every second time, at a named point. How many those were.
int KillAgainAndAgain(int kills, const std::deque<Client>& clients, Victim* victim) {
  std::mt19937_64 random(Seed());
  const char* points[] = {
      "journal.before_write",       "journal.after_write",       "checkpoint.before_extents",
      "extents.within_append",      "extents.before_sync",       "checkpoint.after_extents",
      "checkpoint.before_manifest", "checkpoint.after_manifest", "checkpoint.while_loading"};
  int at_points = 0;
  for (int kill = 0; kill < kills && !::testing::Test::HasFailure(); ++kill) {
    std::string point;
    if (random() % 2 == 0) {
      point = absl::StrCat(points[random() % std::size(points)], ":", 1 + random() % 40);
    }
    // Now and then a life in which every client comes further, however slow the machine is.
    std::vector<int64_t> steps;
    if (kill % 10 == 9) {
      point.clear();
      for (const Client& client : clients) steps.push_back(client.steps());
    }
    const auto enough = [&] {
      for (size_t i = 0; i < steps.size(); ++i) {
        if (clients[i].steps() <= steps[i]) return false;
      }
      return true;
    };
    victim->Live(absl::Milliseconds(20 + random() % 800), enough, point);
    at_points += !point.empty();
  }
  return at_points;
}

TEST(ChaosTest, NothingAcknowledgedIsLostDoubledOrReordered) {
  const std::vector<Outcome> expected = Uninterrupted();
  Victim victim(VictimsFlags());
  std::deque<Client> clients;
  for (int c = 0; c < kClients; ++c) clients.emplace_back(c, expected, &victim);
  std::atomic<bool> enough = false;
  std::vector<std::thread> threads;
  for (Client& client : clients) {
    threads.emplace_back([&] {
      client.Play(enough);
      client.PlayOn();
    });
  }
  const int kills = FromEnvironment("EIDETIC_CHAOS_KILLS", 30);
  const int at_points = KillAgainAndAgain(kills, clients, &victim);
  enough = true;
  victim.LiveOn([&] {
    for (std::thread& thread : threads) thread.join();
  });
  EXPECT_GT(victim.Checkpoints("written"), 0);
  EXPECT_EQ(victim.Checkpoints("refused"), 0);
  Findings found;
  int64_t sessions = 0, retries = 0;
  for (const Client& client : clients) client.AddTo(&found, &sessions, &retries);
  EXPECT_EQ(found.all(), 0);
  std::printf(
      "bench name=chaos kills=%d at_fail_points=%d sessions=%lld retries=%lld lost=%lld "
      "doubled=%lld reordered=%lld divergent=%lld\n",
      kills, at_points, static_cast<long long>(sessions), static_cast<long long>(retries),
      static_cast<long long>(found.lost), static_cast<long long>(found.doubled),
      static_cast<long long>(found.reordered), static_cast<long long>(found.divergent));
}

}  // namespace
}  // namespace eidetic::testing
