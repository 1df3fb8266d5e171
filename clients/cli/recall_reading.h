// Letting a session read a haystack.
//
// Thread safety: thread-compatible. Ownership: borrows everything for the call.
// Preconditions: none.
#ifndef EIDETIC_CLIENTS_CLI_RECALL_READING_H_
#define EIDETIC_CLIENTS_CLI_RECALL_READING_H_

#include <string_view>

#include "absl/status/statusor.h"
#include "clients/cli/progress_bar.h"
#include "clients/cli/recall_haystack.h"
#include "clients/cpp/client.h"

namespace eidetic::cli {

// Of `text` under the server's first model; a long text's is told from samples.
// INVALID_ARGUMENT: the text is empty; otherwise the server's errors.
absl::StatusOr<double> BytesPerToken(std::string_view text, const client::Client& client);

// Appends what the haystack has left, piece by piece, and waits until the model has seen
// it. Errors are those of Session::Append.
absl::Status Read(Haystack* haystack, client::Session* session, ProgressBar* bar);

}  // namespace eidetic::cli

#endif  // EIDETIC_CLIENTS_CLI_RECALL_READING_H_
