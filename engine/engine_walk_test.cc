// Random steps against a simple model of what each session and snapshot should hold.
// EIDETIC_WALK_STEPS: how many (600).
#include <cstdlib>
#include <map>
#include <random>

#include "engine/restart_fixture.h"

namespace eidetic {
namespace {

constexpr memory::Position kLongest = 300;
constexpr size_t kMostSessions = 5, kMostSnapshots = 6;

class EngineWalkTest : public RestartTest {
 protected:
  struct Past {
    memory::TokenLog log;
    std::map<std::string, memory::TokenLog> snapshots;
  };

  uint64_t Draw(uint64_t below) { return random_() % below; }
  template <typename Map>
  auto Pick(Map& map) {
    return std::next(map.begin(), static_cast<int64_t>(Draw(map.size())));
  }

  void Add(const std::string& id, Past* past) {
    if (past->log.size() > kLongest) return;
    const std::string text(1 + Draw(50), static_cast<char>('a' + Draw(26)));
    Pour(id, text);
    past->log.Append(Ids(text));
  }

  void Continue(const std::string& id, Past* past) {
    if (past->log.size() > kLongest) return;
    const Told told = Answer(Spec(id, "q", 1 + static_cast<int32_t>(Draw(6))));
    ASSERT_TRUE(told.finish) << told.error;
    past->log.Append(Ids("q"));
    for (TokenId token : TokensOf(told)) past->log.AppendGenerated(token);
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
    ASSERT_TRUE(Fork(id, child).ok());
    pasts_[child].log = memory::TokenLog(pasts_[id].log);
  }

  void Step(const std::string& name) {
    if (pasts_.size() < 2) {
      ASSERT_TRUE(Create("new-" + name).ok());
      pasts_["new-" + name];
    }
    const auto [id, past] = [&] {
      const auto picked = Pick(pasts_);
      return std::pair(picked->first, &picked->second);
    }();
    switch (Draw(10)) {
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
      default:
        if (Draw(4) == 0) MaybeRestart();
    }
  }

  void ExpectLog(const absl::StatusOr<ExportedSession>& seen, const memory::TokenLog& log) {
    ASSERT_TRUE(seen.ok()) << seen.status();
    ASSERT_EQ(seen->log.size(), log.size());
    ASSERT_EQ(seen->log.CommonPrefix(log), log.size());
  }

  std::map<std::string, Past> pasts_;
  std::mt19937_64 random_{7};
};

INSTANTIATE_TEST_SUITE_P(Restarts, EngineWalkTest, testing::Bool());

TEST_P(EngineWalkTest, EverySessionAndSnapshotHoldsItsOwnTokens) {
  const char* wanted = std::getenv("EIDETIC_WALK_STEPS");
  const int steps = wanted == nullptr ? 600 : std::atoi(wanted);
  Start();
  for (int step = 0; step < steps && !HasFatalFailure(); ++step) {
    SCOPED_TRACE(step);
    Step(std::to_string(step));
    const auto& [id, past] = *Pick(pasts_);
    ExpectLog(Export(id), past.log);
    for (const auto& [snapshot, log] : past.snapshots) ExpectLog(Export(id, snapshot), log);
  }
  for (const auto& [id, past] : pasts_) EXPECT_TRUE(Delete(id).ok());
  EXPECT_TRUE(Eventually([&] {
    const EngineStats stats = engine_->Stats();
    return stats.pages_used == 0 && stats.tiles_used == 0 && stats.slots_used == 0;
  }));
  ExpectEmptyJournal();
}

}  // namespace
}  // namespace eidetic
