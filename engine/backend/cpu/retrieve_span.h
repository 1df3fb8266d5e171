// Chooses every chunk's expansion span.
//
// Thread safety: one call at a time per pool and scratch. Ownership: borrows
//   everything. Preconditions: as RetrieveSpanParams says; checked by the caller.
#ifndef EIDETIC_ENGINE_BACKEND_CPU_RETRIEVE_SPAN_H_
#define EIDETIC_ENGINE_BACKEND_CPU_RETRIEVE_SPAN_H_

#include <vector>

#include "engine/backend/backend.h"
#include "engine/backend/cpu/thread_pool.h"
#include "memory/span_retrieval.h"

namespace eidetic::cpu {

// Working memory of one thread, kept between calls.
struct RetrievalScratch {
  std::vector<float> queries;
  memory::SpanScratch span;
};

// `scratch` holds one entry for each of the pool's threads.
void RetrieveSpan(const RetrieveSpanParams& params, std::vector<RetrievalScratch>* scratch,
                  ThreadPool* pool);

}  // namespace eidetic::cpu

#endif  // EIDETIC_ENGINE_BACKEND_CPU_RETRIEVE_SPAN_H_
