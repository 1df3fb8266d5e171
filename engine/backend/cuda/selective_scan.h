// Mamba-2's recurrence, on the device.
//
// Thread safety: as LaunchQueue. Ownership: borrows everything.
// Preconditions: as SelectiveScanParams says; checked by the caller.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_SELECTIVE_SCAN_H_
#define EIDETIC_ENGINE_BACKEND_CUDA_SELECTIVE_SCAN_H_

#include "engine/backend/cuda/context.h"

namespace eidetic::cuda {

// A sequence of one row takes ScanSteps, a longer one SsdScan, whatever else is in the batch;
// shapes and types that these are not made for go token by token.
void SelectiveScan(const SelectiveScanParams& params, Context* context);

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_SELECTIVE_SCAN_H_
