// A session whose records are damaged is shown as that, can be deleted, and leaves nothing behind.
#include <gtest/gtest.h>

#include "engine/durable/session_keys.h"
#include "engine/durable/session_records.h"
#include "engine/engine_checkpoint_fixture.h"

namespace eidetic {
namespace {

class EngineDamageTest : public EngineCheckpointTest {
 protected:
  static GenerateSpec Named(std::string session) {
    GenerateSpec spec = Spec(std::move(session), "tell me", 5);
    spec.request_id = "r1";
    spec.fingerprint = "body";
    return spec;
  }

  // "a", which has everything that a session can have, and "b".
  void Make() {
    Start();
    for (const char* id : {"a", "b"}) {
      ASSERT_TRUE(Create(id).ok());
      Pour(id, "first");
      ASSERT_TRUE(Snapshot(id, "early").ok());
      ASSERT_TRUE(Answer(Named(id)).finish);
      ASSERT_TRUE(Rewind(id, 12).ok());
      ASSERT_TRUE(Answer(Named(id)).finish);
      ASSERT_TRUE(CheckpointAll().ok());
      Pour(id, "second");
      ASSERT_TRUE(CheckpointAll().ok());
    }
    Stop();
  }

  std::vector<std::string> Keys(const std::string& prefix) {
    std::vector<std::string> keys;
    EXPECT_TRUE((*memory::Journal::Open(journal_))
                    ->Scan(prefix, prefix,
                           [&](std::string_view key, std::string_view) {
                             keys.emplace_back(key);
                             return true;
                           })
                    .ok());
    return keys;
  }
  // Deletes the record, or makes it something else.
  void Damage(const std::string& key, bool remove) {
    memory::JournalBatch batch;
    remove ? batch.Delete(key) : batch.Put(key, "\x02garbage");
    ASSERT_TRUE((*memory::Journal::Open(journal_))->Commit(std::move(batch)).ok());
  }

  LogId LastLogOf(const std::string& id) {
    const auto record =
        Decode<SessionRecord>(*(*memory::Journal::Open(journal_))->Get(KeyOf(Name(id))));
    return record->segments.back().log;
  }

  std::vector<SessionInfo> List() {
    return *Wait<absl::StatusOr<std::vector<SessionInfo>>>(
        [&](auto done) { engine_->ListSessions("acme", "", 100, done); });
  }

  void ExpectDamagedAndDeletable() {
    Start();
    const std::vector<SessionInfo> listed = List();
    ASSERT_EQ(listed.size(), 2u);
    EXPECT_EQ(listed[0].name, Name("a"));
    EXPECT_NE(listed[0].damage, "");
    EXPECT_EQ(listed[1].damage, "");
    EXPECT_EQ(Get("a")->damage, listed[0].damage);
    EXPECT_EQ(engine_->Stats().integrity_errors, 1);
    EXPECT_EQ(Create("a").status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(Fork("b", "a").status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(Rewind("a", 0).status().code(), absl::StatusCode::kDataLoss);
    EXPECT_EQ(Score("a", "q").status().code(), absl::StatusCode::kDataLoss);
    EXPECT_TRUE(Answer(Spec("b", "go on", 3)).finish) << "others serve";
    ASSERT_TRUE(Delete("a").ok());
    EXPECT_EQ(Get("a").status().code(), absl::StatusCode::kNotFound);
    ASSERT_TRUE(Create("a").ok());
    Restart();
    EXPECT_EQ(Get("a")->position, 0);
    EXPECT_EQ(Get("a")->damage, "");
    EXPECT_TRUE(Answer(Named("a")).finish) << "the request is new";
    EXPECT_EQ(Get("a")->position, 12);
    EXPECT_EQ(Restore("a", "early").status().code(), absl::StatusCode::kNotFound);
    for (const char* id : {"a", "b"}) ASSERT_TRUE(Delete(id).ok());
    Stop();
    for (const char* prefix : {"e/", "m/", "n/", "o/", "p/", "r/", "s/", "t/"}) {
      EXPECT_TRUE(Keys(prefix).empty()) << Keys(prefix).front();
    }
  }
};

TEST_F(EngineDamageTest, WhateverRecordItIs) {
  for (bool remove : {false, true}) {
    // A request or a snapshot that is removed as a whole is not missed.
    for (const char* prefix : {"s/acme/a", "p/acme/a/", "r/acme/a/", "e/acme/a/", "n/", "t/"}) {
      const char kind = prefix[0];
      if (remove && (kind == 'p' || kind == 'r')) continue;
      SCOPED_TRACE(std::string(prefix) + (remove ? " removed" : " damaged"));
      SetUp();
      Make();
      // Of t/, the first are those of "a".
      const std::vector<std::string> keys = Keys(prefix);
      ASSERT_FALSE(keys.empty());
      std::string victim = keys.front();
      if (kind == 'n') victim = KeyOfEnd(LastLogOf("a"));
      Damage(victim, remove);
      ExpectDamagedAndDeletable();
    }
  }
}

// The session's own record is gone, and what else it had would become the next one's.
TEST_F(EngineDamageTest, AnyRecordWithoutItsSession) {
  for (const char kept : {'p', 'r', 'e', 'm', 'o'}) {
    SCOPED_TRACE(kept);
    SetUp();
    Make();
    Damage(KeyOf(Name("a")), true);
    for (const char other : {'p', 'r', 'e', 'm', 'o'}) {
      if (other == kept) continue;
      for (const std::string& key : Keys(std::string(1, other) + "/acme/a")) Damage(key, true);
    }
    ExpectDamagedAndDeletable();
  }
}

}  // namespace
}  // namespace eidetic
