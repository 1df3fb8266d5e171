#include "clients/cpp/client.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace eidetic::client {
namespace {

// Below what a server takes in one message by default.
constexpr size_t kImportPartBytes = size_t{1} << 20;

constexpr int kPageSize = 1000;  // the most that the server gives

// Gathers all pages of a list call into one list. `call` takes a request and gives its
// StatusOr<response>; `items` takes the response's items out of it.
template <typename Item, typename Request, typename Call, typename Items>
absl::StatusOr<std::vector<Item>> AllPages(Request request, const Call& call, const Items& items) {
  std::vector<Item> all;
  request.set_page_size(kPageSize);
  while (true) {
    auto page = call(request);
    if (!page.ok()) return page.status();
    for (Item& item : *items(&*page)) all.push_back(std::move(item));
    if (page->next_page_token().empty()) return all;
    if (page->next_page_token() == request.page_token() || all.size() > kMaxListed) {
      return absl::OutOfRangeError(absl::StrCat("the server's list does not end: ", all.size(),
                                                " entries and a further page"));
    }
    request.set_page_token(page->next_page_token());
  }
}

std::shared_ptr<grpc::ChannelCredentials> TlsCredentials(const TlsOptions& tls) {
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = tls.ca;
  options.pem_private_key = tls.key;
  options.pem_cert_chain = tls.certificate;
  return grpc::SslCredentials(options);
}

}  // namespace

Client::Client(const std::shared_ptr<grpc::Channel>& channel, ClientOptions options)
    : connection_(std::make_shared<Connection>(channel, std::move(options))) {}

Client Client::Connect(const std::string& address, ClientOptions options) {
  auto credentials =
      options.tls ? TlsCredentials(*options.tls) : grpc::InsecureChannelCredentials();
  return Client(grpc::CreateChannel(address, std::move(credentials)), std::move(options));
}

absl::StatusOr<Session> Client::CreateSession(const SessionOptions& options) const {
  v1::CreateSessionRequest request;
  request.set_parent(connection_->TenantName());
  request.set_session_id(options.id);
  request.mutable_session()->set_model(options.model);
  request.mutable_session()->set_adapter(connection_->AdapterName(options.adapter));
  *request.mutable_session()->mutable_attention() = options.attention;
  if (options.expire_after) {
    request.mutable_session()->mutable_expire_after()->set_seconds(
        absl::ToInt64Seconds(*options.expire_after));
  }
  auto session = connection_->Unary(connection_->sessions(),
                                    &v1::SessionService::Stub::CreateSession, request);
  if (!session.ok()) return session.status();
  return Session(connection_, *std::move(session), options.temporary);
}

absl::StatusOr<Session> Client::OpenSession(const std::string& id_or_name) const {
  v1::Session named;
  named.set_name(connection_->SessionName(id_or_name));
  Session session(connection_, std::move(named), /*temporary=*/false);
  if (absl::Status status = session.Refresh(); !status.ok()) return status;
  return session;
}

absl::StatusOr<std::vector<v1::Session>> Client::ListSessions() const {
  v1::ListSessionsRequest request;
  request.set_parent(connection_->TenantName());
  return AllPages<v1::Session>(
      request,
      [&](const v1::ListSessionsRequest& page) {
        return connection_->Unary(connection_->sessions(), &v1::SessionService::Stub::ListSessions,
                                  page);
      },
      [](v1::ListSessionsResponse* page) { return page->mutable_sessions(); });
}

absl::Status Client::DeleteSession(const std::string& id_or_name) const {
  v1::Session named;
  named.set_name(connection_->SessionName(id_or_name));
  return Session(connection_, std::move(named), /*temporary=*/false).Delete();
}

