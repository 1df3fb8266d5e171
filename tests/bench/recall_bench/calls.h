// The gRPC side of tests/bench/recall, for machines whose Python has no gRPC: a request and
// its answer are JSON objects.
//
//   {"op": "model"}                         -> {"name", "content_hash", "backend", "block_tokens"}
//   {"op": "count", "text": T}              -> {"tokens": N}
//   {"op": "read", "attention": A, "haystacks": [{"id": I, "pieces": [{"text": T, "special": B}]}]}
//     makes a session of each, all at once  -> {"tokens": [N], "seconds": S}
//   {"op": "ask", "id": I, "attention": A, "max_tokens": N, "parallel": P, "questions": [T]}
//     greedily, each in a fork of its own   -> {"answers": [{"text": T, "tokens": N,
//                                               "blocks": [B]}], "seconds": S}
//   {"op": "score", "id": I, "text": T}     -> {"tokens": N, "logprob": X, "seconds": S}
//   {"op": "drop", "id": I}                 -> {}
//
// `attention` is eidetic.v1.AttentionSettings in protobuf's JSON form; `blocks` are those that
// retrieval chose for the first token of the answer, over all layers and heads. What fails is
// answered {"error": TEXT, "code": NAME}; a `read` that fails leaves none of its sessions.
//
// Thread safety: thread-compatible. Ownership: owns a connection and the sessions that it made,
//   which are deleted with it. Preconditions: none; what is wrong is answered.
#ifndef EIDETIC_TESTS_BENCH_RECALL_BENCH_CALLS_H_
#define EIDETIC_TESTS_BENCH_RECALL_BENCH_CALLS_H_

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "clients/cpp/client.h"

namespace eidetic::bench {

class Calls {
 public:
  explicit Calls(client::Client client) : client_(std::move(client)) {}

  // The answer to one line, without a line feed.
  std::string Serve(const std::string& line);

 private:
  using Json = nlohmann::json;

  absl::StatusOr<Json> Dispatch(const Json& request);
  absl::StatusOr<Json> Model() const;
  absl::StatusOr<Json> Count(const Json& request) const;
  absl::StatusOr<Json> Read(const Json& request);
  absl::StatusOr<Json> Ask(const Json& request) const;
  absl::StatusOr<Json> Score(const Json& request) const;
  absl::StatusOr<Json> Drop(const Json& request);
  absl::StatusOr<const client::Session*> Find(const Json& request) const;

  const client::Client client_;
  std::map<std::string, client::Session> sessions_;
};

}  // namespace eidetic::bench

#endif  // EIDETIC_TESTS_BENCH_RECALL_BENCH_CALLS_H_
