// How much long prompts of some sessions slow the tokens of others.
//
// Thread safety: none. Ownership: borrows the engine. Preconditions: nothing else runs on it.
#ifndef EIDETIC_TESTS_BENCH_SERVICE_INTERFERENCE_H_
#define EIDETIC_TESTS_BENCH_SERVICE_INTERFERENCE_H_

#include "tests/bench/service_engine.h"

namespace eidetic::bench {

// Rounds of decoding streams alone and beside a PrefillLoad of `tokens_per_second` (0: as fast
// as it goes). Prints a `bench` line for each and the medians. Times between tokens count while
// all streams decode.
void BenchInterference(ServiceEngine* service, const ServiceOptions& options,
                       double tokens_per_second);

}  // namespace eidetic::bench

#endif  // EIDETIC_TESTS_BENCH_SERVICE_INTERFERENCE_H_
