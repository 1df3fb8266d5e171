// Adapters through the engine: loaded while it serves, bound to sessions, kept over restarts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "engine/durable/session_export.h"
#include "engine/engine_checkpoint_fixture.h"

namespace eidetic {
namespace {

using ::testing::HasSubstr;

class EngineAdapterTest : public EngineCheckpointTest {
 protected:
  void SetUp() override {
    EngineCheckpointTest::SetUp();
    adapter_folder_ = extents_.parent_path() / "adapters";
  }

  // A folder of the tenant's with an adapter of one tensor, whose values are `value`.
  void WriteFolder(const std::string& tenant, const std::string& folder, float value) {
    const std::filesystem::path path = adapter_folder_ / tenant / folder;
    std::filesystem::create_directories(path);
    std::ofstream(path / "adapter_config.json")
        << R"({"peft_type": "LORA", "r": 1, "lora_alpha": 1, "modules_to_save": ["norm"]})";
    const std::string header =
        R"({"base_model.model.norm.weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
    const uint64_t length = header.size();
    std::ofstream file(path / "adapter_model.safetensors", std::ios::binary);
    file.write(reinterpret_cast<const char*>(&length), sizeof(length));
    file << header;
    file.write(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  absl::StatusOr<AdapterInfo> Load(const std::string& id, const std::string& folder) {
    return Wait<absl::StatusOr<AdapterInfo>>([&](auto done) {
      engine_->LoadAdapter({"acme", id}, folder, done);
    });
  }
  absl::Status Unload(const std::string& id) {
    return Wait<absl::Status>([&](auto done) { engine_->UnloadAdapter({"acme", id}, done); });
  }
  std::vector<AdapterInfo> List() {
    return *Wait<absl::StatusOr<std::vector<AdapterInfo>>>(
        [&](auto done) { engine_->ListAdapters("acme", "", 100, done); });
  }
  absl::StatusOr<SessionInfo> CreateWith(const std::string& id, const std::string& adapter) {
    return Create(id, "", "", adapter);
  }
  absl::StatusOr<SessionInfo> ForkWith(const std::string& parent, const std::string& child,
                                       AdapterChange change) {
    return Fork(
        parent, child, [](memory::SpanSettings*) {}, std::move(change));
  }
  std::vector<TokenId> Say(const std::string& id) { return TokensOf(Answer(Spec(id, "say", 6))); }
  // What a session that was never interrupted says, computed with `adapter` from the first.
  std::vector<TokenId> SayAfter(const std::string& past, const std::string& adapter) {
    EXPECT_TRUE(CreateWith("plain", adapter).ok());
    Pour("plain", past);
    const std::vector<TokenId> said = Say("plain");
    EXPECT_TRUE(Delete("plain").ok());
    return said;
  }
};

constexpr char kPast[] = "a past of more than thirty-two tokens, so that it has two chunks";

TEST_F(EngineAdapterTest, ASessionIsComputedWithItsAdapter) {
  WriteFolder("acme", "tone-1", 1);
  WriteFolder("acme", "tone-2", 2);
  Start();
  ASSERT_TRUE(Load("one", "tone-1").ok());
  ASSERT_TRUE(Load("two", "tone-2").ok());
  ASSERT_EQ(List().size(), 2u);
  const auto base = SayAfter(kPast, ""), one = SayAfter(kPast, "one"), two = SayAfter(kPast, "two");
  EXPECT_NE(base, one);
  EXPECT_NE(base, two);
  EXPECT_NE(one, two);
  const auto made = CreateWith("a", "one");
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->adapter, "one");
  Pour("a", kPast);
  ASSERT_EQ(Fork("a", "b")->adapter, "one");
  EXPECT_EQ(Say("a"), one);
  EXPECT_EQ(Say("b"), one);

  GenerateSpec loose = Spec("", std::string(kPast), 6);
  const auto plain = TokensOf(Answer(loose));
  loose.adapter = "one";
  EXPECT_NE(TokensOf(Answer(loose)), plain);
}

TEST_F(EngineAdapterTest, WhatIsNotThereIsNotFound) {
  WriteFolder("acme", "tone", 1);
  WriteFolder("other", "secret", 2);
  Start();
  EXPECT_EQ(CreateWith("a", "none").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Unload("none").code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Load("a", "none").status().code(), absl::StatusCode::kNotFound);
  // Another tenant's, and whatever leaves the tenant's folder.
  EXPECT_EQ(Load("a", "secret").status().code(), absl::StatusCode::kNotFound);
  for (const char* folder : {"../other/secret", "..", ".", "", "tone/", "/etc", ".hidden"}) {
    EXPECT_EQ(Load("a", folder).status().code(), absl::StatusCode::kInvalidArgument) << folder;
  }
  // The client does not learn where the server keeps its files.
  EXPECT_THAT(std::string(Load("a", "none").status().message()),
              testing::Not(HasSubstr(adapter_folder_.string())));
}

TEST_F(EngineAdapterTest, WithoutAFolderNothingIsLoaded) {
  adapter_folder_.clear();
  Start();
  EXPECT_EQ(Load("a", "tone").status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(EngineAdapterTest, OneInUseStays) {
  WriteFolder("acme", "tone", 1);
  Start();
  ASSERT_TRUE(Load("one", "tone").ok());
  EXPECT_TRUE(Load("one", "tone").ok());  // the same content again
  ASSERT_TRUE(CreateWith("a", "one").ok());
  EXPECT_EQ(List()[0].users, 1);
  EXPECT_EQ(Unload("one").code(), absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(Delete("a").ok());
  EXPECT_TRUE(Eventually([&] { return Unload("one").ok(); }));
  EXPECT_TRUE(List().empty());
}

TEST_F(EngineAdapterTest, AnotherContentDoesNotTakeTheName) {
  WriteFolder("acme", "tone-1", 1);
  WriteFolder("acme", "tone-2", 2);
  Start();
  ASSERT_TRUE(Load("one", "tone-1").ok());
  EXPECT_EQ(Load("one", "tone-2").status().code(), absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(Unload("one").ok());
  EXPECT_TRUE(Load("one", "tone-2").ok());
}

TEST_F(EngineAdapterTest, AForkChangesItsAdapterOnlyWhenItsPastIsComputedAgain) {
  WriteFolder("acme", "tone", 1);
  Start();
  ASSERT_TRUE(Load("one", "tone").ok());
  const auto base = SayAfter(kPast, ""), one = SayAfter(kPast, "one");
  ASSERT_TRUE(Create("a").ok());
  // Nothing is lost yet.
  EXPECT_EQ(ForkWith("a", "early", {.adapter = "one"})->adapter, "one");
  Pour("a", kPast);
  const auto refused = ForkWith("a", "b", {.adapter = "one"});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("reingest"));
  EXPECT_FALSE(Get("b").ok());
  const auto again = ForkWith("a", "b", {.adapter = "one", .reingest = true});
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->position, Get("a")->position);
  EXPECT_EQ(again->computed, 0);
  EXPECT_EQ(Say("b"), one);
  EXPECT_EQ(Say("a"), base);
  const auto back = ForkWith("b", "c", {.adapter = "", .reingest = true});
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->adapter, "");
  // The same adapter is no change.
  EXPECT_GT(ForkWith("b", "d", {.adapter = "one"})->computed, 0);
}

TEST_F(EngineAdapterTest, AfterARestartItIsThereAndItsCheckpointsAreLoaded) {
  WriteFolder("acme", "tone", 1);
  Start();
  ASSERT_TRUE(Load("one", "tone").ok());
  const auto one = SayAfter(kPast, "one");
  ASSERT_TRUE(CreateWith("a", "one").ok());
  Pour("a", kPast);
  ASSERT_TRUE(CheckpointAll().ok());
  Restart();
  ASSERT_EQ(List().size(), 1u);
  EXPECT_EQ(List()[0].problem, "");
  EXPECT_EQ(Get("a")->adapter, "one");
  EXPECT_EQ(Say("a"), one);
  EXPECT_EQ(engine_->Stats().checkpoints_refused, 0);
  EXPECT_EQ(engine_->Stats().recomputed_tokens, 0);
}

TEST_F(EngineAdapterTest, AChangedFileIsRefusedUntilTheOldOneIsBack) {
  WriteFolder("acme", "tone", 1);
  Start();
  ASSERT_TRUE(Load("one", "tone").ok());
  const auto one = SayAfter(kPast, "one");
  ASSERT_TRUE(CreateWith("a", "one").ok());
  Pour("a", kPast);
  Stop();
  WriteFolder("acme", "tone", 2);
  Start();
  EXPECT_THAT(List()[0].problem, HasSubstr("its files changed"));
  const Told told = Answer(Spec("a", "say", 6));
  EXPECT_EQ(told.error.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(told.error.message()), HasSubstr("tenants/acme/adapters/one"));
  EXPECT_EQ(OpenAppend("a").status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(CreateWith("b", "one").status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Load("one", "tone").status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Unload("one").code(), absl::StatusCode::kFailedPrecondition);
  WriteFolder("acme", "tone", 1);
  ASSERT_TRUE(Load("one", "tone").ok());
  EXPECT_EQ(Say("a"), one);
}

TEST_F(EngineAdapterTest, AnExportTakesTheAdapterOfItsContent) {
  WriteFolder("acme", "tone", 1);
  Start();
  ASSERT_TRUE(Load("one", "tone").ok());
  const auto one = SayAfter(kPast, "one");
  ASSERT_TRUE(CreateWith("a", "one").ok());
  Pour("a", kPast);
  const auto exported = Export("a");
  ASSERT_TRUE(exported.ok()) << exported.status();
  const ExportBinding binding{
      .model_hash = "m", .block_tokens = 16, .query_chunk_tokens = 32, .vocab_size = 1000};
  const auto carried = DecodeExport(EncodeExport(*exported, binding), binding);
  ASSERT_TRUE(carried.ok()) << carried.status();
  ASSERT_TRUE(Import("b", *carried).ok());
  EXPECT_EQ(Get("b")->adapter, "one");
  EXPECT_EQ(Say("b"), one);
  ASSERT_TRUE(Delete("a").ok());
  ASSERT_TRUE(Delete("b").ok());
  ASSERT_TRUE(Eventually([&] { return Unload("one").ok(); }));
  EXPECT_EQ(Import("c", *carried).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(Get("c").ok());
}

}  // namespace
}  // namespace eidetic
