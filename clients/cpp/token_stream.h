// The events of one generation, in order.
//
// Thread safety: Cancel() from any thread; everything else from one at a time.
// Ownership: move-only; owns its call and shares the client's connection.
//   Destruction cancels what is still running: the server stops at its next step.
// Preconditions: a moved-from stream is only destroyed or assigned to.
#ifndef EIDETIC_CLIENTS_CPP_TOKEN_STREAM_H_
#define EIDETIC_CLIENTS_CPP_TOKEN_STREAM_H_

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "eidetic/v1/generation_service.pb.h"

namespace eidetic::client {

class Connection;

class TokenStream {
 public:
  // A start, then deltas, then a finish (eidetic/v1/generation_service.proto): one delta a
  // token, also when several came in one message.
  using Event = v1::GenerateResponse;

  TokenStream(std::shared_ptr<Connection> connection, v1::GenerateRequest request);
  ~TokenStream();
  TokenStream(TokenStream&&) noexcept;
  TokenStream& operator=(TokenStream&&) noexcept;

  // Waits for the next event; nothing after the finish. An error repeats until
  // Resume(): UNAVAILABLE also when the stream ended without its finish.
  absl::StatusOr<std::optional<Event>> Next();

  // Takes a broken stream up after the last event that Next() gave: no event comes
  // twice, none is missing. FAILED_PRECONDITION: the stream is not broken, was
  // cancelled, or its request has no request_id. Next() tells how the call fares.
  absl::Status Resume();

  // Ends the stream: Next() gives CANCELLED. Tokens already journaled stay in the
  // session.
  void Cancel();

  // Sequence number of the last delta seen; 0 before the first.
  int64_t last_sequence_number() const;
  // Messages received so far; fewer than events where tokens came together.
  int64_t messages() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace eidetic::client

#endif  // EIDETIC_CLIENTS_CPP_TOKEN_STREAM_H_
