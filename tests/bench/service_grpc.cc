#include "tests/bench/service_grpc.h"

#include <glog/logging.h>
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <functional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "clients/cpp/client.h"
#include "server/server.h"
#include "tests/bench/generation_listener.h"
#include "tests/bench/measure.h"

namespace eidetic::bench {
namespace {

struct Speed {
  double tokens_per_second = 0;
  double messages_per_token = 0;  // 0 without gRPC
  double between_steps_us = 0;    // of the loop's time a step, outside the model
};

// Times `run`, which gives the messages that it took.
Speed Time(ServiceEngine* service, const ServiceOptions& options,
           const std::function<int64_t()>& run) {
  const StepTotals before = service->metrics().totals();
  const double begin = NowSeconds();
  const int64_t messages = run();
  const double seconds = NowSeconds() - begin;
  const StepTotals after = service->metrics().totals();
  const double tokens = static_cast<double>(options.streams) * options.tokens;
  return {.tokens_per_second = tokens / seconds,
          .messages_per_token = messages / tokens,
          .between_steps_us = (seconds - (after.seconds - before.seconds)) /
                              static_cast<double>(after.steps - before.steps) * 1e6};
}

int64_t RunInProcess(ServiceEngine* service, const ServiceOptions& options) {
  std::vector<GenerateSpec> specs;
  for (int64_t i = 0; i < options.streams; ++i) specs.push_back(service->Spec(options, i));
  for (const auto& listener : RunAll(&service->engine(), std::move(specs))) {
    CHECK_EQ(static_cast<int64_t>(listener->times().size()), options.tokens);
  }
  return 0;
}

// The same request as ServiceEngine::Spec.
v1::GenerateRequest Request(const ServiceOptions& options, int64_t stream, int32_t message_tokens) {
  v1::GenerateRequest request;
  const auto prompt = SomeTokens(options.prompt_tokens, stream);
  request.mutable_prompt()->mutable_tokens()->mutable_ids()->Assign(prompt.begin(), prompt.end());
  request.mutable_sampling()->set_temperature(options.temperature);
  request.mutable_sampling()->set_seed(stream);
  request.set_max_tokens(options.tokens);
  request.set_ignore_end_tokens(true);
  request.set_max_message_tokens(message_tokens);
  return request;
}

// Reads one answer to its end; the messages that tokens came in.
int64_t ReadAnswer(client::TokenStream stream, int64_t tokens) {
  int64_t deltas = 0;
  while (true) {
    const auto event = stream.Next();
    CHECK(event.ok()) << event.status();
    if (!event->has_value()) break;
    deltas += (*event)->has_delta();
  }
  CHECK_EQ(deltas, tokens);
  constexpr int64_t kStartAndFinish = 2;
  return stream.messages() - kStartAndFinish;
}

class Clients {
 public:
  Clients(const std::string& address, int connections) {
    grpc::ChannelArguments arguments;
    // Otherwise all channels to one address would share a connection.
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    for (int i = 0; i < connections; ++i) {
      channels_.push_back(
          grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments));
      CHECK(channels_.back()->WaitForConnected(std::chrono::system_clock::now() +
                                               std::chrono::seconds(10)));
      clients_.emplace_back(channels_.back());
    }
  }

  int64_t Run(const ServiceOptions& options, int32_t message_tokens) {
    std::atomic<int64_t> messages = 0;
    std::vector<std::thread> threads;
    for (int64_t i = 0; i < options.streams; ++i) {
      threads.emplace_back([&, i] {
        const client::Client& client = clients_[i % clients_.size()];
        messages +=
            ReadAnswer(client.Generate(Request(options, i, message_tokens)), options.tokens);
      });
    }
    for (std::thread& thread : threads) thread.join();
    return messages;
  }

 private:
  std::vector<std::shared_ptr<grpc::Channel>> channels_;
  std::vector<client::Client> clients_;
};

void PrintRound(int round, const char* way, const Speed& speed) {
  std::printf(
      "bench name=service_grpc_round round=%d way=%s tokens_per_second=%.1f "
      "messages_per_token=%.3f between_steps_us=%.1f\n",
      round, way, speed.tokens_per_second, speed.messages_per_token, speed.between_steps_us);
  std::fflush(stdout);
}

}  // namespace

void BenchGrpc(ServiceEngine* service, const ServiceOptions& options, int connections,
               int32_t message_tokens) {
  const auto server = EideticServer::Start(
      {&service->engine(), "models/bench", service->backend().name()}, &service->metrics(),
      {.address = "127.0.0.1:0", .max_message_tokens = message_tokens});
  CHECK(server.ok()) << server.status();
  Clients clients(absl::StrCat("127.0.0.1:", (*server)->port()), connections);

  std::vector<double> direct, each, joined, each_ratio, joined_ratio, joined_messages;
  for (int round = -1; round < options.rounds; ++round) {
    const Speed a = Time(service, options, [&] { return RunInProcess(service, options); });
    const Speed b = Time(service, options, [&] { return clients.Run(options, 1); });
    const Speed c = Time(service, options, [&] { return clients.Run(options, message_tokens); });
    if (round < 0) continue;  // warm-up
    PrintRound(round, "in_process", a);
    PrintRound(round, "grpc", b);
    PrintRound(round, "grpc_joined", c);
    direct.push_back(a.tokens_per_second);
    each.push_back(b.tokens_per_second);
    joined.push_back(c.tokens_per_second);
    each_ratio.push_back(b.tokens_per_second / a.tokens_per_second);
    joined_ratio.push_back(c.tokens_per_second / a.tokens_per_second);
    joined_messages.push_back(c.messages_per_token);
  }
  std::printf(
      "bench name=service_grpc model=%s streams=%d tokens=%d connections=%d rounds=%d "
      "in_process_tokens_per_second=%.1f grpc_tokens_per_second=%.1f "
      "grpc_joined_tokens_per_second=%.1f grpc_ratio=%.4f grpc_joined_ratio=%.4f "
      "joined_messages_per_token=%.3f\n",
      options.model.c_str(), options.streams, options.tokens, connections, options.rounds,
      Median(direct), Median(each), Median(joined), Median(each_ratio), Median(joined_ratio),
      Median(joined_messages));
  std::fflush(stdout);
}

}  // namespace eidetic::bench
