// The service: what gRPC costs, and what long prompts cost those who decode beside them.
//
//   service_bench [--part grpc,interference] [--device cuda] [--model DIR|CONFIG.json]
//                 [--streams 64] [--tokens 256] [--query_chunk_tokens 64]
//                 [--max_batch_tokens 128] [--prefill_rates 5000,0]
//
// A config.json makes a model of random weights. The engine runs in this process, and for
// --part=grpc a server on a port of the loopback device; its clients are a second process. Prints
// one `bench` line a measurement (service_grpc.h, service_interference.h). It asserts nothing.
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/numbers.h"
#include "absl/synchronization/mutex.h"
#include "glog/logging.h"
#include "server/server.h"
#include "tests/bench/service_engine.h"
#include "tests/bench/service_grpc.h"
#include "tests/bench/service_interference.h"
#include "tests/bench/stream_clients.h"

ABSL_FLAG(std::vector<std::string>, part, std::vector<std::string>({"grpc", "interference"}),
          "grpc, interference");
ABSL_FLAG(std::string, device, "cuda", "as of eidetic-server");
ABSL_FLAG(std::string, model, "engine/model/demo", "model folder, or a config.json");
ABSL_FLAG(std::string, demo, "engine/model/demo", "folder of the tokenizer for a config.json");
ABSL_FLAG(int32_t, rounds, 3, "measurements of each kind, in turn");
ABSL_FLAG(int32_t, streams, 64, "generations at once");
ABSL_FLAG(int32_t, tokens, 256, "tokens that each generates");
ABSL_FLAG(int32_t, prompt_tokens, 32, "tokens that each is given");
ABSL_FLAG(double, temperature, 0, "0: greedy");
ABSL_FLAG(int32_t, connections, 4, "grpc: connections that the streams share");
ABSL_FLAG(int32_t, message_tokens, 64, "grpc: tokens that a message may carry, the third way");
ABSL_FLAG(int32_t, stream_threads, eidetic::ServerOptions().stream_threads, "as of eidetic-server");
ABSL_FLAG(std::string, clients_of, "", "grpc: be the clients of the server there (its own use)");
ABSL_FLAG(int32_t, prefill_sessions, 4, "interference: sessions that append");
ABSL_FLAG(int32_t, prefill_tokens, 16384, "interference: tokens of each prompt");
ABSL_FLAG(std::vector<std::string>, prefill_rates, {"0"},
          "interference: prompt tokens a second that are offered, one measurement each; 0: as many "
          "as the engine takes");
ABSL_FLAG(int32_t, query_chunk_tokens, eidetic::EngineLimits().query_chunk_tokens,
          "as of eidetic-server; a chunk is never cut, so it bounds what a step does at least");
ABSL_FLAG(int32_t, max_batch_tokens, eidetic::EngineLimits().plan.max_batch_tokens,
          "as of eidetic-server");

namespace eidetic::bench {
namespace {

ServiceOptions OptionsFromFlags() {
  ServiceOptions options;
  options.device = absl::GetFlag(FLAGS_device);
  options.model = absl::GetFlag(FLAGS_model);
  options.tokenizer = absl::GetFlag(FLAGS_demo);
  options.rounds = absl::GetFlag(FLAGS_rounds);
  options.streams = absl::GetFlag(FLAGS_streams);
  options.tokens = absl::GetFlag(FLAGS_tokens);
  options.prompt_tokens = absl::GetFlag(FLAGS_prompt_tokens);
  options.temperature = static_cast<float>(absl::GetFlag(FLAGS_temperature));
  options.prefill_sessions = absl::GetFlag(FLAGS_prefill_sessions);
  options.prefill_tokens = absl::GetFlag(FLAGS_prefill_tokens);
  options.limits.query_chunk_tokens = absl::GetFlag(FLAGS_query_chunk_tokens);
  options.limits.plan.max_batch_tokens = absl::GetFlag(FLAGS_max_batch_tokens);
  CHECK_GE(options.streams, 1);
  CHECK_GE(options.tokens, 2);
  CHECK_GE(options.rounds, 1);
  return options;
}

void RunClients() {
  ServeAsClients({.address = absl::GetFlag(FLAGS_clients_of),
                  .connections = absl::GetFlag(FLAGS_connections),
                  .streams = absl::GetFlag(FLAGS_streams),
                  .tokens = absl::GetFlag(FLAGS_tokens),
                  .prompt_tokens = absl::GetFlag(FLAGS_prompt_tokens),
                  .temperature = static_cast<float>(absl::GetFlag(FLAGS_temperature))});
}

void Run() {
  const ServiceOptions options = OptionsFromFlags();
  ServiceEngine service(options);
  for (const std::string& part : absl::GetFlag(FLAGS_part)) {
    if (part == "grpc") {
      BenchGrpc(&service, options,
                {.connections = absl::GetFlag(FLAGS_connections),
                 .stream_threads = absl::GetFlag(FLAGS_stream_threads),
                 .message_tokens = absl::GetFlag(FLAGS_message_tokens)});
    } else {
      CHECK_EQ(part, "interference") << "--part: there is no such part";
      for (const std::string& word : absl::GetFlag(FLAGS_prefill_rates)) {
        double rate = 0;
        CHECK(absl::SimpleAtod(word, &rate)) << "--prefill_rates: '" << word << "' is no number";
        BenchInterference(&service, options, rate);
      }
    }
  }
}

}  // namespace
}  // namespace eidetic::bench

int main(int argc, char** argv) {
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);  // as eidetic-server
  FLAGS_logtostderr = true;
  google::InitGoogleLogging(argv[0]);
  absl::ParseCommandLine(argc, argv);
  if (!absl::GetFlag(FLAGS_clients_of).empty()) {
    eidetic::bench::RunClients();
    return 0;
  }
  eidetic::bench::Run();
  return 0;
}
