// API keys and tokens before the real server: two tenants, every method, and files that change.
#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "clients/cpp/client.h"
#include "server/identity/token_signer.h"
#include "tests/end_to_end/identity_files.h"
#include "tests/end_to_end/raw_call.h"
#include "tests/end_to_end/server_process.h"

namespace eidetic::testing {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::MethodDescriptor;
using ::testing::HasSubstr;

// Tenants' names of one length, so that answers about them can be compared byte by byte.
const TestKey kAcme{"acme-ci", "acme", "user"}, kZeta{"zeta-ci", "zeta", "user"};
const TestKey kOps{"ops", "operators", "admin"};
constexpr absl::Duration kPatience = absl::Seconds(30);

std::vector<const MethodDescriptor*> AllMethods() {
  std::vector<const MethodDescriptor*> methods;
  for (const char* service :
       {"SessionService", "GenerationService", "ModelService", "OperationService"}) {
    const auto* found = google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(
        absl::StrCat("eidetic.v1.", service));
    for (int i = 0; i < found->method_count(); ++i) methods.push_back(found->method(i));
  }
  return methods;
}

// A request of the method that lacks nothing but its resource.
std::unique_ptr<Message> RequestOf(const MethodDescriptor& method) {
  std::unique_ptr<Message> request(google::protobuf::MessageFactory::generated_factory()
                                       ->GetPrototype(method.input_type())
                                       ->New());
  for (int i = 0; i < method.input_type()->field_count(); ++i) {
    const FieldDescriptor* field = method.input_type()->field(i);
    if (field->message_type() != v1::Content::descriptor()) continue;
    v1::Content content;
    content.set_text("some text");
    request->GetReflection()->MutableMessage(request.get(), field)->CopyFrom(content);
  }
  return request;
}

class WhoCallsTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    signer_ = new TokenSigner(TokenSigner::P256("k1"));
    keys_path_ = WriteFile("keys.json", KeysFile({kAcme, kZeta, kOps}));
    server_ = new ServerProcess({"--api_keys=" + keys_path_,
                                 "--jwks=" + WriteFile("jwks.json", KeySet({signer_})),
                                 "--jwt_issuer=https://issuer.example", "--jwt_audience=eidetic",
                                 "--max_pages=2048", "--max_state_slots=32"});
    auto session = ClientOf(kAcme.text(), "acme").CreateSession({.id = "secret"});
    ASSERT_TRUE(session.ok()) << session.status();
    ASSERT_TRUE(session->Append("What nobody else may know.").ok());
    ASSERT_TRUE(session->TakeSnapshot("point").ok());
    ASSERT_TRUE(session->Warm().ok());
  }
  static void TearDownTestSuite() {
    EXPECT_EQ(server_->Stop(), 0);
    delete server_;
    delete signer_;
  }

  static client::Client ClientOf(const std::string& credential, const std::string& tenant) {
    return client::Client::Connect(server_->address(),
                                   {.tenant = tenant, .credential = credential});
  }
  static grpc::Status Call(const MethodDescriptor& method, const Message& request,
                           const std::string& credential) {
    const std::string path = absl::StrCat("/", method.service()->full_name(), "/", method.name());
    std::map<std::string, std::string> headers;
    if (!credential.empty()) headers["authorization"] = "Bearer " + credential;
    return RawCall(server_->channel(), path.c_str(), request.SerializeAsString(), nullptr, headers);
  }
  // Waits until a call with the credential is answered so.
  static bool Await(const std::string& credential, absl::StatusCode code) {
    for (const absl::Time end = absl::Now() + kPatience; absl::Now() < end;) {
      if (ClientOf(credential, "acme").ListModels().status().code() == code) return true;
      absl::SleepFor(absl::Milliseconds(100));
    }
    return false;
  }
  static bool AwaitLog(const std::string& text) {
    for (const absl::Time end = absl::Now() + kPatience; absl::Now() < end;) {
      if (server_->Log().find(text) != std::string::npos) return true;
      absl::SleepFor(absl::Milliseconds(100));
    }
    return false;
  }

  static inline ServerProcess* server_ = nullptr;
  static inline TokenSigner* signer_ = nullptr;
  static inline std::string keys_path_;
};

TEST_F(WhoCallsTest, NoMethodServesWhoeverShowsNothing) {
  const auto failures = [] {
    const auto metrics = server_->Metrics();
    const auto found = metrics.find("eidetic_auth_failures_total{reason=\"missing\"}");
    return found == metrics.end() ? 0 : found->second;
  };
  const double before = failures();
  for (const MethodDescriptor* method : AllMethods()) {
    SCOPED_TRACE(method->full_name());
    const auto request = RequestOf(*method);
    const grpc::Status status = Call(*method, *request, "");
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
    EXPECT_THAT(status.error_message(), HasSubstr("authorization: Bearer"));
    EXPECT_EQ(Call(*method, *request, "eid_acme-ci_wrong").error_code(),
              grpc::StatusCode::UNAUTHENTICATED);
  }
  EXPECT_EQ(failures() - before, AllMethods().size());
  EXPECT_EQ(server_->health(), 1);  // asks nobody
  // Nor does reflection: a request for the list of services.
  EXPECT_TRUE(RawCall(server_->channel(),
                      "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
                      std::string("\x3a\0", 2))
                  .ok());
}

