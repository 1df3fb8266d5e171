// Reads a session's log, or a snapshot's, back from the journal.
//
// Thread safety: none. Ownership: the caller owns what is returned. Preconditions: nothing is
//   submitted to the journal meanwhile. Errors: DATA_LOSS when tokens are missing or are none of
//   the model's.
#ifndef EIDETIC_ENGINE_DURABLE_LOG_LOADER_H_
#define EIDETIC_ENGINE_DURABLE_LOG_LOADER_H_

#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "engine/durable/session_loader.h"

namespace eidetic {

absl::Status LogDamage(const std::string& whose, std::string_view what);

// Calls `take` for each record below `prefix` from `begin` on, until it fails.
absl::Status ForEachRecord(
    const memory::Journal& journal, const std::string& prefix, const std::string& begin,
    const std::function<absl::Status(std::string_view, std::string_view)>& take);

// The first `end` tokens that stand in `segments`. `whose` is named when they do not.
absl::StatusOr<memory::TokenLog> LoadTokenLog(const LoadContext& context, const std::string& whose,
                                              std::span<const LogSegment> segments,
                                              memory::Position end);

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_DURABLE_LOG_LOADER_H_
