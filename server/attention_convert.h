// AttentionSettings of the contract <-> SpanSettings of the engine.
//
// Thread safety: pure functions. Ownership: none. Preconditions: none: requests are hostile.
#ifndef EIDETIC_SERVER_ATTENTION_CONVERT_H_
#define EIDETIC_SERVER_ATTENTION_CONVERT_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "eidetic/v1/session_service.pb.h"
#include "engine/engine.h"
#include "memory/span_settings.h"

namespace eidetic {

// Changes what `from` sets, leaves the rest. Checks enums alone, since whether the numbers fit
// one another depends on the rest: memory::Validate.
absl::Status ApplyAttention(const v1::AttentionSettings& from, const std::string& field,
                            memory::SpanSettings* settings);

// The settings of a new session: the defaults, changed by `from`, valid for the engine's model.
absl::StatusOr<memory::SpanSettings> NewSpanSettings(const v1::AttentionSettings& from,
                                                     const std::string& field,
                                                     const Engine& engine);

// Every field set.
v1::AttentionSettings ToProto(const memory::SpanSettings& settings);

}  // namespace eidetic

#endif  // EIDETIC_SERVER_ATTENTION_CONVERT_H_
