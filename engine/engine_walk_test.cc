// Random steps against a simple model of what each session and snapshot should hold: their tokens,
// and what is computed of them. The fake model CHECKs that pages, index and state hold no foreign
// byte, wherever they have been: on the device, on the host, in extent files.
// EIDETIC_WALK_STEPS: how many (2,000).
#include <cstdlib>
#include <map>
#include <random>
#include <thread>

#include "engine/engine_checkpoint_fixture.h"

namespace eidetic {
namespace {

constexpr memory::Position kLongest = 300;
constexpr size_t kMostSessions = 6, kMostSnapshots = 6;

class EngineWalkTest : public EngineCheckpointTest {
 protected:
  struct Past {
    memory::TokenLog log;
    std::map<std::string, memory::TokenLog> snapshots;
  };

  // Room for two or three of the sessions on the device.
  static EngineLimits FewPages() {
    EngineLimits limits = SmallLimits();
    limits.memory = {
        .max_pages = 110, .max_host_pages = 40, .max_promoted_pages = 8, .max_state_slots = 5};
    return limits;
  }

  uint64_t Draw(uint64_t below) { return random_() % below; }
  template <typename Map>
  auto Pick(Map& map) {
    return std::next(map.begin(), static_cast<int64_t>(Draw(map.size())));
  }

  // Calls until there is room: what rests is room once it is checkpointed.
  template <typename Call>
  auto Insist(const Call& call) {
    auto result = call();
    for (int i = 0; i < 3 && Status(result).code() == absl::StatusCode::kResourceExhausted; ++i) {
      ++refused_;
      EXPECT_TRUE(CheckpointAll().ok());
      result = call();
    }
    return result;
  }
  static absl::Status Status(const absl::Status& status) { return status; }
  static absl::Status Status(const Told& told) { return told.error; }
  template <typename T>
  static absl::Status Status(const absl::StatusOr<T>& result) {
    return result.status();
  }

  void AwaitFree(const std::string& id) {
    while (Get(id)->busy) std::this_thread::yield();
  }

  absl::Status TryAdd(const std::string& id, const std::string& text) {
    auto stream = OpenAppend(id);
    if (!stream.ok()) return stream.status();
    absl::Status status = Append(**stream, text).status();
    if (status.ok()) status = Drain(**stream);
    stream->reset();
    AwaitFree(id);
    return status;
  }

  void Add(const std::string& id, Past* past) {
    if (past->log.size() > kLongest) return;
    const std::string text(1 + Draw(50), static_cast<char>('a' + Draw(26)));
    const absl::Status added = Insist([&] { return TryAdd(id, text); });
    ASSERT_TRUE(added.ok()) << added;
    past->log.Append(Ids(text));
  }

  void Continue(const std::string& id, Past* past) {
    if (past->log.size() > kLongest) return;
    const auto tokens = static_cast<int32_t>(1 + Draw(6));
    const Told told = Insist([&] { return Answer(Spec(id, "q", tokens)); });
    ASSERT_TRUE(told.finish) << told.error;
    past->log.Append(Ids("q"));
    for (TokenId token : TokensOf(told)) past->log.AppendGenerated(token);
    AwaitFree(id);
  }

  void TakeBack(const std::string& id, Past* past) {
    const auto to = static_cast<memory::Position>(Draw(past->log.size() + 1));
    ASSERT_TRUE(Rewind(id, to).ok());
    past->log = past->log.Prefix(to);
  }

  void Keep(const std::string& id, const std::string& snapshot, Past* past) {
    if (past->snapshots.size() >= kMostSnapshots) {
      const auto gone = Pick(past->snapshots);
      ASSERT_TRUE(DeleteSnapshot(id, gone->first).ok());
      past->snapshots.erase(gone);
    }
    ASSERT_TRUE(Snapshot(id, snapshot).ok());
    past->snapshots[snapshot] = past->log;
  }

  void GoBack(const std::string& id, Past* past) {
    if (past->snapshots.empty()) return;
    const auto& [snapshot, log] = *Pick(past->snapshots);
    ASSERT_TRUE(Restore(id, snapshot).ok());
    past->log = log;
  }

  void ForkOrDelete(const std::string& id, const std::string& child) {
    if (pasts_.size() >= kMostSessions) {
      ASSERT_TRUE(Delete(id).ok());
      pasts_.erase(id);
      return;
    }
    const auto forked = Insist([&] { return Fork(id, child); });
    ASSERT_TRUE(forked.ok()) << forked.status();
    pasts_[child].log = memory::TokenLog(pasts_[id].log);
  }

