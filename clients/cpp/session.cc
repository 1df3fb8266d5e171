#include "clients/cpp/session.h"

#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "clients/cpp/connection.h"

namespace eidetic::client {
namespace {

// The server frees a cancelled request's session at its next step, soon after.
constexpr int kDeleteAttempts = 5;
constexpr absl::Duration kDeleteBackoff = absl::Milliseconds(100);

// 128 random bits: two requests of one session never share an id.
std::string RandomRequestId() {
  std::random_device random;
  std::string id;
  for (int i = 0; i < 4; ++i) absl::StrAppend(&id, absl::Hex(random(), absl::kZeroPad8));
  return id;
}

}  // namespace

Session::Session(std::shared_ptr<Connection> connection, v1::Session session, bool temporary)
    : connection_(std::move(connection)), session_(std::move(session)), temporary_(temporary) {}

Session::~Session() { DeleteIfTemporary(); }

Session::Session(Session&& other) noexcept
    : connection_(std::move(other.connection_)),
      session_(std::move(other.session_)),
      temporary_(std::exchange(other.temporary_, false)) {}

Session& Session::operator=(Session&& other) noexcept {
  if (this == &other) return *this;
  DeleteIfTemporary();
  connection_ = std::move(other.connection_);
  session_ = std::move(other.session_);
  temporary_ = std::exchange(other.temporary_, false);
  return *this;
}

void Session::DeleteIfTemporary() {
  if (!temporary_) return;
  for (int attempt = 1; absl::IsAborted(Delete()) && attempt < kDeleteAttempts; ++attempt) {
    absl::SleepFor(kDeleteBackoff);
  }
}

absl::Status Session::Delete() {
  v1::DeleteSessionRequest request;
  request.set_name(name());
  // Not cancellable: a cancelled client still clears up after itself.
  const auto deleted =
      connection_->Unary(connection_->sessions(), &v1::SessionService::Stub::DeleteSession, request,
                         /*cancellable=*/false);
  if (deleted.ok()) temporary_ = false;
  return deleted.status();
}

absl::Status Session::Refresh() {
  v1::GetSessionRequest request;
  request.set_name(name());
  auto session =
      connection_->Unary(connection_->sessions(), &v1::SessionService::Stub::GetSession, request);
  if (session.ok()) session_ = *std::move(session);
  return session.status();
}

absl::StatusOr<AppendProgress> Session::Append(std::string_view text,
                                               const AppendOptions& options) {
  AppendOptions observed = options;
  observed.on_progress = [&](const AppendProgress& progress) {
    session_.set_position(progress.position);
    session_.set_computed_position(progress.computed_position);
    if (options.on_progress) options.on_progress(progress);
  };
  auto progress = AppendText(connection_.get(), name(), text, observed);
  if (progress.ok()) session_.set_position(progress->position);
  return progress;
}

TokenStream Session::Generate(v1::GenerateRequest request) const {
  request.set_session(name());
  if (request.request_id().empty()) request.set_request_id(RandomRequestId());
  return TokenStream(connection_, std::move(request));
}

absl::StatusOr<Session> Session::Fork(const ForkOptions& options) const {
  v1::ForkSessionRequest request;
  request.set_name(name());
  request.set_session_id(options.id);
  *request.mutable_attention() = options.attention;
  if (options.adapter) request.set_adapter(connection_->AdapterName(*options.adapter));
  request.set_reingest(options.reingest);
  auto forked =
      connection_->Unary(connection_->sessions(), &v1::SessionService::Stub::ForkSession, request);
  if (!forked.ok()) return forked.status();
  return Session(connection_, *std::move(forked), options.temporary);
}

absl::StatusOr<v1::SearchMemoryResponse> Session::Search(std::string_view query, int limit) const {
  v1::SearchMemoryRequest request;
  request.set_name(name());
  request.mutable_query()->set_text(query.data(), query.size());
  request.set_limit(limit);
  return connection_->Unary(connection_->sessions(), &v1::SessionService::Stub::SearchMemory,
                            request);
}

absl::StatusOr<v1::ScoreResponse> Session::Score(const v1::Content& content,
                                                 int top_logprobs) const {
  v1::ScoreRequest request;
  request.set_session(name());
  *request.mutable_content() = content;
  request.set_top_logprobs(top_logprobs);
  return connection_->Unary(connection_->generation(), &v1::GenerationService::Stub::Score,
                            request);
}

}  // namespace eidetic::client
