// A handle on one session of the server.
//
// Thread safety: thread-compatible; streams that it gives are independent of it.
// Ownership: move-only; shares the client's connection. A `temporary` session is
//   deleted on the server when its handle is destroyed; any other stays.
// Preconditions: a moved-from handle is only destroyed or assigned to.
#ifndef EIDETIC_CLIENTS_CPP_SESSION_H_
#define EIDETIC_CLIENTS_CPP_SESSION_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "clients/cpp/append.h"
#include "clients/cpp/token_stream.h"
#include "eidetic/v1/generation_service.pb.h"
#include "eidetic/v1/session_service.pb.h"

namespace eidetic::client {

struct ForkOptions {
  std::string id = "";  // the name's last segment; empty: drawn by the server
  // Replaces the parent's for tokens computed after the fork; unset fields stay.
  v1::AttentionSettings attention = {};
  bool temporary = false;
  // By its id or whole name; empty: the base model; unset: the parent's. Another one of a session
  // with a past is FAILED_PRECONDITION unless the past is to be computed again.
  std::optional<std::string> adapter = std::nullopt;
  bool reingest = false;
};

class Session {
 public:
  // A handle on a session that exists.
  Session(std::shared_ptr<Connection> connection, v1::Session session, bool temporary);
  ~Session();
  Session(Session&& other) noexcept;
  Session& operator=(Session&& other) noexcept;

  // tenants/{tenant}/sessions/{session}
  const std::string& name() const { return session_.name(); }
  // Tokens in the session's log, as last told to this handle: a stream of Generate()
  // tells its own position in its finish.
  int64_t position() const { return session_.position(); }
  const v1::Session& info() const { return session_; }

  // Asks the server how the session stands. NOT_FOUND.
  absl::Status Refresh();
  // See AppendText. Moves position(), also as far as a failed append came.
  absl::StatusOr<AppendProgress> Append(std::string_view text, const AppendOptions& options = {});
  // Begins an answer. `session` of the request is set here; so is `request_id`, at
  // random, when empty, so that the stream can be resumed. Errors come from Next().
  TokenStream Generate(v1::GenerateRequest request) const;
  // The new session's handle. NOT_FOUND, ALREADY_EXISTS, RESOURCE_EXHAUSTED.
  absl::StatusOr<Session> Fork(const ForkOptions& options = {}) const;
  // Takes back everything from `position` on. OUT_OF_RANGE, ABORTED while a request writes to it;
  // FAILED_PRECONDITION when the session is not where `expected_position` says.
  absl::Status Rewind(int64_t position, std::optional<int64_t> expected_position = std::nullopt);
  // Names its present point; `id` empty: drawn by the server. ALREADY_EXISTS, RESOURCE_EXHAUSTED.
  absl::StatusOr<v1::Snapshot> TakeSnapshot(const std::string& id = "") const;
  // All of them; at most kMaxListed.
  absl::StatusOr<std::vector<v1::Snapshot>> ListSnapshots() const;
  // `id`: the last segment of the snapshot's name. NOT_FOUND.
  absl::Status DeleteSnapshot(const std::string& id) const;
  // Goes back to the snapshot's point. NOT_FOUND, ABORTED.
  absl::Status Restore(const std::string& id,
                       std::optional<int64_t> expected_position = std::nullopt);
  // Writes the session, or its snapshot `id` unless that is empty, to `out` in the form that
  // Client::ImportSession takes. UNKNOWN when `out` fails.
  absl::Status Export(std::ostream& out, const std::string& id = "") const;
  // Has everything pending computed, and waits for it; `on_progress` may be null.
  absl::Status Warm(const std::function<void(const v1::WarmMetadata&)>& on_progress = nullptr);
  // Passages and blocks that `query` would retrieve; `limit` 0: the server's default.
  absl::StatusOr<v1::SearchMemoryResponse> Search(std::string_view query, int limit = 0) const;
  // Log-probabilities of `content` as the session's continuation; changes nothing.
  absl::StatusOr<v1::ScoreResponse> Score(const v1::Content& content, int top_logprobs = 0) const;
  // Deletes it now. ABORTED while a request writes to it. A temporary one is tried
  // again at destruction.
  absl::Status Delete();
  // Makes a temporary session stay.
  void Keep() { temporary_ = false; }

 private:
  void DeleteIfTemporary();
  std::string SnapshotName(const std::string& id) const { return name() + "/snapshots/" + id; }

  std::shared_ptr<Connection> connection_;
  v1::Session session_;
  bool temporary_;
};

}  // namespace eidetic::client

#endif  // EIDETIC_CLIENTS_CPP_SESSION_H_
