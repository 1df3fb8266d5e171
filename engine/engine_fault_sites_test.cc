// A script of everything that writes, on a disk that fails at each write and sync in turn.
//
// A first life counts the sites: every change of the journal's disk, every operation of the extent
// files. Then each site fails with ENOSPC and EIO, once and until the disk is healed, and the
// script goes on without a restart; and at each the power goes, what was not synced is lost, and
// the script goes on after a restart. Either way it ends as the first life did.
// EIDETIC_FAULT_STRIDE: every how manieth site is tried (7; 1: all).
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>
#include <map>
#include <random>
#include <set>

#include "engine/engine_checkpoint_fixture.h"
#include "memory/durable/faulty_env.h"
#include "memory/durable/faulty_file_system.h"

namespace eidetic {
namespace {

using memory::DiskFault;
using memory::FaultyEnv;
using memory::FaultyFileSystem;
using Operation = FaultyFileSystem::Operation;

// Those of the extent files that write.
constexpr std::array kWrites = {Operation::kCreate, Operation::kAppend, Operation::kSync,
                                Operation::kSyncFolder, Operation::kRemove};

struct Site {
  std::optional<Operation> extents;  // none: the journal's
  int64_t number = 0;
};

// What the script leaves, as far as a client can ask for it.
struct Outcome {
  std::map<std::string, memory::TokenLog> logs;  // of each session
  std::map<std::string, std::vector<TokenId>> answers;
};

class EngineFaultSitesTest : public EngineCheckpointTest {
 protected:
  // A step that can be taken again until it succeeds: what an attempt that failed had done already
  // is found, and is not done twice.
  struct Step {
    std::function<absl::Status()> take;
    bool keeps = false;  // a checkpoint: its failure is nobody's error
  };

  void TearDown() override { Stop(); }  // before its disk goes

  // A new disk, and a session that is only read.
  void Begin() {
    Stop();
    EngineCheckpointTest::SetUp();
    journal_disk_.emplace();
    extent_disk_.emplace(memory::FileSystem::Posix(), 1);
    journal_.env = journal_disk_->env();
    files_ = &*extent_disk_;
    extent_limits_.max_file_bytes = 1 << 10;  // a checkpoint fills some
    seen_ = {};
    position_ = {};
    Start();
    ASSERT_TRUE(Create("read").ok());
    Pour("read", kText);
    ASSERT_TRUE(CheckpointAll().ok());
  }

  std::vector<Step> Script() {
    return {{[this] { return Add("a", kText); }},
            {[this] { return CheckpointAll(); }, true},
            {[this] { return Continue("a", "first"); }},
            {[this] { return Found(Snapshot("a", "kept").status()); }},
            {[this] { return Add("a", kText); }},
            {[this] { return CheckpointAll(); }, true},
            {[this] { return Found(Fork("a", "b").status()); }},
            {[this] { return Cut("a", 60, [this] { return Rewind("a", 60).status(); }); }},
            {[this] { return Rest(); }},
            {[this] { return Continue("b", "second"); }},
            {[this] { return CheckpointAll(); }, true},
            {[this] { return Cut("a", 46, [this] { return Restore("a", "kept").status(); }); }},
            {[this] { return Copy("b", "c"); }},
            {[this] { return Gone(DeleteSnapshot("a", "kept")); }},
            {[this] { return CheckpointAll(); }, true},
            {[this] { return Gone(Delete("b")); }},
            {[this] { return Continue("c", "third"); }}};
  }

  absl::Status Add(const std::string& id, const std::string& text) {
    absl::Status created = Found(Create(id).status());
    if (!created.ok()) return created;
    const memory::Position end = position_[id] + static_cast<memory::Position>(text.size());
    return Cut(id, end, [&] {
      auto stream = OpenAppend(id);
      return stream.ok() ? Append(**stream, text).status() : stream.status();
    });
  }

  // Moves the session to `end` by `move`; it stands there, or where it stood before.
  absl::Status Cut(const std::string& id, memory::Position end,
                   const std::function<absl::Status()>& move) {
    EXPECT_TRUE(WaitUntilFree(id));
    const auto info = Get(id);
    if (!info.ok()) return info.status();
    if (info->position != end) {
      EXPECT_EQ(info->position, position_[id])
          << "what was acknowledged is lost, or was done twice";
      if (absl::Status moved = move(); !moved.ok()) return moved;
      if (const auto moved = Get(id); moved.ok()) {
        EXPECT_EQ(moved->position, end);
      }
    }
    position_[id] = end;
    return absl::OkStatus();
  }

