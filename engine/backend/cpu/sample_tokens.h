// Draws the next tokens, and scores given ones.
//
// Thread safety: one call at a time per pool and scratch. Ownership: borrows
//   everything. Preconditions: as SampleTokensParams and ScoreTokensParams say;
//   checked by the caller.
#ifndef EIDETIC_ENGINE_BACKEND_CPU_SAMPLE_TOKENS_H_
#define EIDETIC_ENGINE_BACKEND_CPU_SAMPLE_TOKENS_H_

#include <vector>

#include "engine/backend/backend.h"
#include "engine/backend/cpu/float_buffer.h"
#include "engine/backend/cpu/thread_pool.h"
#include "engine/backend/cpu/token_order.h"

namespace eidetic::cpu {

// Working memory of one thread, kept between calls.
struct SamplingScratch {
  FloatBuffer clean, adjusted, weights;  // [vocab]
  TokenOrder order;
};

// `scratch` holds one entry for each of the pool's threads.
void SampleTokens(const SampleTokensParams& params, std::vector<SamplingScratch>* scratch,
                  ThreadPool* pool);
void ScoreTokens(const ScoreTokensParams& params, std::vector<SamplingScratch>* scratch,
                 ThreadPool* pool);

}  // namespace eidetic::cpu

#endif  // EIDETIC_ENGINE_BACKEND_CPU_SAMPLE_TOKENS_H_
