// That no request can name a resource where the tenant's check does not look, and that no port is
// open to everyone by mistake.
#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor_database.h>

#include <set>
#include <vector>

#include "server/edge_fixture.h"
#include "server/identity/resource_check.h"

namespace eidetic {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;

// Strings that name no resource of a tenant, or that the server does not read in a request.
const std::set<std::string> kOtherStrings = {
    "eidetic.v1.Content.text",
    "eidetic.v1.CreateSessionRequest.request_id",
    "eidetic.v1.CreateSessionRequest.session_id",
    "eidetic.v1.DetokenizeRequest.model",
    "eidetic.v1.ForkSessionRequest.request_id",
    "eidetic.v1.ForkSessionRequest.session_id",
    "eidetic.v1.GenerateRequest.model",
    "eidetic.v1.GenerateRequest.request_id",
    "eidetic.v1.GenerateRequest.stop_strings",
    "eidetic.v1.ImportSessionRequest.session_id",
    "eidetic.v1.ListAdaptersRequest.page_token",
    "eidetic.v1.ListModelsRequest.page_token",
    "eidetic.v1.ListSessionsRequest.page_token",
    "eidetic.v1.ListSnapshotsRequest.page_token",
    "eidetic.v1.Message.content",
    "eidetic.v1.Message.role",
    "eidetic.v1.ScoreRequest.model",
    "eidetic.v1.LoadAdapterRequest.adapter_id",
    "eidetic.v1.LoadAdapterRequest.folder",  // below the parent's, wherever it points
    "eidetic.v1.Session.adapter",  // of CreateSessionRequest.session: must be of its parent
    "eidetic.v1.Session.damage",
    "eidetic.v1.Session.model",
    "eidetic.v1.Session.name",  // of CreateSessionRequest.session, whose name is not read
    "eidetic.v1.SnapshotSessionRequest.snapshot_id",
    "eidetic.v1.TokenizeRequest.model",
};

// Every service that is linked into this test, which is every service of the server.
std::vector<const google::protobuf::ServiceDescriptor*> Services() {
  std::vector<std::string> files;
  DescriptorPool::internal_generated_database()->FindAllFileNames(&files);
  std::vector<const google::protobuf::ServiceDescriptor*> services;
  for (const std::string& name : files) {
    const FileDescriptor* file = DescriptorPool::generated_pool()->FindFileByName(name);
    if (file == nullptr || !file->package().starts_with("eidetic")) continue;
    for (int i = 0; i < file->service_count(); ++i) services.push_back(file->service(i));
  }
  return services;
}

// All strings within `type`, each once.
void AddStrings(const Descriptor* type, std::set<const Descriptor*>* seen,
                std::vector<const FieldDescriptor*>* strings) {
  if (!seen->insert(type).second) return;
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    if (field->type() == FieldDescriptor::TYPE_STRING) strings->push_back(field);
    if (field->message_type() != nullptr) AddStrings(field->message_type(), seen, strings);
  }
}

TEST(TenantsTest, NoRequestNamesAResourceWhereNobodyLooks) {
  ASSERT_EQ(Services().size(), 4u);
  int looked_at = 0;
  for (const auto* service : Services()) {
    for (int i = 0; i < service->method_count(); ++i) {
      const Descriptor* request = service->method(i)->input_type();
      std::set<const Descriptor*> seen;
      std::vector<const FieldDescriptor*> strings;
      AddStrings(request, &seen, &strings);
      for (const FieldDescriptor* field : strings) {
        const bool checked = field->containing_type() == request && NamesResource(*field);
        looked_at += checked;
        EXPECT_TRUE(checked || kOtherStrings.contains(field->full_name()))
            << field->full_name() << " in " << request->full_name()
            << " may name a resource that CheckResources does not look at: give the resource to a "
               "field of the request itself, called name, parent, session, snapshot or adapter, "
               "or, "
               "if it names none, enter it above";
      }
    }
  }
  EXPECT_GT(looked_at, 20);
}

TEST(TenantsTest, APortThatOthersReachIsNotOpenedByMistake) {
  FakeEngine engine;
  Metrics metrics("models/fake", "fake");
  ServerOptions options;
  options.address = "0.0.0.0:0";
  const auto start = [&] {
    return EideticServer::Start({&engine, "models/fake", "fake"}, &metrics, options).status();
  };
  EXPECT_EQ(start().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(start().message()), ::testing::HasSubstr("--allow_anonymous"));
  options.identity.allow_anonymous = true;
  EXPECT_TRUE(start().ok()) << start();
}

}  // namespace
}  // namespace eidetic
