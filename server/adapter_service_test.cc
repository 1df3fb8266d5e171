// Adapters at the edge: names are checked, and reach the engine.
#include <gmock/gmock.h>

#include "server/convert.h"
#include "server/edge_fixture.h"

namespace eidetic {
namespace {

class AdapterServiceTest : public EdgeTest {
 protected:
  grpc::Status Load(const std::string& id, v1::Adapter* adapter,
                    const std::string& parent = "tenants/acme") {
    v1::LoadAdapterRequest request;
    request.set_parent(parent);
    request.set_adapter_id(id);
    return models_->LoadAdapter(Context().get(), request, adapter);
  }
  grpc::Status CreateWith(const std::string& adapter, v1::Session* session) {
    v1::CreateSessionRequest request;
    request.set_parent("tenants/acme");
    request.mutable_session()->set_adapter(adapter);
    return sessions_->CreateSession(Context().get(), request, session);
  }
};

TEST_F(AdapterServiceTest, LoadListAndUnload) {
  v1::Adapter adapter;
  for (const char* id : {"b", "a", "c"}) ASSERT_TRUE(Load(id, &adapter).ok());
  EXPECT_EQ(adapter.name(), "tenants/acme/adapters/c");
  EXPECT_EQ(adapter.folder(), "c");  // as nothing else was said
  EXPECT_EQ(adapter.content_hash(), "cd34");

  v1::ListAdaptersRequest list;
  list.set_parent("tenants/acme");
  list.set_page_size(2);
  v1::ListAdaptersResponse page;
  ASSERT_TRUE(models_->ListAdapters(Context().get(), list, &page).ok());
  ASSERT_EQ(page.adapters_size(), 2);
  EXPECT_EQ(page.adapters(1).name(), "tenants/acme/adapters/b");
  list.set_page_token(page.next_page_token());
  ASSERT_TRUE(models_->ListAdapters(Context().get(), list, &page).ok());
  ASSERT_EQ(page.adapters_size(), 1);
  EXPECT_EQ(page.next_page_token(), "");

  v1::UnloadAdapterRequest unload;
  unload.set_name(adapter.name());
  google::protobuf::Empty empty;
  EXPECT_TRUE(models_->UnloadAdapter(Context().get(), unload, &empty).ok());
  EXPECT_EQ(models_->UnloadAdapter(Context().get(), unload, &empty).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

TEST_F(AdapterServiceTest, BadNamesAreRefusedByField) {
  v1::Adapter adapter;
  EXPECT_EQ(BadField(Load("", &adapter)), "adapter_id");
  EXPECT_EQ(BadField(Load("../x", &adapter)), "adapter_id");
  EXPECT_EQ(BadField(Load("x", &adapter, "acme")), "parent");
  v1::UnloadAdapterRequest unload;
  unload.set_name("tenants/acme/sessions/a");
  google::protobuf::Empty empty;
  EXPECT_EQ(BadField(models_->UnloadAdapter(Context().get(), unload, &empty)), "name");
  v1::Session session;
  EXPECT_EQ(BadField(CreateWith("tone", &session)), "session.adapter");
}

TEST_F(AdapterServiceTest, ASessionHasAnAdapterOfItsTenant) {
  v1::Session session;
  ASSERT_TRUE(CreateWith("tenants/acme/adapters/tone", &session).ok());
  EXPECT_EQ(session.adapter(), "tenants/acme/adapters/tone");
  EXPECT_EQ(CreateWith("tenants/other/adapters/tone", &session).error_code(),
            grpc::StatusCode::NOT_FOUND);

  v1::ForkSessionRequest fork;
  fork.set_name(session.name());
  v1::Session child;
  ASSERT_TRUE(sessions_->ForkSession(Context().get(), fork, &child).ok());
  EXPECT_EQ(child.adapter(), session.adapter());
  fork.set_adapter("");
  ASSERT_TRUE(sessions_->ForkSession(Context().get(), fork, &child).ok());
  EXPECT_EQ(child.adapter(), "");
  fork.clear_adapter();
  fork.set_reingest(true);
  EXPECT_EQ(BadField(sessions_->ForkSession(Context().get(), fork, &child)), "reingest");
}

TEST_F(AdapterServiceTest, GenerateTakesOneOnlyWithoutASession) {
  const ServedModel served{&engine_, "models/fake", "fake"};
  v1::GenerateRequest request;
  request.set_parent("tenants/acme");
  request.mutable_prompt()->set_text("Hi");
  request.set_adapter("tenants/acme/adapters/tone");
  ASSERT_TRUE(ToGenerateSpec(request, served).ok());
  EXPECT_EQ(ToGenerateSpec(request, served)->adapter, "tone");
  request.clear_parent();
  request.set_session("tenants/acme/sessions/a");
  EXPECT_EQ(ToGenerateSpec(request, served).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace eidetic
