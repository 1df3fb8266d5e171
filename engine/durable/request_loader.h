// Makes one request again from the journal: what was told, and what is needed to go on.
//
// Thread safety: none. Ownership: the caller owns the request. Preconditions: none.
// Errors: DATA_LOSS when the records do not fit the session.
#ifndef EIDETIC_ENGINE_DURABLE_REQUEST_LOADER_H_
#define EIDETIC_ENGINE_DURABLE_REQUEST_LOADER_H_

#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "engine/durable/session_loader.h"

namespace eidetic {

// `session`: its owner with the whole log; null for a request without one.
absl::StatusOr<std::shared_ptr<Request>> LoadRequest(const LoadContext& context,
                                                     std::string_view key, std::string_view value,
                                                     const Session* session);

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_DURABLE_REQUEST_LOADER_H_
