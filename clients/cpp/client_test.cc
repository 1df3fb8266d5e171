#include "clients/cpp/client.h"

#include <gtest/gtest.h>

#include <string>

#include "clients/cpp/testing/fake_server.h"

namespace eidetic::client {
namespace {

class ClientTest : public ::testing::Test {
 protected:
  testing::FakeServer server_;
  Client client_ = Client::Connect(server_.address());
};

TEST_F(ClientTest, ListsAllPages) {
  for (char id = 'a'; id < 'f'; ++id) {
    ASSERT_TRUE(client_.CreateSession({.id = std::string(1, id)}).ok());
  }
  const auto sessions = client_.ListSessions();
  ASSERT_TRUE(sessions.ok()) << sessions.status();
  ASSERT_EQ(sessions->size(), 5u);
  EXPECT_EQ(sessions->back().name(), "tenants/default/sessions/e");
}

TEST_F(ClientTest, OpensBySegmentOrByName) {
  ASSERT_TRUE(client_.CreateSession({.id = "known"}).ok());
  EXPECT_TRUE(client_.OpenSession("known").ok());
  EXPECT_TRUE(client_.OpenSession("tenants/default/sessions/known").ok());
  EXPECT_TRUE(absl::IsNotFound(client_.OpenSession("unknown").status()));
  EXPECT_TRUE(absl::IsNotFound(client_.DeleteSession("unknown")));
  EXPECT_TRUE(client_.DeleteSession("known").ok());
}

TEST_F(ClientTest, TokenizesBothWays) {
  const auto ids = client_.Tokenize("hi");
  ASSERT_TRUE(ids.ok());
  EXPECT_EQ(*ids, (std::vector<int32_t>{'h', 'i'}));
  EXPECT_EQ(*client_.Detokenize(*ids), "hi");
}

TEST_F(ClientTest, TellsOfModels) {
  EXPECT_EQ(client_.ListModels()->at(0).name(), "models/fake");
  EXPECT_TRUE(absl::IsNotFound(client_.GetModel("models/other").status()));
}

TEST_F(ClientTest, GeneratesWithoutASessionUnderItsTenant) {
  Client client = Client::Connect(server_.address(), {.tenant = "acme"});
  TokenStream stream = client.Generate({});
  ASSERT_TRUE(stream.Next().ok());
  EXPECT_EQ(server_.generate_requests().back().parent(), "tenants/acme");
}

TEST(Client, SaysThatNobodyListens) {
  const Client client = Client::Connect("127.0.0.1:1");
  EXPECT_TRUE(absl::IsUnavailable(client.ListModels().status()));
}

}  // namespace
}  // namespace eidetic::client
