// Reading an answer from its stream to its end.
//
// Thread safety: thread-compatible. Ownership: borrows stream and output.
// Preconditions: the stream was not read yet.
#ifndef EIDETIC_CLIENTS_CLI_ANSWER_H_
#define EIDETIC_CLIENTS_CLI_ANSWER_H_

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "clients/cli/command.h"
#include "clients/cpp/token_stream.h"
#include "eidetic/v1/generation_service.pb.h"

namespace eidetic::cli {

struct Answer {
  std::string text;
  v1::GenerateStart start;
  v1::GenerateFinish finish;
};

inline constexpr int kMaxResumes = 3;

// Reads to the end, taking a broken stream up again where that is possible, at most
// kMaxResumes times. `on_event` (may be empty) sees each event once.
absl::StatusOr<Answer> ReadAnswer(
    client::TokenStream& stream,
    const std::function<void(const client::TokenStream::Event&)>& on_event);

// Reads to the end and prints as it comes: the text, or with context.json each event as
// a line. With `passages`, tells on `err` what the answer drew on.
absl::Status PrintAnswer(client::TokenStream& stream, Context& context, bool passages);

}  // namespace eidetic::cli

#endif  // EIDETIC_CLIENTS_CLI_ANSWER_H_
