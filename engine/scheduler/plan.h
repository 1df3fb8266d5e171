// Decides which sequences take part in the next step: a pure function.
//
// Thread safety: pure. Ownership: none. Preconditions: none.
//
// Policy: sequences that decode (chunks of one token or none) come first, so that
// streams never wait for a long prompt; but those of a tenant that was served more
// leave places to prompts of one that was served less. Then the first prefill chunk is
// taken in any case, so that none starves, and further ones in their order while they fit
// the token budget, of a tenant until it has its share by weight of those present:
// whoever asks for more would make steps long for the others. A chunk is never cut: its borders are
// the session log's. So a step has fewer than max_batch_tokens + C rows.
//
// Order: the next is always of the tenant that was served least, what the step has of
// it already counted; of a tenant's, the one that was served longest ago.
#ifndef EIDETIC_ENGINE_SCHEDULER_PLAN_H_
#define EIDETIC_ENGINE_SCHEDULER_PLAN_H_

#include <cstdint>
#include <span>
#include <vector>

namespace eidetic {

struct PlanLimits {
  int32_t max_batch_sequences = 64;
  int32_t max_batch_tokens = 1024;  // rows of one step
};

// What Plan knows of one sequence that wants to run.
struct PlanCandidate {
  int64_t chunk_tokens = 0;  // rows that its next chunk takes; 0: output from the saved state
  bool decoding = false;     // its stream waits for a token
  bool paused = false;       // its reader is behind: leave it out
  int64_t last_step = -1;    // that it took part in; before its first, the one it was admitted at
  int64_t arrival = 0;       // rising with admission
  int32_t tenant = 0;        // index into `tenants`
};

struct PlanTenant {
  double weight = 1;
  double served = 0;  // tokens computed over weight
};

// Indexes into `candidates`, in the order they stand in the batch.
// Worked example, budget 600: decode(1), prefill(512), decode(1), prefill(100), prefill(80),
// none served before, gives {0, 2, 1, 4}: the second prefill no longer fits, the third does.
std::vector<int32_t> Plan(std::span<const PlanCandidate> candidates,
                          std::span<const PlanTenant> tenants, const PlanLimits& limits);

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_SCHEDULER_PLAN_H_
