#include "tests/bench/stream_clients.h"

#include <fcntl.h>
#include <glog/logging.h>
#include <grpcpp/grpcpp.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "eidetic/v1/generation_service.grpc.pb.h"
#include "tests/bench/some_tokens.h"

namespace eidetic::bench {
namespace {

// As ServiceEngine::Spec.
v1::GenerateRequest Request(const StreamOptions& options, int64_t stream, int32_t message_tokens) {
  v1::GenerateRequest request;
  const auto prompt = SomeTokens(options.prompt_tokens, stream);
  request.set_parent("tenants/bench");
  request.mutable_prompt()->mutable_tokens()->mutable_ids()->Assign(prompt.begin(), prompt.end());
  request.mutable_sampling()->set_temperature(options.temperature);
  request.mutable_sampling()->set_seed(stream);
  request.set_max_tokens(options.tokens);
  request.set_ignore_end_tokens(true);
  request.set_max_message_tokens(message_tokens);
  return request;
}

// One answer, read message by message off a completion queue that it shares.
class Answer {
 public:
  Answer(v1::GenerationService::Stub* stub, const v1::GenerateRequest& request,
         grpc::CompletionQueue* queue)
      : reader_(stub->AsyncGenerate(&context_, request, queue, this)) {}

  // The queue's event for it; false once the answer has ended.
  bool Advance(bool ok) {
    if (finishing_) {
      CHECK(status_.ok()) << status_.error_message();
      return false;
    }
    if (started_ && ok) {
      const int tokens = message_.has_delta() ? 1 : message_.deltas().tokens_size();
      tokens_ += tokens;
      messages_ += tokens > 0;
    }
    started_ = true;
    finishing_ = !ok;
    ok ? reader_->Read(&message_, this) : reader_->Finish(&status_, this);
    return true;
  }

  int64_t tokens() const { return tokens_; }
  int64_t messages() const { return messages_; }

 private:
  grpc::ClientContext context_;
  v1::GenerateResponse message_;
  grpc::Status status_;
  bool started_ = false, finishing_ = false;
  int64_t tokens_ = 0, messages_ = 0;
  std::unique_ptr<grpc::ClientAsyncReader<v1::GenerateResponse>> reader_;
};

std::shared_ptr<grpc::Channel> Connect(const std::string& address) {
  grpc::ChannelArguments arguments;
  // Otherwise all channels to one address would share a connection.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  auto channel = grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
  CHECK(channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(10)));
  return channel;
}

// Streams `first`, `first` + step, ... over one connection; the messages that they took.
int64_t ReadAnswers(grpc::Channel* channel, const StreamOptions& options, int32_t message_tokens,
                    int64_t first) {
  const std::shared_ptr<grpc::Channel> borrowed(channel, [](grpc::Channel*) {});
  const auto stub = v1::GenerationService::NewStub(borrowed);
  grpc::CompletionQueue queue;
  std::vector<std::unique_ptr<Answer>> answers;
  for (int64_t i = first; i < options.streams; i += options.connections) {
    answers.push_back(
        std::make_unique<Answer>(stub.get(), Request(options, i, message_tokens), &queue));
  }
  size_t ended = 0;
  void* tag = nullptr;
  bool ok = false;
  while (ended < answers.size() && queue.Next(&tag, &ok)) {
    if (!static_cast<Answer*>(tag)->Advance(ok)) ++ended;
  }
  queue.Shutdown();
  while (queue.Next(&tag, &ok)) {
  }
  int64_t messages = 0;
  for (const auto& answer : answers) {
    CHECK_EQ(answer->tokens(), options.tokens);
    messages += answer->messages();
  }
  return messages;
}

}  // namespace

void ServeAsClients(const StreamOptions& options) {
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  for (int i = 0; i < options.connections; ++i) channels.push_back(Connect(options.address));
  std::printf("connected\n");
  std::fflush(stdout);
  int message_tokens = 0;
  while (std::scanf("%d", &message_tokens) == 1) {
    std::atomic<int64_t> messages = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < options.connections; ++i) {
      threads.emplace_back(
          [&, i] { messages += ReadAnswers(channels[i].get(), options, message_tokens, i); });
    }
    for (std::thread& thread : threads) thread.join();
    std::printf("%lld\n", static_cast<long long>(messages));
    std::fflush(stdout);
  }
}

ClientProcess::ClientProcess(const StreamOptions& options) {
  constexpr char kThisBinary[] = "/proc/self/exe";
  const std::vector<std::string> words = {kThisBinary,
                                          absl::StrCat("--clients_of=", options.address),
                                          absl::StrCat("--connections=", options.connections),
                                          absl::StrCat("--streams=", options.streams),
                                          absl::StrCat("--tokens=", options.tokens),
                                          absl::StrCat("--prompt_tokens=", options.prompt_tokens),
                                          absl::StrCat("--temperature=", options.temperature)};
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  int to[2], from[2];
  PCHECK(pipe2(to, O_CLOEXEC) == 0);
  PCHECK(pipe2(from, O_CLOEXEC) == 0);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, to[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, from[1], STDOUT_FILENO);
  CHECK_EQ(posix_spawn(&process_, kThisBinary, &actions, nullptr, arguments.data(), environ), 0);
  posix_spawn_file_actions_destroy(&actions);
  close(to[0]);
  close(from[1]);
  to_ = fdopen(to[1], "w");
  from_ = fdopen(from[0], "r");
  char word[32] = "";
  CHECK_EQ(std::fscanf(from_, "%31s", word), 1) << "the clients' process does not start";
}

ClientProcess::~ClientProcess() {
  std::fclose(to_);
  std::fclose(from_);
  waitpid(process_, nullptr, 0);
}

int64_t ClientProcess::Run(int32_t message_tokens) {
  std::fprintf(to_, "%d\n", message_tokens);
  std::fflush(to_);
  long long messages = 0;
  CHECK_EQ(std::fscanf(from_, "%lld", &messages), 1) << "the clients' process failed";
  return messages;
}

}  // namespace eidetic::bench
