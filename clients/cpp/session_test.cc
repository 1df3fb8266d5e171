#include "clients/cpp/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <utility>

#include "clients/cpp/client.h"
#include "clients/cpp/testing/fake_server.h"

namespace eidetic::client {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class SessionTest : public ::testing::Test {
 protected:
  testing::FakeServer server_;
  Client client_ = Client::Connect(server_.address());
};

TEST_F(SessionTest, ATemporarySessionEndsWithItsHandle) {
  {
    const auto session = client_.CreateSession({.id = "gone", .temporary = true});
    ASSERT_TRUE(session.ok());
    EXPECT_THAT(server_.SessionNames(), ElementsAre("tenants/default/sessions/gone"));
  }
  EXPECT_THAT(server_.SessionNames(), IsEmpty());
}

TEST_F(SessionTest, AMovedTemporarySessionEndsOnce) {
  std::optional<Session> kept;
  {
    auto session = client_.CreateSession({.temporary = true});
    kept = *std::move(session);
  }
  EXPECT_EQ(server_.SessionNames().size(), 1u);
  kept = *client_.CreateSession({.id = "other"});
  EXPECT_THAT(server_.SessionNames(), ElementsAre("tenants/default/sessions/other"));
  kept.reset();
  EXPECT_EQ(server_.SessionNames().size(), 1u);
}

TEST_F(SessionTest, ACancelledClientStillClearsUp) {
  {
    const auto session = client_.CreateSession({.temporary = true});
    client_.Cancel();
    EXPECT_TRUE(absl::IsCancelled(client_.ListSessions().status()));
  }
  EXPECT_THAT(server_.SessionNames(), IsEmpty());
}

TEST_F(SessionTest, AForkHasThePastAndItsOwnFuture) {
  Session parent = *client_.CreateSession({.id = "parent"});
  ASSERT_TRUE(parent.Append("common ").ok());
  ForkOptions options{.id = "child"};
  options.attention.set_policy(v1::ATTENTION_POLICY_WINDOW);
  auto child = parent.Fork(options);
  ASSERT_TRUE(child.ok());
  EXPECT_EQ(child->info().attention().policy(), v1::ATTENTION_POLICY_WINDOW);
  EXPECT_EQ(child->position(), parent.position());
  ASSERT_TRUE(child->Append("future").ok());
  EXPECT_EQ(server_.TextOf(child->name()), "common future");
  EXPECT_EQ(server_.TextOf(parent.name()), "common ");
}

TEST_F(SessionTest, SearchAndScore) {
  Session session = *client_.CreateSession({.id = "searched"});
  ASSERT_TRUE(session.Append("a needle in hay").ok());
  const auto found = session.Search("needle");
  ASSERT_TRUE(found.ok());
  ASSERT_EQ(found->passages_size(), 1);
  EXPECT_EQ(found->passages(0).begin_position(), 2);
  v1::Content content;
  content.set_text("four");
  EXPECT_EQ(session.Score(content)->scored_tokens(), 4);
}

}  // namespace
}  // namespace eidetic::client
