// Adapters of the real server: hot, beside the base model, and over a restart.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "absl/time/clock.h"
#include "tests/end_to_end/requests.h"
#include "tests/end_to_end/server_process.h"

namespace eidetic::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class AdaptersTest : public ::testing::Test {
 protected:
  AdaptersTest() {
    fs::remove_all(root_);
    fs::create_directories(root_ / "adapters/default/tone");
    Restore();
  }
  // The folder is the demo model's adapter again.
  void Restore() {
    for (const char* name : {"adapter_config.json", "adapter_model.safetensors"}) {
      fs::copy_file(DemoModel() / "adapter" / name, folder_ / name,
                    fs::copy_options::overwrite_existing);
    }
  }
  // The last number of its last tensor is another.
  void Change() {
    std::fstream file(folder_ / "adapter_model.safetensors",
                      std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(-1, std::ios::end);
    file.put('\x41');
  }
  std::vector<std::string> Flags() const {
    return {"--adapter_folder=" + (root_ / "adapters").string(),
            "--data_folder=" + (root_ / "data").string()};
  }
  static double Logprob(const client::Session& session) {
    v1::Content content;
    content.set_text(" and then they went home again.");
    const auto score = session.Score(content);
    EXPECT_TRUE(score.ok()) << score.status();
    return score.ok() ? score->total_logprob() : 0;
  }

  const fs::path root_ = fs::path(std::getenv("TEST_TMPDIR")) / "adapters_test";
  const fs::path folder_ = root_ / "adapters/default/tone";
};

TEST_F(AdaptersTest, AreLoadedWhileTheServerServes) {
  ServerProcess server(Flags());
  const client::Client client(server.channel());
  auto base = client.CreateSession({.id = "base"});
  ASSERT_TRUE(base.ok()) << base.status();
  const std::string text = Prose(100, 1);
  ASSERT_TRUE(base->Append(text).ok());
  const double before = Logprob(*base);

  EXPECT_EQ(client.LoadAdapter("tone", "missing").status().code(), absl::StatusCode::kNotFound);
  const auto adapter = client.LoadAdapter("tone");
  ASSERT_TRUE(adapter.ok()) << adapter.status();
  EXPECT_GT(adapter->memory_bytes(), 400'000);
  auto tuned = client.CreateSession({.id = "tuned", .adapter = "tone"});
  ASSERT_TRUE(tuned.ok()) << tuned.status();
  ASSERT_TRUE(tuned->Append(text).ok());
  const double with = Logprob(*tuned);
  EXPECT_NE(with, before);
  EXPECT_EQ(Logprob(*base), before);

  const auto refused = base->Fork({.adapter = "tone"});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  const auto again = base->Fork({.adapter = "tone", .reingest = true});
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(Logprob(*again), with);

  EXPECT_EQ(client.UnloadAdapter("tone").code(), absl::StatusCode::kFailedPrecondition);
  for (const char* id : {"tuned", again->name().c_str()}) {
    ASSERT_TRUE(client.DeleteSession(id).ok());
  }
  absl::Status unloaded;
  for (int i = 0; i < 100 && !(unloaded = client.UnloadAdapter("tone")).ok(); ++i) {
    absl::SleepFor(absl::Milliseconds(50));  // its last checkpoint may be under way
  }
  EXPECT_TRUE(unloaded.ok()) << unloaded;
  EXPECT_TRUE(client.ListAdapters()->empty());
  EXPECT_EQ(server.Stop(), 0);
}

TEST_F(AdaptersTest, ASessionGoesOnAfterARestartWithItsAdapterAlone) {
  double with = 0;
  {
    ServerProcess server(Flags());
    const client::Client client(server.channel());
    ASSERT_TRUE(client.LoadAdapter("tone").ok());
    auto session = client.CreateSession({.id = "tuned", .adapter = "tone"});
    ASSERT_TRUE(session->Append(Prose(100, 1)).ok());
    with = Logprob(*session);
    EXPECT_EQ(server.Stop(), 0);
  }
  {
    ServerProcess server(Flags());
    EXPECT_EQ(Logprob(*client::Client(server.channel()).OpenSession("tuned")), with);
    EXPECT_EQ(server.Stop(), 0);
  }
  Change();
  ServerProcess server(Flags());
  const client::Client client(server.channel());
  EXPECT_THAT(client.ListAdapters()->at(0).problem(), HasSubstr("its files changed"));
  auto session = client.OpenSession("tuned");
  ASSERT_TRUE(session.ok()) << session.status();
  const Answer refused = Read(session->Generate(Greedy("", 4)));
  EXPECT_EQ(refused.status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.status.message()), HasSubstr("tenants/default/adapters/tone"));
  Restore();
  ASSERT_TRUE(client.LoadAdapter("tone").ok());
  EXPECT_EQ(Logprob(*session), with);
}

}  // namespace
}  // namespace eidetic::testing
