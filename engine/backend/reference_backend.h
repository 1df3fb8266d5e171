// The oracle: every operation as its definition says, in plain double loops.
//
// What: a Backend on float32 activations whose arithmetic is scalar and double,
//   in one thread, with nothing packed, tiled, cached or fused. Retrieval knows
//   the exact rule alone (which two-stage retrieval equals when it is proven).
// Thread safety: as Backend says. Ownership: owns its arena. Preconditions: none.
#ifndef EIDETIC_ENGINE_BACKEND_REFERENCE_BACKEND_H_
#define EIDETIC_ENGINE_BACKEND_REFERENCE_BACKEND_H_

#include <memory>

#include "engine/backend/backend.h"

namespace eidetic {

std::unique_ptr<Backend> CreateReferenceBackend();

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_BACKEND_REFERENCE_BACKEND_H_