TEST_F(WhoCallsTest, AnothersResourcesCanNotBeToldFromAbsentOnes) {
  const auto acme = ClientOf(kAcme.text(), "acme").OpenSession("secret");
  ASSERT_TRUE(acme.ok()) << acme.status();
  int refused = 0, compared = 0;
  for (const MethodDescriptor* method : AllMethods()) {
    for (const char* name : {"name", "parent", "session", "snapshot"}) {
      const FieldDescriptor* field = method->input_type()->FindFieldByName(name);
      if (field == nullptr || field->type() != FieldDescriptor::TYPE_STRING) continue;
      for (const char* form :
           {"tenants/acme", "tenants/acme/sessions/secret",
            "tenants/acme/sessions/secret/snapshots/point", "tenants/acme/operations/warm-1"}) {
        if (method->service()->name() == "ModelService") continue;
        SCOPED_TRACE(absl::StrCat(method->full_name(), " ", name, "=", form));
        const auto request = RequestOf(*method);
        const auto set = [&](const std::string& resource) {
          request->GetReflection()->SetString(request.get(), field, resource);
        };
        set(form);
        const grpc::Status theirs = Call(*method, *request, kZeta.text());
        EXPECT_EQ(theirs.error_code(), grpc::StatusCode::NOT_FOUND);
        ++refused;
        if (std::string(form) == "tenants/acme") continue;  // one's own is there
        // The same of one's own tenant, where nothing is.
        set(absl::StrReplaceAll(form, {{"acme", "zeta"}}));
        const grpc::Status own = Call(*method, *request, kZeta.text());
        if (own.error_code() != grpc::StatusCode::NOT_FOUND) continue;
        ++compared;
        EXPECT_EQ(absl::StrReplaceAll(theirs.error_message(), {{"acme", "zeta"}}),
                  own.error_message());
        EXPECT_EQ(absl::StrReplaceAll(theirs.error_details(), {{"acme", "zeta"}}),
                  own.error_details());
      }
    }
  }
  EXPECT_GE(refused, 80);
  EXPECT_GE(compared, 12);
  const auto after = ClientOf(kAcme.text(), "acme").OpenSession("secret");
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_EQ(after->info().position(), acme->info().position());
  EXPECT_EQ(ClientOf(kZeta.text(), "zeta").ListSessions()->size(), 0u);
}

TEST_F(WhoCallsTest, APageTokenOfAnotherTenantOpensNothing) {
  v1::ListSessionsRequest request;
  request.set_parent("tenants/acme");
  request.set_page_token("anything");
  const auto* list = google::protobuf::DescriptorPool::generated_pool()->FindMethodByName(
      "eidetic.v1.SessionService.ListSessions");
  EXPECT_EQ(Call(*list, request, kZeta.text()).error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(Call(*list, request, kAcme.text()).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(WhoCallsTest, AnAdminReachesAllTenantsAndIsTold) {
  const client::Client admin = ClientOf(kOps.text(), "acme");
  EXPECT_TRUE(admin.OpenSession("secret").ok());
  EXPECT_TRUE(
      AwaitLog("audit {\"act\":\"GetSession\",\"caller\":\"key:ops\",\"tenant\":"
               "\"operators\",\"resource\":\"tenants/acme/sessions/secret\"}"));
  ASSERT_TRUE(admin.CreateSession({.id = "made-by-ops"}).ok());
  EXPECT_TRUE(admin.DeleteSession("made-by-ops").ok());
  EXPECT_TRUE(AwaitLog("audit {\"act\":\"DeleteSession\",\"caller\":\"key:ops\""));
  EXPECT_EQ(server_->Log().find("0123456789abcdef"), std::string::npos);  // no secret
}

TEST_F(WhoCallsTest, ATokenOpensItsTenant) {
  const auto token = [](const std::string& tenant, int64_t seconds) {
    return signer_->Sign({{"iss", "https://issuer.example"},
                          {"aud", "eidetic"},
                          {"exp", absl::ToUnixSeconds(absl::Now()) + seconds},
                          {"sub", "alice"},
                          {"tenant", tenant}});
  };
  EXPECT_TRUE(ClientOf(token("acme", 600), "acme").OpenSession("secret").ok());
  EXPECT_TRUE(
      absl::IsNotFound(ClientOf(token("zeta", 600), "acme").OpenSession("secret").status()));
  const absl::Status expired = ClientOf(token("acme", -600), "acme").ListModels().status();
  EXPECT_TRUE(absl::IsUnauthenticated(expired));
  EXPECT_THAT(std::string(expired.message()), HasSubstr("expired"));
}

TEST_F(WhoCallsTest, ChangedKeysServeWithoutARestart) {
  const TestKey later{"later", "acme", "user"};
  EXPECT_TRUE(Await(later.text(), absl::StatusCode::kUnauthenticated));
  WriteFile("keys.json", KeysFile({kAcme, kOps, later}));
  EXPECT_TRUE(Await(later.text(), absl::StatusCode::kOk));
  EXPECT_TRUE(Await(kZeta.text(), absl::StatusCode::kUnauthenticated));
  EXPECT_TRUE(AwaitLog("audit {\"act\":\"FileChanged\",\"file\":\"api_keys\",\"taken\":true}"));

  WriteFile("keys.json", KeysFile({kAcme, kZeta, kOps}).substr(0, 200));  // half-written
  EXPECT_TRUE(AwaitLog("audit {\"act\":\"FileChanged\",\"file\":\"api_keys\",\"taken\":false}"));
  EXPECT_THAT(server_->Log(), HasSubstr("--api_keys: " + keys_path_ + ": line "));
  EXPECT_TRUE(Await(later.text(), absl::StatusCode::kOk));
  EXPECT_EQ(server_->Metrics().at(
                "eidetic_identity_file_changes_total{file=\"api_keys\",taken=\"false\"}"),
            1);

  WriteFile("keys.json", KeysFile({kAcme, kZeta, kOps}));
  EXPECT_TRUE(Await(kZeta.text(), absl::StatusCode::kOk));
  EXPECT_TRUE(Await(later.text(), absl::StatusCode::kUnauthenticated));
}

}  // namespace
}  // namespace eidetic::testing
