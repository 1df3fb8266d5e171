// What one client does to one session, and what it was told of it.
//
// What: a script of appends, generations, rewinds, forks, snapshots and restores drawn from a seed.
// A client plays it step by step
//   against a server that may be killed at any moment: it asks again after each failure, as the
//   contract says (expected_position, request_id, resume_from), and checks while it does that
//   nothing acknowledged is lost, doubled or reordered.
// Thread safety: one thread a client. Ownership: borrows the servers.
// Preconditions: as stated.
#ifndef EIDETIC_TESTS_CHAOS_SCRIPT_H_
#define EIDETIC_TESTS_CHAOS_SCRIPT_H_

#include <grpcpp/channel.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "eidetic/v1/generation_service.pb.h"
#include "eidetic/v1/session_service.pb.h"

namespace eidetic::testing {

// One of these is set.
struct ScriptStep {
  std::vector<int32_t> append = {};   // token ids
  v1::GenerateRequest generate = {};  // with a request_id
  int64_t rewind = 0;                 // tokens that are taken back
  std::string snapshot = {};          // the id that it gets
  std::string restore = {};           // the id of one taken before
  std::string fork = {};  // what the session's id gets at its end; the script goes on there
  v1::AttentionSettings attention = {};  // of the fork, for what comes; unset fields: its parent's
};

struct Script {
  std::string session_id;
  v1::AttentionSettings attention;
  std::vector<ScriptStep> steps;
};

// Greedy and sampled answers over a past of a few hundred tokens. Every policy and rule of
// retrieval has its seeds, and a fork may take another.
Script DrawScript(uint64_t seed);

// What a server may have done with that which it acknowledged.
struct Findings {
  int64_t lost = 0, doubled = 0, reordered = 0;
  int64_t divergent = 0;  // other than in an uninterrupted run
  int64_t all() const { return lost + doubled + reordered + divergent; }
};

// Everything that the client was told.
struct Outcome {
  std::vector<std::vector<int32_t>> answers;  // the tokens of each generation
  std::vector<std::string> texts;
  std::vector<std::pair<std::string, int64_t>> sessions;  // where each was left: id's end, position
  int64_t retries = 0;
  Findings findings;
  friend bool operator==(const Outcome& a, const Outcome& b) {
    return a.answers == b.answers && a.texts == b.texts && a.sessions == b.sessions;
  }
};

// The server that clients have, now this one, now that.
class Servers {
 public:
  virtual ~Servers() = default;
  // The channel of the one that runs now; waits for one when there is none. Null: stop.
  virtual std::shared_ptr<grpc::Channel> Find() = 0;
  // A client got one step further.
  virtual void OnProgress() {}
};

// Plays the whole script. An error names what was lost, doubled or reordered, which is counted.
absl::Status Play(const Script& script, Servers* servers, Outcome* outcome);

// Has each session that the script left go on for a few tokens, which are further answers.
absl::Status PlayOn(const Script& script, Servers* servers, Outcome* outcome);

}  // namespace eidetic::testing

#endif  // EIDETIC_TESTS_CHAOS_SCRIPT_H_