  // The first of them is checkpointed by rest, and in time sleeps.
  void Rest() {
    clock_seconds_ += Draw(2) == 0 ? 31 : 601;
    for (int turn = 0; turn < 3; ++turn) ASSERT_TRUE(Get(pasts_.begin()->first).ok());
  }

  // Wakes it; what it remembers is what its tokens are.
  void ExpectRemembered(const std::string& id, const memory::TokenLog& log) {
    if (log.size() == 0) return;
    const auto scored = Insist([&] { return Score(id, "s"); });
    ASSERT_TRUE(scored.ok()) << scored.status();
    EXPECT_EQ(scored->front().logprob,
              FakeModel::LogprobAfter(log, SmallLimits().query_chunk_tokens, SmallSettings(), 's'));
  }

  void ExpectLog(const absl::StatusOr<ExportedSession>& seen, const memory::TokenLog& log) {
    ASSERT_TRUE(seen.ok()) << seen.status();
    ASSERT_EQ(seen->log.size(), log.size());
    ASSERT_EQ(seen->log.CommonPrefix(log), log.size());
  }

  void Step(const std::string& name) {
    if (pasts_.size() < 2) {
      const auto created = Insist([&] { return Create("new-" + name); });
      ASSERT_TRUE(created.ok()) << created.status();
      pasts_["new-" + name];
    }
    const auto [id, past] = [&] {
      const auto picked = Pick(pasts_);
      return std::pair(picked->first, &picked->second);
    }();
    switch (Draw(12)) {
      case 0:
      case 1:
      case 2:
        return Add(id, past);
      case 3:
        return Continue(id, past);
      case 4:
      case 5:
        return TakeBack(id, past);
      case 6:
        return Keep(id, "at-" + name, past);
      case 7:
        return GoBack(id, past);
      case 8:
        return ForkOrDelete(id, "fork-" + name);
      case 9:
        return ExpectRemembered(id, past->log);
      case 10:
        return Rest();
      default:
        if (Draw(40) == 0) CountAndRestart();
    }
  }

  void CountAndRestart() {
    const EngineStats stats = engine_->Stats();
    loaded_ += stats.sessions_loaded;
    written_ += stats.checkpoints_written;
    EXPECT_EQ(stats.checkpoints_refused + stats.checkpoints_failed, 0);
    ++restarts_;
    Restart(FewPages());
  }

  std::map<std::string, Past> pasts_;
  std::mt19937_64 random_{7};
  int64_t refused_ = 0, loaded_ = 0, written_ = 0, restarts_ = 0;
};

TEST_F(EngineWalkTest, EverySessionAndSnapshotHoldsItsOwn) {
  const char* wanted = std::getenv("EIDETIC_WALK_STEPS");
  const int steps = wanted == nullptr ? 2'000 : std::atoi(wanted);
  Start(FewPages());
  for (int step = 0; step < steps && !HasFailure(); ++step) {
    SCOPED_TRACE(step);
    Step(std::to_string(step));
    if (pasts_.empty()) continue;
    const auto& [id, past] = *Pick(pasts_);
    ExpectLog(Export(id), past.log);
    for (const auto& [snapshot, log] : past.snapshots) ExpectLog(Export(id, snapshot), log);
    if (step % 100'000 == 99'999) std::fprintf(stderr, "%d of %d steps\n", step + 1, steps);
  }
  for (const auto& [id, past] : pasts_) ExpectRemembered(id, past.log);
  CountAndRestart();
  for (const auto& [id, past] : pasts_) EXPECT_TRUE(Delete(id).ok());
  EXPECT_TRUE(Eventually([&] {
    const EngineStats stats = engine_->Stats();
    return stats.pages_used + stats.host_pages_used + stats.promoted_pages + stats.tiles_used +
               stats.slots_used + stats.stored_bytes ==
           0;
  }));
  ExpectEmptyJournal();
  EXPECT_GT(loaded_, steps / 100);
  EXPECT_GT(written_, steps / 100);
  std::printf("bench name=walk steps=%d restarts=%lld checkpoints=%lld loaded=%lld refused=%lld\n",
              steps, static_cast<long long>(restarts_), static_cast<long long>(written_),
              static_cast<long long>(loaded_), static_cast<long long>(refused_));
}

}  // namespace
}  // namespace eidetic
