#include "server/session_service.h"

#include <utility>
#include <vector>

#include "server/append_reactor.h"
#include "server/attention_convert.h"
#include "server/content_tokens.h"
#include "server/convert.h"
#include "server/digest.h"
#include "server/page_token.h"
#include "server/to_proto.h"

namespace eidetic {
namespace {

template <typename Request>
auto ReplyWithSession(UnaryCall<Request, v1::Session>* call, const ServedModel* served) {
  return [call, served](const absl::StatusOr<SessionInfo>& info) {
    if (!info.ok()) return call->Reply(info.status());
    call->Reply(ToProto(*info, *served));
  };
}

// Of a request that can be repeated under one id.
template <typename Request>
std::string FingerprintIfNamed(const Request& request) {
  return request.request_id().empty() ? std::string() : Fingerprint(request);
}

// What a fork changes of its parent's adapter.
absl::StatusOr<std::optional<AdapterChange>> ToAdapterChange(const v1::ForkSessionRequest& request,
                                                             const std::string& tenant) {
  if (!request.has_adapter()) {
    if (!request.reingest()) return std::optional<AdapterChange>();
    return InvalidField("reingest", "is set without adapter; name the adapter to compute with");
  }
  auto id = AdapterId(request.adapter(), "adapter", tenant);
  if (!id.ok()) return id.status();
  return std::optional<AdapterChange>({*std::move(id), request.reingest()});
}

}  // namespace

absl::Status SessionServiceImpl::Create(UnaryCall<v1::CreateSessionRequest, v1::Session>* call) {
  const v1::CreateSessionRequest& request = call->request();
  auto tenant = SessionName::ParseTenant(request.parent(), "parent");
  if (!tenant.ok()) return tenant.status();
  auto name = NewSessionName(*tenant, request.session_id());
  if (!name.ok()) return name.status();
  absl::Status status = CheckModel(request.session().model(), "session.model", *served_);
  if (status.ok()) status = CheckRequestId(request.request_id());
  if (!status.ok()) return status;
  const auto settings =
      NewSpanSettings(request.session().attention(), "session.attention", *served_->engine);
  if (!settings.ok()) return settings.status();
  const auto expire_after = ExpireAfter(request.session(), "session.expire_after");
  if (!expire_after.ok()) return expire_after.status();
  auto adapter = AdapterId(request.session().adapter(), "session.adapter", *tenant);
  if (!adapter.ok()) return adapter.status();
  served_->engine->CreateSession(*std::move(name), *settings, *std::move(adapter), *expire_after,
                                 request.request_id(), FingerprintIfNamed(request),
                                 ReplyWithSession(call, served_));
  return absl::OkStatus();
}

absl::Status SessionServiceImpl::Get(UnaryCall<v1::GetSessionRequest, v1::Session>* call) {
  auto name = SessionName::Parse(call->request().name(), "name");
  if (!name.ok()) return name.status();
  served_->engine->GetSession(*std::move(name), ReplyWithSession(call, served_));
  return absl::OkStatus();
}

absl::Status SessionServiceImpl::List(
    UnaryCall<v1::ListSessionsRequest, v1::ListSessionsResponse>* call) {
  const v1::ListSessionsRequest& request = call->request();
  auto tenant = SessionName::ParseTenant(request.parent(), "parent");
  if (!tenant.ok()) return tenant.status();
  const auto page_size = PageSize(request.page_size());
  if (!page_size.ok()) return page_size.status();
  auto after = DecodePageToken(request.parent(), request.page_token());
  if (!after.ok()) return after.status();
  const size_t size = *page_size;
  auto reply = [call, size,
                served = served_](const absl::StatusOr<std::vector<SessionInfo>>& sessions) {
    if (!sessions.ok()) return call->Reply(sessions.status());
    v1::ListSessionsResponse response;
    for (size_t i = 0; i < sessions->size() && i < size; ++i) {
      *response.add_sessions() = ToProto((*sessions)[i], *served);
    }
    if (sessions->size() > size) {
      response.set_next_page_token(
          EncodePageToken(call->request().parent(), (*sessions)[size - 1].name.session));
    }
    call->Reply(response);
  };
  // One more than the page, to learn whether there is another page.
  served_->engine->ListSessions(*std::move(tenant), *std::move(after), *page_size + 1,
                                std::move(reply));
  return absl::OkStatus();
}

absl::Status SessionServiceImpl::Delete(
    UnaryCall<v1::DeleteSessionRequest, google::protobuf::Empty>* call) {
  auto name = SessionName::Parse(call->request().name(), "name");
  if (!name.ok()) return name.status();
  const auto expected = ExpectedPosition(call->request());
  if (!expected.ok()) return expected.status();
  served_->engine->DeleteSession(*std::move(name), *expected, [call](const absl::Status& status) {
    if (!status.ok()) return call->Reply(status);
    call->Reply(google::protobuf::Empty());
  });
  return absl::OkStatus();
}

absl::Status SessionServiceImpl::Fork(UnaryCall<v1::ForkSessionRequest, v1::Session>* call) {
  const v1::ForkSessionRequest& request = call->request();
  auto parent = SessionName::Parse(request.name(), "name");
  if (!parent.ok()) return parent.status();
  auto child = NewSessionName(parent->tenant, request.session_id());
  if (!child.ok()) return child.status();
  absl::Status status = CheckRequestId(request.request_id());
  memory::SpanSettings unused;
  if (status.ok()) status = ApplyAttention(request.attention(), "attention", &unused);
  if (!status.ok()) return status;
  const auto expected = ExpectedPosition(request);
  if (!expected.ok()) return expected.status();
  auto adapter = ToAdapterChange(request, parent->tenant);
  if (!adapter.ok()) return adapter.status();
  auto edit = [attention = request.attention()](memory::SpanSettings* settings) {
    ApplyAttention(attention, "attention", settings).IgnoreError();  // checked above
  };
  served_->engine->ForkSession(*std::move(parent), *std::move(child), std::move(edit),
                               *std::move(adapter), request.request_id(),
                               FingerprintIfNamed(request), *expected,
                               ReplyWithSession(call, served_));
  return absl::OkStatus();
}

absl::Status SessionServiceImpl::Search(
    UnaryCall<v1::SearchMemoryRequest, v1::SearchMemoryResponse>* call) {
  const v1::SearchMemoryRequest& request = call->request();
  auto name = SessionName::Parse(request.name(), "name");
  if (!name.ok()) return name.status();
  const int32_t limit = request.limit() == 0 ? kDefaultSearchLimit : request.limit();
  const absl::Status status = CheckRange("limit", limit, 1, kMaxSearchLimit);
  if (!status.ok()) return status;
  auto tokens = ContentTokens(request.query(), "query", ContentUse::kAppend, *served_->engine);
  if (!tokens.ok()) return tokens.status();
  auto reply = [call, served = served_](const absl::StatusOr<Engine::SearchResult>& result) {
    if (!result.ok()) return call->Reply(result.status());
    call->Reply(ToProto(*result, served->engine->limits().block_tokens));
  };
  served_->engine->Search(*std::move(name), *std::move(tokens), limit, call->cancelled(),
                          std::move(reply));
  return absl::OkStatus();
}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* SessionServiceImpl::AppendSession(
    Context* context) {
  return AppendReactor::Start(context, served_);
}

}  // namespace eidetic
