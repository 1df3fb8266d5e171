// One server and one session with a past, on which bad requests must leave no trace.
//
// Thread safety: thread-compatible. Ownership: the suite owns the server.
// Preconditions: as ServerProcess.
#ifndef EIDETIC_TESTS_END_TO_END_BAD_INPUT_FIXTURE_H_
#define EIDETIC_TESTS_END_TO_END_BAD_INPUT_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "clients/cpp/client.h"
#include "eidetic/v1/generation_service.grpc.pb.h"
#include "eidetic/v1/session_service.grpc.pb.h"
#include "tests/end_to_end/requests.h"
#include "tests/end_to_end/server_process.h"

namespace eidetic::testing {

// The one field that a refusal names in its BadRequest; "" when it names none, or several.
inline std::string BadField(const absl::Status& status) {
  const auto violations = client::FieldViolations(status);
  return violations.size() == 1 ? violations[0].field : "";
}

class BadInputTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    server_ = new ServerProcess({"--max_pages=2048", "--max_state_slots=32"});
  }
  static void TearDownTestSuite() {
    EXPECT_EQ(server_->Stop(), 0);
    delete server_;
  }

  BadInputTest() {
    auto session = client_.CreateSession({.temporary = true});
    EXPECT_TRUE(session.ok()) << session.status();
    session_ = std::make_unique<client::Session>(*std::move(session));
    EXPECT_TRUE(session_->Append("The past of this session.").ok());
    position_ = session_->position();
  }
  ~BadInputTest() override {
    session_.reset();
    EXPECT_THAT(server_->StillHeld(), ::testing::IsEmpty());
  }

  // The session stands where it stood, and a good request is answered as ever.
  void ExpectUnharmed() {
    EXPECT_TRUE(WaitUntilFree(*session_));
    EXPECT_EQ(session_->position(), position_);
    auto fork = session_->Fork({.temporary = true});
    ASSERT_TRUE(fork.ok()) << fork.status();
    const Answer answer = Read(fork->Generate(Greedy(" Good", 1)));
    ASSERT_TRUE(answer.finish) << answer.status;
    if (good_token_ < 0) good_token_ = answer.tokens[0];
    EXPECT_EQ(answer.tokens[0], good_token_);
  }

  // Calls a unary method of a stub, with a deadline so that a broken test ends.
  template <typename Stub, typename Request, typename Response>
  absl::Status Call(Stub& stub,
                    grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    Response response;
    return client::ToAbslStatus((stub.*method)(&context, request, &response));
  }

  static inline ServerProcess* server_ = nullptr;
  const client::Client client_ = client::Client::Connect(server_->address());
  v1::SessionService::Stub sessions_{server_->channel()};
  v1::GenerationService::Stub generation_{server_->channel()};
  std::unique_ptr<client::Session> session_;
  int64_t position_ = 0;
  int32_t good_token_ = -1;
};

}  // namespace eidetic::testing

#endif  // EIDETIC_TESTS_END_TO_END_BAD_INPUT_FIXTURE_H_
