// A fork may change the settings for new tokens: its past keeps its own, also when it is computed
// again.
#include <gtest/gtest.h>

#include "engine/engine_checkpoint_fixture.h"

namespace eidetic {
namespace {

using memory::AttentionPolicy;

const std::string kPast(205, 'x');

class EngineSettingsTest : public EngineCheckpointTest {
 protected:
  void SetUp() override {
    EngineCheckpointTest::SetUp();
    extents_.clear();  // without checkpoints everything is computed again
  }

  static void ToFull(memory::SpanSettings* settings) { settings->policy = AttentionPolicy::kFull; }
  static void ToOneBlock(memory::SpanSettings* settings) { settings->span_blocks = 1; }

  // Two sessions alike: one is asked now, the other after what happens to it.
  void MakeForks(const std::function<void(memory::SpanSettings*)>& edit) {
    ASSERT_TRUE(Create("parent").ok());
    Pour("parent", kPast);
    for (const char* id : {"a", "twin"}) {
      ASSERT_TRUE(Fork("parent", id, edit).ok());
      Pour(id, "of the child");
    }
  }
};

TEST_F(EngineSettingsTest, AForksPastIsComputedAgainWithItsOwnSettings) {
  for (const auto& edit : {ToFull, ToOneBlock}) {
    SetUp();
    Start();
    MakeForks(edit);
    const auto expected = TokensOf(Answer(Spec("twin", "and?", 6)));
    Restart();
    EXPECT_EQ(TokensOf(Answer(Spec("a", "and?", 6))), expected);
    EXPECT_EQ(ComputedTokens(), 205 + 12 + 4 + 5);
    Stop();
  }
}

TEST_F(EngineSettingsTest, AForkOfWhatIsNotComputedYetIsAsItWouldBe) {
  Start();
  ASSERT_TRUE(Create("parent").ok());
  Pour("parent", kPast);
  ASSERT_TRUE(Fork("parent", "early", ToFull).ok());
  Restart();
  ASSERT_TRUE(Fork("parent", "late", ToFull).ok());  // nothing is computed
  EXPECT_EQ(TokensOf(Answer(Spec("late", "and?", 6))), TokensOf(Answer(Spec("early", "and?", 6))));
}

TEST_F(EngineSettingsTest, ARewindIntoTheParentsPastKeepsItsSettingsThere) {
  Start();
  MakeForks(ToFull);
  ASSERT_TRUE(Snapshot("a", "whole").ok());
  const auto whole = TokensOf(Answer(Spec("twin", "and?", 6)));
  ASSERT_TRUE(Create("plain").ok());
  Pour("plain", kPast);
  ASSERT_TRUE(Rewind("plain", 70).ok());
  ASSERT_TRUE(Fork("plain", "cut", ToFull).ok());
  const auto cut = TokensOf(Answer(Spec("cut", "and?", 6)));
  ASSERT_TRUE(Rewind("a", 70).ok());
  Restart();
  EXPECT_EQ(TokensOf(Answer(Spec("a", "and?", 6))), cut);
  ASSERT_TRUE(Restore("a", "whole").ok());
  Restart();
  EXPECT_EQ(TokensOf(Answer(Spec("a", "and?", 6))), whole);
  EXPECT_EQ(Get("a")->settings.policy, AttentionPolicy::kFull);
}

TEST_F(EngineSettingsTest, AnExportCarriesThem) {
  Start();
  MakeForks(ToOneBlock);
  const auto expected = TokensOf(Answer(Spec("twin", "and?", 6)));
  const auto exported = Export("a");
  ASSERT_TRUE(exported.ok()) << exported.status();
  ASSERT_TRUE(Import("b", *exported).ok());
  Restart();
  EXPECT_EQ(TokensOf(Answer(Spec("b", "and?", 6))), expected);
}

}  // namespace
}  // namespace eidetic