absl::StatusOr<Session> Client::ImportSession(std::istream& in, const std::string& id) const {
  Connection::Call call(connection_.get(), connection_->options().stream_deadline);
  v1::Session session;
  const auto stream = connection_->sessions().ImportSession(call.context(), &session);
  v1::ImportSessionRequest request;
  request.set_parent(connection_->TenantName());
  request.set_session_id(id);
  std::string part(kImportPartBytes, '\0');
  do {
    in.read(part.data(), static_cast<std::streamsize>(part.size()));
    request.set_data(part.data(), static_cast<size_t>(in.gcount()));
    if (!stream->Write(request)) break;  // Finish tells why
    request.Clear();
  } while (in);
  stream->WritesDone();
  const absl::Status status = ToAbslStatus(stream->Finish());
  if (!status.ok()) return status;
  return Session(connection_, std::move(session), /*temporary=*/false);
}

TokenStream Client::Generate(v1::GenerateRequest request) const {
  request.set_parent(connection_->TenantName());
  request.set_adapter(connection_->AdapterName(request.adapter()));
  return TokenStream(connection_, std::move(request));
}

absl::StatusOr<v1::ScoreResponse> Client::Score(const v1::Content& content,
                                                int top_logprobs) const {
  v1::ScoreRequest request;
  request.set_parent(connection_->TenantName());
  *request.mutable_content() = content;
  request.set_top_logprobs(top_logprobs);
  return connection_->Unary(connection_->generation(), &v1::GenerationService::Stub::Score,
                            request);
}

absl::StatusOr<std::vector<int32_t>> Client::Tokenize(std::string_view text, bool parse_special,
                                                      const std::string& model) const {
  v1::TokenizeRequest request;
  request.set_model(model);
  request.mutable_content()->set_text(text.data(), text.size());
  request.mutable_content()->set_parse_special(parse_special);
  const auto response = connection_->Unary(connection_->generation(),
                                           &v1::GenerationService::Stub::Tokenize, request);
  if (!response.ok()) return response.status();
  return std::vector<int32_t>(response->ids().begin(), response->ids().end());
}

absl::StatusOr<std::string> Client::Detokenize(const std::vector<int32_t>& ids, bool skip_special,
                                               const std::string& model) const {
  v1::DetokenizeRequest request;
  request.set_model(model);
  request.mutable_ids()->Assign(ids.begin(), ids.end());
  request.set_skip_special(skip_special);
  auto response = connection_->Unary(connection_->generation(),
                                     &v1::GenerationService::Stub::Detokenize, request);
  if (!response.ok()) return response.status();
  return std::move(*response->mutable_text());
}

absl::StatusOr<std::vector<v1::Model>> Client::ListModels() const {
  return AllPages<v1::Model>(
      v1::ListModelsRequest(),
      [&](const v1::ListModelsRequest& page) {
        return connection_->Unary(connection_->models(), &v1::ModelService::Stub::ListModels, page);
      },
      [](v1::ListModelsResponse* page) { return page->mutable_models(); });
}

absl::StatusOr<v1::Model> Client::GetModel(const std::string& name) const {
  v1::GetModelRequest request;
  request.set_name(name);
  return connection_->Unary(connection_->models(), &v1::ModelService::Stub::GetModel, request);
}

absl::StatusOr<v1::Adapter> Client::LoadAdapter(const std::string& id,
                                                const std::string& folder) const {
  v1::LoadAdapterRequest request;
  request.set_parent(connection_->TenantName());
  request.set_adapter_id(id);
  request.set_folder(folder);
  return connection_->Unary(connection_->models(), &v1::ModelService::Stub::LoadAdapter, request);
}

absl::Status Client::UnloadAdapter(const std::string& id_or_name) const {
  v1::UnloadAdapterRequest request;
  request.set_name(connection_->AdapterName(id_or_name));
  return connection_->Unary(connection_->models(), &v1::ModelService::Stub::UnloadAdapter, request)
      .status();
}

absl::StatusOr<std::vector<v1::Adapter>> Client::ListAdapters() const {
  v1::ListAdaptersRequest request;
  request.set_parent(connection_->TenantName());
  return AllPages<v1::Adapter>(
      request,
      [&](const v1::ListAdaptersRequest& page) {
        return connection_->Unary(connection_->models(), &v1::ModelService::Stub::ListAdapters,
                                  page);
      },
      [](v1::ListAdaptersResponse* page) { return page->mutable_adapters(); });
}

void Client::Cancel() const { connection_->Cancel(); }

}  // namespace eidetic::client
