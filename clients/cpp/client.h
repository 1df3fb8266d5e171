// The C++ client of Eidetic: sessions, generation and models of one server.
//
//   auto client = Client::Connect("127.0.0.1:50051");
//   auto session = client.CreateSession({.temporary = true});
//   session->Append(book);
//   TokenStream answer = session->Generate(request);
//   while (auto event = answer.Next()) { if (!event->has_value()) break; ... }
//
// Every error is the server's status, its details readable through
// clients/cpp/status_details.h.
//
// Thread safety: thread-safe.
// Ownership: shares its connection with the sessions and streams that it gives,
//   which may outlive it. Copies share it too.
// Preconditions: none; what is wrong is refused by the server.
#ifndef EIDETIC_CLIENTS_CPP_CLIENT_H_
#define EIDETIC_CLIENTS_CPP_CLIENT_H_

#include <cstdint>
#include <istream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "clients/cpp/connection.h"
#include "clients/cpp/session.h"
#include "clients/cpp/status_details.h"
#include "clients/cpp/token_stream.h"
#include "eidetic/v1/generation_service.pb.h"
#include "eidetic/v1/model_service.pb.h"
#include "eidetic/v1/session_service.pb.h"

namespace eidetic::client {

struct SessionOptions {
  std::string id = "";                   // the name's last segment; empty: drawn by the server
  std::string model = "";                // models/{model}; empty: the server's first
  std::string adapter = "";              // by its id or whole name; empty: the base model
  v1::AttentionSettings attention = {};  // unset fields: the server's defaults
  bool temporary = false;                // deleted when the handle is destroyed
  // Of rest, then the server deletes it, whole seconds; 0: never; unset: the server's default.
  std::optional<absl::Duration> expire_after = std::nullopt;
};

class Client {
 public:
  // Over any channel (in-process, ...); `channel` is not null.
  explicit Client(const std::shared_ptr<grpc::Channel>& channel, ClientOptions options = {});
  // Over plain TCP, or TLS if the options have it, to "host:port". Connects at the first call.
  static Client Connect(const std::string& address, ClientOptions options = {});

  // INVALID_ARGUMENT, ALREADY_EXISTS, RESOURCE_EXHAUSTED.
  absl::StatusOr<Session> CreateSession(const SessionOptions& options = {}) const;
  // A handle on a session that exists, by its id or its whole name. NOT_FOUND.
  absl::StatusOr<Session> OpenSession(const std::string& id_or_name) const;
  // Every session of the tenant, all pages; at most kMaxListed.
  absl::StatusOr<std::vector<v1::Session>> ListSessions() const;
  // NOT_FOUND; ABORTED while a request writes to it.
  absl::Status DeleteSession(const std::string& id_or_name) const;

  // A new session from an export; `id` empty: drawn by the server. FAILED_PRECONDITION: of another
  // model; DATA_LOSS: damaged; RESOURCE_EXHAUSTED: too large for the server.
  absl::StatusOr<Session> ImportSession(std::istream& in, const std::string& id = "") const;

  // Begins an answer without a session; `parent` of the request is set here, and its `adapter` may
  // be an id. Without
  // a session there is no past to resume from. Errors come from Next().
  TokenStream Generate(v1::GenerateRequest request) const;
  // Log-probabilities of `content` on its own.
  absl::StatusOr<v1::ScoreResponse> Score(const v1::Content& content, int top_logprobs = 0) const;
  // Ids under `model` (empty: the server's first).
  absl::StatusOr<std::vector<int32_t>> Tokenize(std::string_view text, bool parse_special = false,
                                                const std::string& model = "") const;
  absl::StatusOr<std::string> Detokenize(const std::vector<int32_t>& ids, bool skip_special = false,
                                         const std::string& model = "") const;

  absl::StatusOr<std::vector<v1::Model>> ListModels() const;
  // NOT_FOUND.
  absl::StatusOr<v1::Model> GetModel(const std::string& name) const;

  // Loads folder `folder` of the tenant's on the server (empty: the id's) as adapter `id`.
  // NOT_FOUND, INVALID_ARGUMENT, FAILED_PRECONDITION: another content has the name.
  absl::StatusOr<v1::Adapter> LoadAdapter(const std::string& id,
                                          const std::string& folder = "") const;
  // NOT_FOUND; FAILED_PRECONDITION while sessions or requests use it.
  absl::Status UnloadAdapter(const std::string& id_or_name) const;
  // Every adapter of the tenant, all pages; at most kMaxListed.
  absl::StatusOr<std::vector<v1::Adapter>> ListAdapters() const;

  // Ends every call of this client, now and later, with CANCELLED; only deletions of
  // sessions still pass. For shutting down.
  void Cancel() const;

 private:
  std::shared_ptr<Connection> connection_;
};

// A list longer than this is OUT_OF_RANGE: no server makes a client grow without end.
inline constexpr size_t kMaxListed = 1 << 20;

}  // namespace eidetic::client

#endif  // EIDETIC_CLIENTS_CPP_CLIENT_H_
