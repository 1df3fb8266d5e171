// The exit codes of `eidetic`, for scripts to tell refusals apart.
//
// Thread safety: pure. Ownership: values. Preconditions: none.
#ifndef EIDETIC_CLIENTS_CLI_EXIT_CODE_H_
#define EIDETIC_CLIENTS_CLI_EXIT_CODE_H_

#include "absl/status/status.h"

namespace eidetic::cli {

enum class ExitCode : int {
  kOk = 0,
  kError = 1,         // the server failed or can not be reached; anything without its own code
  kUsage = 2,         // the command line makes no sense
  kNotFound = 3,      // no such session, model or file
  kRefused = 4,       // the input or the session's state was refused; trying again will not help
  kExhausted = 5,     // out of quota or memory; trying later may help
  kInterrupted = 130  // Ctrl-C: 128 + SIGINT, as shells have it
};

// The list above, for --help.
inline constexpr char kExitCodesHelp[] =
    "Exit codes: 0 done, 1 server or other error, 2 wrong usage, 3 not found,\n"
    "4 input refused, 5 out of quota or memory, 130 interrupted.";

ExitCode ExitCodeFor(const absl::Status& status);

}  // namespace eidetic::cli

#endif  // EIDETIC_CLIENTS_CLI_EXIT_CODE_H_
