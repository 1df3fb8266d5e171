// A server in this process that speaks the whole contract over loopback, with a toy
// model: a token is a byte, and an answer is what `answer` makes of the past. It can
// be told to break.
//
// Thread safety: `faults`, `answer` and `message_tokens` are set between calls; the rest is
// thread-safe. Ownership: owns its server; destruction cancels calls in flight and waits for them.
// Preconditions: none.
#ifndef EIDETIC_CLIENTS_CPP_TESTING_FAKE_SERVER_H_
#define EIDETIC_CLIENTS_CPP_TESTING_FAKE_SERVER_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "eidetic/v1/generation_service.pb.h"
#include "eidetic/v1/model_service.pb.h"
#include "eidetic/v1/session_service.pb.h"

namespace eidetic::client::testing {

class FakeServer {
 public:
  struct Answer {
    std::string text;
    std::vector<v1::Passage> passages;
  };
  // Each takes effect once, then is off again.
  struct Faults {
    // The next append takes so many requests, then breaks off (UNAVAILABLE).
    std::optional<int> break_append_after;
    // ... without having answered the last of them.
    bool lose_last_answer = false;
    // The next answer breaks off after so many deltas.
    std::optional<int> break_generate_after;
    // The next answer stops after its first delta and waits to be cancelled.
    bool hang_generate = false;
    // The next call of any kind but deletion is answered so.
    std::optional<grpc::Status> status;
  };

  FakeServer();
  ~FakeServer();

  // host:port
  const std::string& address() const { return address_; }
  // Bytes that the session holds; nothing when there is no such session.
  std::optional<std::string> TextOf(const std::string& name) const;
  std::vector<std::string> SessionNames() const;
  // Whether clients have cancelled `count` answers; waits for it, up to ten seconds, since a
  // server hears of it a moment later.
  bool AwaitCancelledAnswers(int count) const;
  std::vector<v1::GenerateRequest> generate_requests() const;
  // The header of the last ListModels.
  std::string authorization() const {
    std::lock_guard lock(mutex_);
    return authorization_;
  }

  Faults faults;
  // Tokens of an answer that come in one message, where its request allows it.
  int64_t message_tokens = 1;
  // Of the session's text, prompt included, and its policy.
  std::function<Answer(const std::string& past, v1::AttentionPolicy policy)> answer =
      [](const std::string&, v1::AttentionPolicy) {
        return Answer{"Hello, world.", {}};
      };

 private:
  class Sessions;
  class Generation;
  class Models;
  struct Record {
    v1::Session info;
    std::string text;
    std::map<std::string, Answer> answers;  // by request id
  };

  grpc::Status TakeFault();
  Record* Find(const std::string& name);

  mutable std::mutex mutex_;
  std::map<std::string, Record> records_;        // by name; with mutex_
  std::map<std::string, v1::Adapter> adapters_;  // by name; with mutex_
  std::vector<v1::GenerateRequest> generate_requests_;
  int drawn_ids_ = 0;
  std::string authorization_;
  std::atomic<int> cancelled_answers_ = 0;
  std::unique_ptr<Sessions> sessions_;
  std::unique_ptr<Generation> generation_;
  std::unique_ptr<Models> models_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

}  // namespace eidetic::client::testing

#endif  // EIDETIC_CLIENTS_CPP_TESTING_FAKE_SERVER_H_
