#include "clients/cli/run.h"

#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "clients/cli/connect_options.h"

namespace eidetic::cli {
namespace {

struct GlobalOptions {
  ConnectOptions connect;
  bool json = false;
};

void AddGlobalOptions(CLI::App* app, GlobalOptions* options) {
  AddConnectOptions(app, &options->connect);
  app->add_flag("--json", options->json,
                "Print JSON on standard output; streams print one object a line");
  app->require_subcommand(1);
  // Global options may stand after the command too.
  app->fallthrough();
  app->footer(kExitCodesHelp);
}

void PrintError(const absl::Status& status, std::ostream& err) {
  err << "eidetic: " << absl::StatusCodeToString(status.code()) << ": "
      << std::string(status.message()) << std::endl;
  if (const auto delay = client::RetryDelay(status)) {
    err << "eidetic: try again in " << absl::FormatDuration(*delay) << std::endl;
  }
}

ExitCode RunCommand(const Command& command, const GlobalOptions& options, Streams& streams,
                    Interrupt& interrupt) {
  auto client = Connect(options.connect);
  if (!client.ok()) {
    PrintError(client.status(), streams.err);
    return ExitCodeFor(client.status());
  }
  Context context{*std::move(client), options.json, streams, interrupt};
  absl::Status status;
  {
    Interrupt::Scope scope(&interrupt, [&] { context.client.Cancel(); });
    status = command(context);
  }
  streams.out.flush();
  if (!status.ok() && interrupt.triggered()) {
    streams.err << "eidetic: interrupted" << std::endl;
    return ExitCode::kInterrupted;
  }
  if (!status.ok()) PrintError(status, streams.err);
  return ExitCodeFor(status);
}

}  // namespace

ExitCode Run(const std::vector<std::string>& arguments, Streams& streams, Interrupt& interrupt) {
  CLI::App app("eidetic: conversations whose memory does not end", "eidetic");
  GlobalOptions options;
  if (const char* key = std::getenv("EIDETIC_API_KEY")) options.connect.api_key = key;
  Command chosen;
  AddGlobalOptions(&app, &options);
  AddChat(&app, &chosen);
  AddGenerate(&app, &chosen);
  AddIngest(&app, &chosen);
  AddScore(&app, &chosen);
  AddRecall(&app, &chosen);
  AddSessions(&app, &chosen);
  AddMemory(&app, &chosen);
  AddModels(&app, &chosen);
  AddAdapters(&app, &chosen);
  AddKeys(&app, &chosen);
  try {
    // CLI11 takes its arguments from the back.
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::ParseError& error) {
    const bool is_help = app.exit(error, streams.out, streams.err) == 0;
    return is_help ? ExitCode::kOk : ExitCode::kUsage;
  }
  return RunCommand(chosen, options, streams, interrupt);
}

}  // namespace eidetic::cli
