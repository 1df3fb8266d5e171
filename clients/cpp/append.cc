#include "clients/cpp/append.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "clients/cpp/connection.h"

namespace eidetic::client {
namespace {

// Enough for the server to encode one part while the next travels.
constexpr size_t kMaxUnacknowledgedParts = 2;

class Appender {
 public:
  Appender(Connection* connection, std::string name, std::vector<std::string_view> parts,
           const AppendOptions& options)
      : connection_(*connection),
        name_(std::move(name)),
        parts_(std::move(parts)),
        options_(options) {
    for (std::string_view part : parts_) progress_.bytes_total += part.size();
  }

  absl::StatusOr<AppendProgress> Run();

 private:
  using Stream = grpc::ClientReaderWriter<v1::AppendSessionRequest, v1::AppendSessionResponse>;

  absl::StatusOr<v1::Session> GetSession();
  absl::Status RunStream();
  // Reads one answer; false when there are no more.
  bool ReadAnswer(Stream& stream, size_t stream_begin, size_t sent);
  // After a break: notes the parts that arrived though no answer told so.
  absl::Status Locate();
  absl::StatusOr<int64_t> CountTokens(const v1::Session& session, std::string_view part);
  v1::Content ContentOf(std::string_view part) const;
  void Acknowledge(size_t parts, int64_t position);
  absl::Status Describe(const absl::Status& status) const;

  Connection& connection_;
  const std::string name_;
  const std::vector<std::string_view> parts_;
  const AppendOptions& options_;
  size_t acknowledged_ = 0;  // parts
  AppendProgress progress_;
};

absl::StatusOr<v1::Session> Appender::GetSession() {
  v1::GetSessionRequest request;
  request.set_name(name_);
  return connection_.Unary(connection_.sessions(), &v1::SessionService::Stub::GetSession, request);
}

v1::Content Appender::ContentOf(std::string_view part) const {
  v1::Content content;
  content.set_text(part.data(), part.size());
  content.set_parse_special(options_.parse_special);
  return content;
}

void Appender::Acknowledge(size_t parts, int64_t position) {
  for (; acknowledged_ < parts; ++acknowledged_) {
    progress_.bytes_acknowledged += parts_[acknowledged_].size();
  }
  progress_.position = position;
}

bool Appender::ReadAnswer(Stream& stream, size_t stream_begin, size_t sent) {
  v1::AppendSessionResponse response;
  if (!stream.Read(&response)) return false;
  // A server that acknowledges what was never sent is believed as far as makes sense.
  const int64_t acknowledged = std::clamp<int64_t>(response.requests_acknowledged(), 0,
                                                   static_cast<int64_t>(sent - stream_begin));
  Acknowledge(stream_begin + acknowledged, response.position());
  progress_.computed_position = response.computed_position();
  if (options_.on_progress) options_.on_progress(progress_);
  return true;
}

absl::Status Appender::RunStream() {
  Connection::Call call(&connection_, connection_.options().stream_deadline);
  const auto stream = connection_.sessions().AppendSession(call.context());
  const size_t begin = acknowledged_;
  size_t sent = begin;
  bool open = true;
  while (open && sent < parts_.size()) {
    v1::AppendSessionRequest request;
    if (sent == begin) {
      request.set_name(name_);
      request.set_expected_position(progress_.position);
    }
    *request.mutable_content() = ContentOf(parts_[sent]);
    open = stream->Write(request);
    ++sent;
    while (open && sent - acknowledged_ >= kMaxUnacknowledgedParts) {
      open = ReadAnswer(*stream, begin, sent);
    }
  }
  if (open) stream->WritesDone();
  // After a failed write too: a call does not finish while answers of it are unread.
  while (ReadAnswer(*stream, begin, sent)) {
  }
  absl::Status status = ToAbslStatus(stream->Finish());
  if (status.ok() && acknowledged_ < parts_.size()) {
    return absl::UnavailableError("the stream ended before every part was acknowledged");
  }
  return status;
}

absl::StatusOr<int64_t> Appender::CountTokens(const v1::Session& session, std::string_view part) {
  v1::TokenizeRequest request;
  request.set_model(session.model());
  *request.mutable_content() = ContentOf(part);
  auto response =
      connection_.Unary(connection_.generation(), &v1::GenerationService::Stub::Tokenize, request);
  if (!response.ok()) return response.status();
  return response->ids_size();
}

absl::Status Appender::Locate() {
  const auto session = GetSession();
  if (!session.ok()) return session.status();
  while (progress_.position < session->position() && acknowledged_ < parts_.size()) {
    const auto tokens = CountTokens(*session, parts_[acknowledged_]);
    if (!tokens.ok()) return tokens.status();
    Acknowledge(acknowledged_ + 1, progress_.position + *tokens);
  }
  if (progress_.position != session->position()) {
    return absl::DataLossError(
        absl::StrCat("the session stands at ", session->position(),
                     ", where no part of this text ends: something else wrote to it"));
  }
  return absl::OkStatus();
}

absl::Status Appender::Describe(const absl::Status& status) const {
  absl::Status described(
      status.code(),
      absl::StrCat(status.message(), " (", progress_.bytes_acknowledged, " of ",
                   progress_.bytes_total, " bytes appended, position ", progress_.position, ")"));
  status.ForEachPayload([&](absl::string_view type_url, const absl::Cord& payload) {
    described.SetPayload(type_url, payload);
  });
  return described;
}

// Between a break and the server's noticing it, the session still has its old
// writer (ABORTED) and may still move (FAILED_PRECONDITION).
bool MayPass(const absl::Status& status, bool broken) {
  return absl::IsUnavailable(status) ||
         (broken && (absl::IsAborted(status) || absl::IsFailedPrecondition(status)));
}

absl::StatusOr<AppendProgress> Appender::Run() {
  const auto session = GetSession();
  if (!session.ok()) return session.status();
  progress_.begin_position = options_.expected_position.value_or(session->position());
  progress_.position = progress_.begin_position;
  progress_.computed_position = session->computed_position();
  if (parts_.empty()) return progress_;

  absl::Status status = RunStream();
  bool broken = false;
  absl::Duration backoff = options_.first_backoff;
  for (int retries = 0; retries < options_.max_retries && MayPass(status, broken); ++retries) {
    broken = true;
    if (!connection_.SleepUnlessCancelled(backoff)) {
      return Describe(absl::CancelledError("cancelled"));
    }
    backoff = std::min(2 * backoff, kMaxAppendBackoff);
    const size_t before = acknowledged_;
    status = Locate();
    if (status.ok()) status = RunStream();
    if (acknowledged_ > before) {
      retries = -1;
      backoff = options_.first_backoff;
    }
  }
  if (!status.ok()) return Describe(status);
  return progress_;
}

}  // namespace

absl::StatusOr<AppendProgress> AppendText(Connection* connection, const std::string& name,
                                          std::string_view text, const AppendOptions& options) {
  auto parts = SplitText(text, options.part_bytes);
  if (!parts.ok()) return parts.status();
  return Appender(connection, name, *std::move(parts), options).Run();
}

}  // namespace eidetic::client
