// What gRPC costs: tokens a second of the same generations with and without it.
//
// Thread safety: none. Ownership: borrows the engine. Preconditions: nothing else runs on it.
#ifndef EIDETIC_TESTS_BENCH_SERVICE_GRPC_H_
#define EIDETIC_TESTS_BENCH_SERVICE_GRPC_H_

#include "tests/bench/service_engine.h"

namespace eidetic::bench {

struct GrpcOptions {
  int32_t connections = 4;      // that the streams share
  int32_t stream_threads = 2;   // as of eidetic-server
  int32_t message_tokens = 64;  // that a message may carry, the third way
};

// Rounds of three ways in turn: callbacks of the engine; a real server in this process and its
// clients in another (stream_clients.h), a message a token; the same with messages of the tokens
// that wait. Prints a `bench` line for each and the medians.
void BenchGrpc(ServiceEngine* service, const ServiceOptions& options, const GrpcOptions& grpc);

}  // namespace eidetic::bench

#endif  // EIDETIC_TESTS_BENCH_SERVICE_GRPC_H_
