// Requests of the contract: the input's first byte says which, the rest is the message.
#include <glog/logging.h>
#include <google/protobuf/stubs/logging.h>

#include "eidetic/v1/generation_service.pb.h"
#include "eidetic/v1/session_service.pb.h"
#include "server/attention_convert.h"
#include "server/content_tokens.h"
#include "server/convert.h"
#include "server/digest.h"
#include "server/fake_engine.h"
#include "server/grpc_status.h"
#include "server/identity/resource_check.h"
#include "server/page_token.h"
#include "tests/fuzz/fuzz_target.h"

namespace eidetic::fuzz {
namespace {

constexpr char kSession[] = "tenants/acme/sessions/chat";

ServedModel Served() {
  static FakeEngine engine;
  return {&engine, "models/fake", "fake"};
}

void CheckTokens(const std::vector<TokenId>& tokens) {
  CHECK(!tokens.empty());
  for (const TokenId token : tokens) {
    CHECK(token >= 0 && token < FakeChatTokenizer::kVocabulary) << token;
  }
}

// Each gives what the services would answer before they ask the engine.
absl::Status Try(const v1::GenerateRequest& request) {
  const auto spec = ToGenerateSpec(request, Served());
  if (!spec.ok()) return spec.status();
  if (request.has_prompt()) CheckTokens(spec->prompt);
  CHECK_GT(spec->max_tokens, 0);
  return MessageTokens(request).status();
}

absl::Status Try(const v1::ScoreRequest& request) {
  const auto spec = ToScoreSpec(request, Served());
  if (spec.ok()) CheckTokens(spec->tokens);
  return spec.status();
}

absl::Status Try(const v1::CreateSessionRequest& request) {
  const auto tenant = SessionName::ParseTenant(request.parent(), "parent");
  if (!tenant.ok()) return tenant.status();
  const auto name = NewSessionName(*tenant, request.session_id());
  if (!name.ok()) return name.status();
  CHECK(SessionName::Parse(name->ToString(), "name").ok()) << name->ToString();
  const absl::Status id = CheckRequestId(request.request_id());
  if (!id.ok()) return id;
  const auto settings =
      NewSpanSettings(request.session().attention(), "session.attention", *Served().engine);
  if (!settings.ok()) return settings.status();
  const auto adapter = AdapterId(request.session().adapter(), "session.adapter", *tenant);
  if (!adapter.ok()) return adapter.status();
  return ExpireAfter(request.session(), "session.expire_after").status();
}

absl::Status Try(const v1::ListSessionsRequest& request) {
  const auto size = PageSize(request.page_size());
  if (!size.ok()) return size.status();
  CHECK(*size > 0 && *size <= kMaxPageSize) << *size;
  return DecodePageToken(request.parent(), request.page_token()).status();
}

absl::Status Try(const v1::ForkSessionRequest& request) {
  memory::SpanSettings settings;
  const absl::Status status = ApplyAttention(request.attention(), "attention", &settings);
  return status.ok() ? ExpectedPosition(request).status() : status;
}

absl::Status Try(const v1::AppendSessionRequest& request) {
  const auto tokens =
      ContentTokens(request.content(), "content", ContentUse::kAppend, *Served().engine);
  if (tokens.ok()) CheckTokens(*tokens);
  return tokens.status();
}

absl::Status Try(const v1::RestoreSessionRequest& request) {
  const auto name = SessionName::Parse(request.name(), "name");
  return name.ok() ? SnapshotOf(request, *name).status() : name.status();
}

template <typename Request>
void Parse(std::string_view bytes) {
  Request request;
  if (!request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
  const Caller caller = {"acme", Role::kUser, "key:ci"};
  absl::Status status = CheckResources(caller, request);
  if (status.ok()) status = Try(request);
  (void)Fingerprint(request);
  if (status.ok()) return;
  // The client's fault, and said to the client as such.
  CHECK(absl::IsInvalidArgument(status) || absl::IsFailedPrecondition(status) ||
        absl::IsNotFound(status))
      << status;
  CHECK(!ToGrpcStatus(status).ok());
}

constexpr void (*kParsers[])(std::string_view) = {
    Parse<v1::GenerateRequest>,      Parse<v1::ScoreRequest>,       Parse<v1::CreateSessionRequest>,
    Parse<v1::ListSessionsRequest>,  Parse<v1::ForkSessionRequest>, Parse<v1::AppendSessionRequest>,
    Parse<v1::RestoreSessionRequest>};

std::string Seed(char which, const google::protobuf::Message& request) {
  return which + request.SerializeAsString();
}

v1::GenerateRequest FullGenerate() {
  v1::GenerateRequest request;
  request.set_session(kSession);
  request.mutable_prompt()->set_text("Hi \xC3\xA9");
  v1::SamplingParameters* sampling = request.mutable_sampling();
  sampling->set_temperature(0.5);
  sampling->set_top_k(5);
  sampling->set_min_p(0.25);
  sampling->set_repetition_penalty(1.5);
  (*sampling->mutable_logit_bias())[7] = -1;
  sampling->set_seed(42);
  request.set_max_tokens(16);
  request.add_stop_strings("end");
  request.add_stop_tokens(3);
  request.set_request_id("r-1");
  request.set_expected_position(12);
  request.set_max_message_tokens(8);
  return request;
}

}  // namespace

std::vector<std::string> Seeds() {
  v1::ScoreRequest score;
  score.set_parent("tenants/acme");
  score.mutable_content()->mutable_tokens()->add_ids(1);
  score.mutable_attention()->set_policy(v1::ATTENTION_POLICY_SE_ATTN);
  v1::CreateSessionRequest create;
  create.set_parent("tenants/acme");
  create.set_session_id("chat");
  create.mutable_session()->mutable_attention()->set_window_tokens(64);
  create.mutable_session()->mutable_expire_after()->set_seconds(3600);
  v1::ListSessionsRequest list;
  list.set_parent("tenants/acme");
  list.set_page_token(EncodePageToken("tenants/acme", "chat"));
  v1::ForkSessionRequest fork;
  fork.set_name(kSession);
  fork.mutable_attention()->set_candidate_budget(8);
  v1::AppendSessionRequest append;
  append.set_name(kSession);
  v1::Message* message = append.mutable_content()->mutable_messages()->add_messages();
  message->set_role("user");
  message->set_content("Hi");
  v1::RestoreSessionRequest restore;
  restore.set_name(kSession);
  restore.set_snapshot(std::string(kSession) + "/snapshots/one");
  return {Seed(0, FullGenerate()), Seed(1, score),  Seed(2, create), Seed(3, list),
          Seed(4, fork),           Seed(5, append), Seed(6, restore)};
}

void ParseRequest(std::string_view input) {
  // As the server does: protobuf's own lines about text that is not UTF-8 are many.
  static auto* const silenced = google::protobuf::SetLogHandler(nullptr);
  (void)silenced;
  if (input.empty()) return;
  kParsers[static_cast<uint8_t>(input[0]) % std::size(kParsers)](input.substr(1));
}

}  // namespace eidetic::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  eidetic::fuzz::ParseRequest(eidetic::fuzz::View(data, size));
  return 0;
}
