// Token embeddings, read out of the packed table.
//
// Thread safety: one call at a time per pool. Ownership: borrows everything.
// Preconditions: as EmbedParams says; checked by the caller.
#ifndef EIDETIC_ENGINE_BACKEND_CPU_EMBED_H_
#define EIDETIC_ENGINE_BACKEND_CPU_EMBED_H_

#include "engine/backend/backend.h"
#include "engine/backend/cpu/thread_pool.h"

namespace eidetic::cpu {

void Embed(const EmbedParams& params, ThreadPool* pool);

}  // namespace eidetic::cpu

#endif  // EIDETIC_ENGINE_BACKEND_CPU_EMBED_H_
