#include "tests/bench/service_grpc.h"

#include <glog/logging.h>
#include <sys/resource.h>

#include <cstdio>
#include <functional>

#include "absl/strings/str_cat.h"
#include "server/server.h"
#include "tests/bench/generation_listener.h"
#include "tests/bench/measure.h"
#include "tests/bench/stream_clients.h"

namespace eidetic::bench {
namespace {

struct Speed {
  double tokens_per_second = 0;
  double messages_per_token = 0;  // 0 without gRPC
  double between_steps_us = 0;    // of the loop's time a step, outside the model
  double cpu_us_per_token = 0;    // of this process, the clients' apart
};

double CpuSeconds() {
  rusage usage;
  PCHECK(getrusage(RUSAGE_SELF, &usage) == 0);
  const auto seconds = [](const timeval& t) { return t.tv_sec + t.tv_usec * 1e-6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Times `run`, which gives the messages that it took.
Speed Time(ServiceEngine* service, const ServiceOptions& options,
           const std::function<int64_t()>& run) {
  const StepTotals before = service->metrics().totals();
  const double cpu_begin = CpuSeconds(), begin = NowSeconds();
  const int64_t messages = run();
  const double seconds = NowSeconds() - begin, cpu_seconds = CpuSeconds() - cpu_begin;
  const StepTotals after = service->metrics().totals();
  const double tokens = static_cast<double>(options.streams) * options.tokens;
  return {.tokens_per_second = tokens / seconds,
          .messages_per_token = messages / tokens,
          .between_steps_us = (seconds - (after.seconds - before.seconds)) /
                              static_cast<double>(after.steps - before.steps) * 1e6,
          .cpu_us_per_token = cpu_seconds / tokens * 1e6};
}

int64_t RunInProcess(ServiceEngine* service, const ServiceOptions& options) {
  std::vector<GenerateSpec> specs;
  for (int64_t i = 0; i < options.streams; ++i) specs.push_back(service->Spec(options, i));
  for (const auto& listener : RunAll(&service->engine(), std::move(specs))) {
    CHECK_EQ(static_cast<int64_t>(listener->times().size()), options.tokens);
  }
  return 0;
}

StreamOptions StreamsOf(const ServiceOptions& options, int port, int connections) {
  return {.address = absl::StrCat("127.0.0.1:", port),
          .connections = connections,
          .streams = options.streams,
          .tokens = options.tokens,
          .prompt_tokens = options.prompt_tokens,
          .temperature = options.temperature};
}

void PrintRound(int round, const char* way, const Speed& speed) {
  std::printf(
      "bench name=service_grpc_round round=%d way=%s tokens_per_second=%.1f "
      "messages_per_token=%.3f between_steps_us=%.1f cpu_us_per_token=%.2f\n",
      round, way, speed.tokens_per_second, speed.messages_per_token, speed.between_steps_us,
      speed.cpu_us_per_token);
  std::fflush(stdout);
}

}  // namespace

void BenchGrpc(ServiceEngine* service, const ServiceOptions& options, const GrpcOptions& grpc) {
  const auto server = EideticServer::Start(
      {&service->engine(), "models/bench", service->backend().name()}, &service->metrics(),
      {.address = "127.0.0.1:0",
       .max_message_tokens = grpc.message_tokens,
       .stream_threads = grpc.stream_threads});
  CHECK(server.ok()) << server.status();
  ClientProcess clients(StreamsOf(options, (*server)->port(), grpc.connections));

  std::vector<double> direct, each, joined, each_ratio, joined_ratio, joined_messages;
  for (int round = -1; round < options.rounds; ++round) {
    const Speed a = Time(service, options, [&] { return RunInProcess(service, options); });
    const Speed b = Time(service, options, [&] { return clients.Run(1); });
    const Speed c = Time(service, options, [&] { return clients.Run(grpc.message_tokens); });
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
      "bench name=service_grpc model=%s streams=%d tokens=%d connections=%d stream_threads=%d "
      "rounds=%d "
      "in_process_tokens_per_second=%.1f grpc_tokens_per_second=%.1f "
      "grpc_joined_tokens_per_second=%.1f grpc_ratio=%.4f grpc_joined_ratio=%.4f "
      "joined_messages_per_token=%.3f\n",
      options.model.c_str(), options.streams, options.tokens, grpc.connections, grpc.stream_threads,
      options.rounds, Median(direct), Median(each), Median(joined), Median(each_ratio),
      Median(joined_ratio), Median(joined_messages));
  std::fflush(stdout);
}

}  // namespace eidetic::bench
