// The subcommands of `eidetic sessions` that take sessions back or carry them elsewhere.
//
// Thread safety: as command.h. Ownership: as command.h. Preconditions: none.
#ifndef EIDETIC_CLIENTS_CLI_SESSION_POINTS_H_
#define EIDETIC_CLIENTS_CLI_SESSION_POINTS_H_

#include "clients/cli/command.h"

namespace eidetic::cli {

// As a table, or as JSON.
void PrintSession(const v1::Session& session, Context& context);

// Adds rewind, snapshot, snapshots, restore, export, import and warm to `sessions`.
void AddSessionPoints(CLI::App* sessions, Command* chosen);

}  // namespace eidetic::cli

#endif  // EIDETIC_CLIENTS_CLI_SESSION_POINTS_H_
