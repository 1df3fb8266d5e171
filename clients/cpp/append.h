// Pours a long text into a session: cut into parts, sent over one stream, taken up
// again where it broke.
//
// Thread safety: AppendText runs and calls back on the caller's thread.
// Ownership: borrows everything for the call. Preconditions: none beyond the fields'.
#ifndef EIDETIC_CLIENTS_CPP_APPEND_H_
#define EIDETIC_CLIENTS_CPP_APPEND_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "clients/cpp/text_parts.h"

namespace eidetic::client {

class Connection;

// How far an append has come. Positions are in tokens of the session.
struct AppendProgress {
  int64_t bytes_total = 0;
  int64_t bytes_acknowledged = 0;
  int64_t begin_position = 0;     // where the session stood before
  int64_t position = 0;           // its log ends here
  int64_t computed_position = 0;  // the model has seen everything before this
};

struct AppendOptions {
  size_t part_bytes = kDefaultPartBytes;  // kMinPartBytes to kMaxPartBytes
  // Lets the spelling of a special token become that token.
  bool parse_special = false;
  // Refuse (FAILED_PRECONDITION) unless the session stands here; default: wherever it
  // stands when the append begins.
  std::optional<int64_t> expected_position = {};
  // Called after each answer of the server, on the caller's thread.
  std::function<void(const AppendProgress&)> on_progress = {};
  // Consecutive attempts, without a part acknowledged between them, to take a broken
  // stream up again.
  int max_retries = 5;
  // Before the first such attempt; doubles with each, up to kMaxAppendBackoff.
  absl::Duration first_backoff = absl::Milliseconds(100);
};

inline constexpr absl::Duration kMaxAppendBackoff = absl::Seconds(5);

// Appends `text` to the session `name` exactly once, part by part, and waits until
// the model has seen it. An empty text sends nothing. After a break (UNAVAILABLE) it
// finds, by the session's position, which parts arrived, and sends the rest.
// INVALID_ARGUMENT as SplitText; otherwise the server's error, whose message is
// followed by how far the append came.
absl::StatusOr<AppendProgress> AppendText(Connection* connection, const std::string& name,
                                          std::string_view text, const AppendOptions& options);

}  // namespace eidetic::client

#endif  // EIDETIC_CLIENTS_CPP_APPEND_H_
