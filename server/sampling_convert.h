// SamplingParameters of the contract -> SamplingParams of the engine.
//
// Thread safety: pure function. Ownership: none. Preconditions: none: requests are hostile.
#ifndef EIDETIC_SERVER_SAMPLING_CONVERT_H_
#define EIDETIC_SERVER_SAMPLING_CONVERT_H_

#include <string>

#include "absl/status/statusor.h"
#include "eidetic/v1/generation_service.pb.h"
#include "engine/engine.h"

namespace eidetic {

// Everything but the seed. INVALID_ARGUMENT naming a field under `field`.
absl::StatusOr<SamplingParams> ToSamplingParams(const v1::SamplingParameters& from,
                                                const std::string& field, const Engine& engine);

}  // namespace eidetic

#endif  // EIDETIC_SERVER_SAMPLING_CONVERT_H_