  // Asks for the tokens that were not told yet.
  absl::Status Continue(const std::string& id, const std::string& request) {
    std::vector<TokenId>& tokens = seen_.answers[request];
    GenerateSpec spec = Spec(id, "q", 5);
    spec.request_id = spec.fingerprint = request;
    spec.resume_from = static_cast<int64_t>(tokens.size());
    const Told told = Answer(spec);
    for (const TokenEvent& event : told.tokens) {
      tokens.push_back(event.token.token);
      EXPECT_EQ(event.sequence_number, static_cast<int64_t>(tokens.size())) << request;
    }
    if (!told.finish) return told.error;
    position_[id] = told.finish->position;
    return absl::OkStatus();
  }

  absl::Status Copy(const std::string& from, const std::string& to) {
    const auto exported = Export(from);
    return exported.ok() ? Found(Import(to, *exported).status()) : exported.status();
  }

  // What is checkpointed sleeps; the next step wakes some of it.
  absl::Status Rest() {
    for (int turn = 0; turn < 3; ++turn) {
      clock_seconds_ += 700;
      if (auto info = Get("a"); !info.ok()) return info.status();
    }
    return absl::OkStatus();
  }

  static absl::Status Found(const absl::Status& status) {
    return absl::IsAlreadyExists(status) ? absl::OkStatus() : status;
  }
  static absl::Status Gone(const absl::Status& status) {
    return absl::IsNotFound(status) ? absl::OkStatus() : status;
  }

  void ExpectReads() {
    EXPECT_TRUE(Eventually([&] { return Score("read", "s").ok(); })) << Score("read", "s").status();
  }

  // `site` fails from now on, `times` times.
  void Break(const Site& site, DiskFault fault, int64_t times) {
    if (!site.extents) return journal_disk_->FailAfter(site.number, fault, times);
    extent_disk_->Fail(*site.extents, site.number, fault == DiskFault::kNoSpace ? ENOSPC : EIO,
                       times);
  }
  void Heal() {
    journal_disk_->Heal();
    extent_disk_->Heal();
  }
  // The power goes: what was not synced is lost, wholly or in part.
  void Crash() {
    Stop();
    Heal();
    journal_disk_->Crash(&random_);
    extent_disk_->Crash(random_() % 2 == 0 ? FaultyFileSystem::Unsynced::kForgotten
                                           : FaultyFileSystem::Unsynced::kTorn);
    Start();
  }

  // Until it succeeds, which needs no restart.
  void Insist(const Step& step) {
    absl::Status status;
    EXPECT_TRUE(Eventually([&] {
      clock_seconds_ += 2;
      return (status = step.take()).ok();
    })) << status;
  }

  Outcome Look() {
    for (const char* id : {"a", "c"}) seen_.logs[id] = Export(id)->log;
    return seen_;
  }

  // It is as after a life without faults, in memory and in what a crash leaves.
  void ExpectEnd(const Outcome& expected) {
    Insist({[this] { return CheckpointAll(); }});
    for (bool crashed : {false, true}) {
      if (crashed) Crash();
      SCOPED_TRACE(crashed ? "after a crash" : "before a crash");
      const Outcome seen = Look();
      EXPECT_EQ(seen.answers, expected.answers);
      for (const auto& [id, log] : expected.logs) {
        ASSERT_EQ(seen.logs.at(id).size(), log.size()) << id;
        EXPECT_EQ(seen.logs.at(id).CommonPrefix(log), log.size()) << id;
        const auto scored = Score(id, "s");
        ASSERT_TRUE(scored.ok()) << scored.status();
        EXPECT_EQ(
            scored->front().logprob,
            FakeModel::LogprobAfter(log, SmallLimits().query_chunk_tokens, SmallSettings(), 's'));
      }
      EXPECT_EQ(Get("b").status().code(), absl::StatusCode::kNotFound);
    }
    EXPECT_EQ(engine_->Stats().integrity_errors, 0);
    for (const char* id : {"a", "c", "read"}) EXPECT_TRUE(Delete(id).ok());
    EXPECT_TRUE(Eventually([&] {
      const EngineStats stats = engine_->Stats();
      return stats.pages_used + stats.tiles_used + stats.slots_used + stats.stored_bytes == 0;
    }));
    ExpectEmptyJournal();
  }

