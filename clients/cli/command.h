// What every command of `eidetic` gets, and how it is registered: one small file per
// command, each with one Add function.
//
// Thread safety: thread-compatible.
// Ownership: a Context borrows its streams and its interrupt for one run.
// Preconditions: none.
#ifndef EIDETIC_CLIENTS_CLI_COMMAND_H_
#define EIDETIC_CLIENTS_CLI_COMMAND_H_

#include <CLI/CLI.hpp>
#include <functional>
#include <istream>
#include <ostream>
#include <string>

#include "absl/status/status.h"
#include "clients/cli/interrupt.h"
#include "clients/cpp/client.h"

namespace eidetic::cli {

// Data goes to `out`, everything else that is said to `err`.
struct Streams {
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
  bool in_is_terminal = false;
  bool err_is_terminal = false;
};

struct Context {
  client::Client client;
  bool json = false;  // only JSON goes to `streams.out`
  Streams& streams;
  Interrupt& interrupt;
};

using Command = std::function<absl::Status(Context&)>;

// Each adds a subcommand to `app` that, when named on the command line, stores itself
// in `*chosen`, which outlives `app`'s parsing.
void AddChat(CLI::App* app, Command* chosen);
void AddGenerate(CLI::App* app, Command* chosen);
void AddIngest(CLI::App* app, Command* chosen);
void AddScore(CLI::App* app, Command* chosen);
void AddRecall(CLI::App* app, Command* chosen);
void AddSessions(CLI::App* app, Command* chosen);
void AddMemory(CLI::App* app, Command* chosen);
void AddModels(CLI::App* app, Command* chosen);
void AddAdapters(CLI::App* app, Command* chosen);
void AddKeys(CLI::App* app, Command* chosen);

// The usual body of those functions: makes `command`'s subcommand run `run` with the
// options that its flags filled in.
template <typename Options>
void Choose(CLI::App* command, Command* chosen, std::shared_ptr<Options> options,
            absl::Status (*run)(const Options&, Context&)) {
  command->callback([=] { *chosen = [=](Context& context) { return run(*options, context); }; });
}

}  // namespace eidetic::cli

#endif  // EIDETIC_CLIENTS_CLI_COMMAND_H_
