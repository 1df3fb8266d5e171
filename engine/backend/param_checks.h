// What every backend may rely on once an operation has been entered.
//
// What: checks shapes, ranges and pointers of an operation's params. A failure is
//   a bug of the caller, so it is fatal.
// Thread safety: pure functions. Ownership: borrows everything. Preconditions: none.
#ifndef EIDETIC_ENGINE_BACKEND_PARAM_CHECKS_H_
#define EIDETIC_ENGINE_BACKEND_PARAM_CHECKS_H_

#include "engine/backend/backend.h"

namespace eidetic {

// The widest convolution that a model description may ask for (ModelLimits::max_conv_width).
inline constexpr int64_t kMaxConvWidth = 64;

void CheckParams(const EmbedParams& params);
void CheckParams(const RmsNormParams& params);
void CheckParams(const MatMulParams& params);
void CheckParams(const LowRankParams& params);
void CheckParams(const CausalConv1dParams& params);
void CheckParams(const SelectiveScanParams& params);
void CheckParams(const AppendKvParams& params);
void CheckParams(const RetrieveSpanParams& params);
void CheckParams(const SpanAttentionParams& params);
void CheckParams(const SwiGluParams& params);
void CheckParams(const CopyRowsParams& params);
void CheckParams(const SampleTokensParams& params);
void CheckParams(const ScoreTokensParams& params);

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_BACKEND_PARAM_CHECKS_H_
