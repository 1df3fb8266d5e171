// The whole of `eidetic` but the process around it, so that tests can run it.
//
// Thread safety: one run at a time per Interrupt. Ownership: borrows everything.
// Preconditions: none; a wrong command line is kUsage.
#ifndef EIDETIC_CLIENTS_CLI_RUN_H_
#define EIDETIC_CLIENTS_CLI_RUN_H_

#include <string>
#include <vector>

#include "clients/cli/command.h"
#include "clients/cli/exit_code.h"

namespace eidetic::cli {

// `arguments` without the program's name.
ExitCode Run(const std::vector<std::string>& arguments, Streams& streams, Interrupt& interrupt);

}  // namespace eidetic::cli

#endif  // EIDETIC_CLIENTS_CLI_RUN_H_
