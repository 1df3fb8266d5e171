// Mamba-2's recurrence over many tokens of a sequence, on the matrix units.
//
// What: the chunked form (Dao & Gu 2024, section 6).
// Thread safety: as LaunchQueue. Ownership: borrows everything.
// Preconditions: as SelectiveScanParams says; checked by the caller.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_SSD_SCAN_H_
#define EIDETIC_ENGINE_BACKEND_CUDA_SSD_SCAN_H_

#include "engine/backend/cuda/context.h"

namespace eidetic::cuda {

// bf16, head_dim 64, d_state 64 or 128, everything aligned to 16 bytes, a driver of CUDA 12 or
// newer.
bool SsdFits(const SelectiveScanParams& params, const Context& context);

// The sequences of two rows or more. Only where SsdFits.
void SsdScan(const SelectiveScanParams& params, Context* context);

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_SSD_SCAN_H_
