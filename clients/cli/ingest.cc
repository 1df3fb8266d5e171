// eidetic ingest: a file into a session.
#include <memory>
#include <optional>
#include <string>

#include "clients/cli/attention_options.h"
#include "clients/cli/command.h"
#include "clients/cli/input.h"
#include "clients/cli/json.h"
#include "clients/cli/progress_bar.h"

namespace eidetic::cli {
namespace {

struct IngestOptions {
  std::string file;
  std::string session;
  std::string adapter;
  bool progress = false;
  std::optional<int64_t> expire_seconds;
  size_t part_bytes = client::kDefaultPartBytes;
  v1::AttentionSettings attention;
};

absl::StatusOr<client::Session> FindOrCreate(const IngestOptions& options, Context& context) {
  if (!options.session.empty()) {
    auto session = context.client.OpenSession(options.session);
    if (!absl::IsNotFound(session.status())) return session;
  }
  client::SessionOptions create{
      .id = options.session, .adapter = options.adapter, .attention = options.attention};
  if (options.expire_seconds) create.expire_after = absl::Seconds(*options.expire_seconds);
  return context.client.CreateSession(create);
}

absl::Status RunIngest(const IngestOptions& options, Context& context) {
  const auto text = ReadText(options.file, context.streams.in);
  if (!text.ok()) return text.status();
  auto session = FindOrCreate(options, context);
  if (!session.ok()) return session.status();
  {
    ProgressBar bar(&context.streams.err, options.progress || context.streams.err_is_terminal);
    client::AppendOptions append{.part_bytes = options.part_bytes};
    append.on_progress = [&](const client::AppendProgress& progress) { bar.Update(progress); };
    const auto progress = session->Append(*text, append);
    if (!progress.ok()) return progress.status();
  }
  if (absl::Status status = session->Refresh(); !status.ok()) return status;
  if (context.json) {
    context.streams.out << ToJson(session->info()) << '\n';
  } else {
    context.streams.out << session->name() << " tokens=" << session->position() << '\n';
  }
  return absl::OkStatus();
}

}  // namespace

void AddIngest(CLI::App* app, Command* chosen) {
  auto options = std::make_shared<IngestOptions>();
  CLI::App* command = app->add_subcommand("ingest", "Pour a text file into a session");
  command->add_option("file", options->file, "UTF-8 text; - reads standard input")->required();
  command->add_option("--session", options->session,
                      "The session, made if there is none; default: a new one");
  command->add_option("--expire-after", options->expire_seconds,
                      "Seconds without use, then a session made here is deleted; 0: never; "
                      "default: the server's");
  command->add_flag("--progress", options->progress,
                    "Show progress even when standard error is no terminal");
  command->add_option("--part-bytes", options->part_bytes, "Bytes of one request at most")
      ->capture_default_str();
  AddPolicyOption(command, &options->attention);
  command->add_option("--adapter", options->adapter,
                      "The adapter, by its id, of a session made here");
  Choose(command, chosen, options, RunIngest);
}

}  // namespace eidetic::cli
