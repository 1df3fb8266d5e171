// One token of each sequence: convolution and recurrence in one kernel.
//
// Thread safety: as LaunchQueue. Ownership: borrows everything.
// Preconditions: as the params say; checked by the caller. scan.xbc is conv.out and both have
//   the same sequences.
#ifndef EIDETIC_ENGINE_BACKEND_CUDA_CONV_SCAN_H_
#define EIDETIC_ENGINE_BACKEND_CUDA_CONV_SCAN_H_

#include "engine/backend/cuda/context.h"

namespace eidetic::cuda {

// Both in turn, fused for the sequences of one row.
void ConvScan(const CausalConv1dParams& conv, const SelectiveScanParams& scan, Context* context);

// The recurrence of the sequences of one row, with `conv` before it unless null.
// Only where SsdFits.
void ScanSteps(const SelectiveScanParams& scan, const CausalConv1dParams* conv, Context* context);

}  // namespace eidetic::cuda

#endif  // EIDETIC_ENGINE_BACKEND_CUDA_CONV_SCAN_H_