  // The life without faults; how many sites of each kind it has.
  Outcome Count() {
    Begin();
    const int64_t journal = journal_disk_->changes();
    std::map<Operation, int64_t> extents;
    for (Operation operation : kWrites) extents[operation] = -extent_disk_->count(operation);
    for (const Step& step : Script()) EXPECT_TRUE(step.take().ok());
    std::map<std::string, int64_t> counts = {{"journal", journal_disk_->changes() - journal}};
    constexpr const char* kNames[] = {"create", "append", "sync", "sync_folder", "remove"};
    for (size_t kind = 0; kind < kWrites.size(); ++kind) {
      counts[kNames[kind]] = extents[kWrites[kind]] + extent_disk_->count(kWrites[kind]);
      AddSites(kWrites[kind], counts[kNames[kind]]);
    }
    AddSites(std::nullopt, counts["journal"]);
    EXPECT_GT(engine_->Stats().sessions_loaded, 0) << "one slept and woke";
    for (const auto& [name, count] : counts) {
      // Files that nobody needs go in the background, perhaps after the last step.
      EXPECT_TRUE(count > 0 || name == "remove") << name;
      std::printf("bench name=fault_sites of=%s sites=%lld\n", name.c_str(),
                  static_cast<long long>(count));
    }
    const Outcome expected = Look();
    ExpectEnd(expected);
    return expected;
  }

  void AddSites(std::optional<Operation> extents, int64_t count) {
    const char* wanted = std::getenv("EIDETIC_FAULT_STRIDE");
    const int64_t stride = wanted == nullptr ? 7 : std::atoi(wanted);
    for (int64_t i = 0; i < count; i += stride) sites_.push_back({extents, i});
  }

  const std::string kText = std::string(40, 'x');  // two blocks and a part of one
  std::optional<FaultyEnv> journal_disk_;
  std::optional<FaultyFileSystem> extent_disk_;
  std::vector<Site> sites_;
  Outcome seen_;
  std::map<std::string, memory::Position> position_;  // acknowledged
  std::mt19937_64 random_{3};
};

std::string NameOf(const Site& site) {
  return (site.extents ? "extents " + std::to_string(static_cast<int>(*site.extents))
                       : std::string("journal")) +
         ", site " + std::to_string(site.number);
}

TEST_F(EngineFaultSitesTest, AFailureOfEachIsToldAndHealsWithoutARestart) {
  const Outcome expected = Count();
  int64_t lives = 0, refused = 0, unkept = 0;
  for (const Site& site : sites_) {
    for (const auto& [fault, code] :
         {std::pair(DiskFault::kNoSpace, absl::StatusCode::kResourceExhausted),
          std::pair(DiskFault::kIoError, absl::StatusCode::kUnavailable)}) {
      for (int64_t times : {int64_t{1}, FaultyEnv::kForever}) {
        SCOPED_TRACE(NameOf(site) + (fault == DiskFault::kIoError ? ", EIO" : ", ENOSPC"));
        Begin();
        Break(site, fault, times);
        for (const Step& step : Script()) {
          const absl::Status status = step.take();
          if (status.ok()) continue;
          ExpectReads();  // what ran as the failure was found is ended, what comes then is served
          if (step.keeps) {
            ++unkept;
            EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
            continue;
          }
          ++refused;
          EXPECT_FALSE(site.extents) << "only the journal's failures concern a client: " << status;
          EXPECT_EQ(status.code(), code) << status;
          Heal();
          Insist(step);
        }
        Heal();
        ExpectEnd(expected);
        ++lives;
        if (HasFailure()) return;
      }
    }
  }
  EXPECT_GT(refused, 0);
  EXPECT_GT(unkept, 0);
  std::printf("bench name=fault_sites lives=%lld refused=%lld checkpoints_failed=%lld\n",
              static_cast<long long>(lives), static_cast<long long>(refused),
              static_cast<long long>(unkept));
}

TEST_F(EngineFaultSitesTest, APowerCutAtEachLosesNothingAcknowledged) {
  const Outcome expected = Count();
  int64_t cuts = 0;
  for (const Site& site : sites_) {
    SCOPED_TRACE(NameOf(site));
    Begin();
    Break(site, DiskFault::kIoError, FaultyEnv::kForever);
    for (const Step& step : Script()) {
      if (step.take().ok()) continue;
      ++cuts;
      Crash();
      Insist(step);
    }
    Heal();
    ExpectEnd(expected);
    if (HasFailure()) return;
  }
  EXPECT_GT(cuts, 0);
  std::printf("bench name=power_cuts sites=%zu cuts=%lld\n", sites_.size(),
              static_cast<long long>(cuts));
}

}  // namespace
}  // namespace eidetic
