#include <gmock/gmock.h>

#include "server/edge_fixture.h"

namespace eidetic {
namespace {

using ::testing::HasSubstr;

class SessionServiceTest : public EdgeTest {};

TEST_F(SessionServiceTest, CreateGetAndDelete) {
  v1::CreateSessionRequest request;
  request.set_parent("tenants/acme");
  request.set_session_id("chat");
  request.mutable_session()->set_model("models/fake");
  request.mutable_session()->mutable_attention()->set_span_blocks(4);
  request.mutable_session()->mutable_expire_after()->set_seconds(3600);
  v1::Session created, got;
  ASSERT_TRUE(sessions_->CreateSession(Context().get(), request, &created).ok());
  EXPECT_EQ(created.name(), "tenants/acme/sessions/chat");
  EXPECT_EQ(created.model(), "models/fake");
  EXPECT_EQ(created.attention().span_blocks(), 4);
  EXPECT_EQ(created.attention().window_tokens(), 512);
  EXPECT_EQ(created.attention().policy(), v1::ATTENTION_POLICY_SE_ATTN);
  EXPECT_EQ(created.expire_after().seconds(), 3600);
  EXPECT_GT(created.create_time().seconds(), 1'600'000'000);

  v1::GetSessionRequest get;
  get.set_name(created.name());
  ASSERT_TRUE(sessions_->GetSession(Context().get(), get, &got).ok());
  EXPECT_EQ(got.SerializeAsString(), created.SerializeAsString());

  v1::DeleteSessionRequest remove;
  remove.set_name(created.name());
  google::protobuf::Empty empty;
  EXPECT_TRUE(sessions_->DeleteSession(Context().get(), remove, &empty).ok());
  const grpc::Status gone = sessions_->GetSession(Context().get(), get, &got);
  EXPECT_EQ(gone.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(FindDetail<google::rpc::ErrorInfo>(gone)->domain(), "eidetic");
}

TEST_F(SessionServiceTest, TheServerDrawsANameWhenNoneIsGiven) {
  v1::Session first, second;
  ASSERT_TRUE(Create("", &first).ok());
  ASSERT_TRUE(Create("", &second).ok());
  EXPECT_NE(first.name(), second.name());
  EXPECT_TRUE(SessionName::Parse(first.name(), "name").ok());
}

TEST_F(SessionServiceTest, BadRequestsNameTheField) {
  v1::Session session;
  const auto create = [&](auto spoil) {
    v1::CreateSessionRequest request;
    request.set_parent("tenants/acme");
    spoil(request);
    return BadField(sessions_->CreateSession(Context().get(), request, &session));
  };
  using R = v1::CreateSessionRequest;
  EXPECT_EQ(create([](R& r) { r.set_parent("acme"); }), "parent");
  EXPECT_EQ(create([](R& r) { r.set_session_id("No"); }), "session_id");
  EXPECT_EQ(create([](R& r) { r.mutable_session()->set_model("models/x"); }), "session.model");
  EXPECT_EQ(create([](R& r) { r.set_request_id(std::string(200, 'x')); }), "request_id");
  EXPECT_EQ(
      create([](R& r) { r.mutable_session()->mutable_attention()->set_window_tokens(1 << 30); }),
      "session.attention");

  for (const int64_t seconds : {int64_t{-1}, INT64_MAX, INT64_MIN}) {
    EXPECT_EQ(
        create([&](R& r) { r.mutable_session()->mutable_expire_after()->set_seconds(seconds); }),
        "session.expire_after")
        << seconds;
  }
  EXPECT_EQ(create([](R& r) { r.mutable_session()->mutable_expire_after()->set_nanos(1); }),
            "session.expire_after");

  v1::SearchMemoryRequest search;
  v1::SearchMemoryResponse found;
  search.set_name("tenants/acme/sessions/chat");
  search.mutable_query()->set_text("x");
  for (const int limit : {-1, 65}) {
    search.set_limit(limit);
    EXPECT_EQ(BadField(sessions_->SearchMemory(Context().get(), search, &found)), "limit");
  }
}

TEST_F(SessionServiceTest, ListsPageByPage) {
  v1::Session session;
  for (const char* id : {"a", "b", "c", "d", "e"}) ASSERT_TRUE(Create(id, &session).ok());
  v1::ListSessionsRequest request;
  request.set_parent("tenants/acme");
  request.set_page_size(2);
  std::string ids;
  int pages = 0;
  v1::ListSessionsResponse response;
  do {
    request.set_page_token(response.next_page_token());
    ASSERT_TRUE(sessions_->ListSessions(Context().get(), request, &response).ok());
    for (const auto& found : response.sessions()) ids += found.name().back();
    ++pages;
  } while (!response.next_page_token().empty());
  EXPECT_EQ(ids, "abcde");
  EXPECT_EQ(pages, 3);

  request.set_page_token("forged");
  EXPECT_EQ(BadField(sessions_->ListSessions(Context().get(), request, &response)), "page_token");
}

TEST_F(SessionServiceTest, OneTenantDoesNotSeeAnothersSessions) {
  v1::Session session;
  ASSERT_TRUE(Create("chat", &session).ok());
  v1::ListSessionsRequest request;
  request.set_parent("tenants/other");
  v1::ListSessionsResponse response;
  ASSERT_TRUE(sessions_->ListSessions(Context().get(), request, &response).ok());
  EXPECT_EQ(response.sessions_size(), 0);
  v1::GetSessionRequest get;
  get.set_name("tenants/other/sessions/chat");
  EXPECT_EQ(sessions_->GetSession(Context().get(), get, &session).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

TEST_F(SessionServiceTest, AForkChangesOnlyWhatIsSet) {
  v1::Session session;
  ASSERT_TRUE(Create("chat", &session).ok());
  v1::ForkSessionRequest request;
  request.set_name(session.name());
  request.set_session_id("fork");
  request.mutable_attention()->set_policy(v1::ATTENTION_POLICY_FULL);
  v1::Session fork;
  ASSERT_TRUE(sessions_->ForkSession(Context().get(), request, &fork).ok());
  EXPECT_EQ(fork.name(), "tenants/acme/sessions/fork");
  EXPECT_EQ(fork.attention().policy(), v1::ATTENTION_POLICY_FULL);
  EXPECT_EQ(fork.attention().window_tokens(), session.attention().window_tokens());
}

TEST_F(SessionServiceTest, SearchTellsPassagesAndBlocks) {
  v1::Session session;
  ASSERT_TRUE(Create("chat", &session).ok());
  engine_.search_result.passages = {{.begin = 32, .end = 96, .mass = 0.5, .text = "the key"}};
  engine_.search_result.blocks = {{.block = 2, .mass = 0.25}};
  v1::SearchMemoryRequest request;
  request.set_name(session.name());
  request.mutable_query()->set_text("where is the key?");
  v1::SearchMemoryResponse response;
  ASSERT_TRUE(sessions_->SearchMemory(Context().get(), request, &response).ok());
  ASSERT_EQ(response.passages_size(), 1);
  EXPECT_EQ(response.passages(0).text(), "the key");
  EXPECT_EQ(response.passages(0).end_position(), 96);
  ASSERT_EQ(response.blocks_size(), 1);
  EXPECT_EQ(response.blocks(0).begin_position(), 64);
  EXPECT_EQ(response.blocks(0).end_position(), 96);
  EXPECT_EQ(response.blocks(0).mass(), 0.25);
}

TEST_F(SessionServiceTest, BytesThatAreNoMessageAreInvalidArguments) {
  // name = "\xFF": a string that is not UTF-8, which protobuf refuses to parse.
  grpc::ByteBuffer answer;
  const grpc::Status status =
      RawCall("/eidetic.v1.SessionService/GetSession", "\x0A\x01\xFF", &answer);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("UTF-8"));
}

}  // namespace
}  // namespace eidetic
