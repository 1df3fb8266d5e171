// What gRPC costs: tokens a second of the same generations with and without it.
//
// Thread safety: none. Ownership: borrows the engine. Preconditions: nothing else runs on it.
#ifndef EIDETIC_TESTS_BENCH_SERVICE_GRPC_H_
#define EIDETIC_TESTS_BENCH_SERVICE_GRPC_H_

#include "tests/bench/service_engine.h"

namespace eidetic::bench {

// Rounds of three ways in turn: callbacks of the engine; a real server in this process and
// streams of the C++ client over `connections` connections, a message a token; the same with
// messages of up to `message_tokens` tokens. Prints a `bench` line for each and the medians.
void BenchGrpc(ServiceEngine* service, const ServiceOptions& options, int connections,
               int32_t message_tokens);

}  // namespace eidetic::bench

#endif  // EIDETIC_TESTS_BENCH_SERVICE_GRPC_H_
