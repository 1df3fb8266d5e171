#include "clients/cli/session_points.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "clients/cli/json.h"
#include "clients/cli/progress_bar.h"
#include "clients/cli/text_table.h"

namespace eidetic::cli {
namespace {

struct PointsOptions {
  std::string session;
  std::string snapshot;
  std::string file;
  std::string id;
  int64_t position = 0;
  std::optional<int64_t> expected_position;
  bool remove = false;
};

void PrintSnapshots(const v1::ListSnapshotsResponse& list, Context& context) {
  if (context.json) {
    context.streams.out << ToJson(list) << '\n';
    return;
  }
  TextTable table({"name", "tokens", "taken"});
  for (const v1::Snapshot& snapshot : list.snapshots()) {
    const absl::Time taken = absl::FromUnixSeconds(snapshot.create_time().seconds());
    table.AddRow({snapshot.name(), WithThousands(snapshot.position()),
                  absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", taken, absl::UTCTimeZone())});
  }
  table.Print(context.streams.out);
}

absl::Status Rewind(const PointsOptions& options, Context& context) {
  auto session = context.client.OpenSession(options.session);
  if (!session.ok()) return session.status();
  const absl::Status status = session->Rewind(options.position, options.expected_position);
  if (status.ok()) PrintSession(session->info(), context);
  return status;
}

absl::Status Snapshot(const PointsOptions& options, Context& context) {
  const auto session = context.client.OpenSession(options.session);
  if (!session.ok()) return session.status();
  if (options.remove) return session->DeleteSnapshot(options.snapshot);
  const auto snapshot = session->TakeSnapshot(options.snapshot);
  if (!snapshot.ok()) return snapshot.status();
  v1::ListSnapshotsResponse list;
  *list.add_snapshots() = *snapshot;
  PrintSnapshots(list, context);
  return absl::OkStatus();
}

absl::Status Snapshots(const PointsOptions& options, Context& context) {
  const auto session = context.client.OpenSession(options.session);
  if (!session.ok()) return session.status();
  const auto snapshots = session->ListSnapshots();
  if (!snapshots.ok()) return snapshots.status();
  v1::ListSnapshotsResponse list;
  for (const v1::Snapshot& snapshot : *snapshots) *list.add_snapshots() = snapshot;
  PrintSnapshots(list, context);
  return absl::OkStatus();
}

absl::Status Restore(const PointsOptions& options, Context& context) {
  auto session = context.client.OpenSession(options.session);
  if (!session.ok()) return session.status();
  const absl::Status status = session->Restore(options.snapshot, options.expected_position);
  if (status.ok()) PrintSession(session->info(), context);
  return status;
}

// Beside the file first: a broken export leaves nothing that looks like one.
absl::Status Export(const PointsOptions& options, Context& context) {
  const auto session = context.client.OpenSession(options.session);
  if (!session.ok()) return session.status();
  if (options.file == "-") return session->Export(context.streams.out, options.snapshot);
  const std::string part = options.file + ".part";
  std::ofstream out(part, std::ios::binary | std::ios::trunc);
  absl::Status status = session->Export(out, options.snapshot);
  out.close();
  if (status.ok() && (!out || std::rename(part.c_str(), options.file.c_str()) != 0)) {
    status = absl::UnknownError(absl::StrCat(options.file, ": ", std::strerror(errno)));
  }
  if (!status.ok()) std::remove(part.c_str());
  return status;
}

absl::Status Import(const PointsOptions& options, Context& context) {
  std::ifstream file;
  if (options.file != "-") {
    file.open(options.file, std::ios::binary);
    if (!file) return absl::NotFoundError(absl::StrCat("no file ", options.file));
  }
  const auto session =
      context.client.ImportSession(options.file == "-" ? context.streams.in : file, options.id);
  if (!session.ok()) return session.status();
  PrintSession(session->info(), context);
  return absl::OkStatus();
}

absl::Status Warm(const PointsOptions& options, Context& context) {
  auto session = context.client.OpenSession(options.session);
  if (!session.ok()) return session.status();
  absl::Status status = session->Warm([&](const v1::WarmMetadata& progress) {
    if (!context.streams.err_is_terminal) return;
    context.streams.err << "\r" << WithThousands(progress.computed_position()) << " of "
                        << WithThousands(progress.position()) << " tokens" << std::flush;
  });
  if (context.streams.err_is_terminal) context.streams.err << '\n';
  if (status.ok()) status = session->Refresh();
  if (status.ok()) PrintSession(session->info(), context);
  return status;
}

}  // namespace

void AddSessionPoints(CLI::App* sessions, Command* chosen) {
  auto options = std::make_shared<PointsOptions>();
  const auto add = [&](const char* name, const char* help, auto run) {
    CLI::App* command = sessions->add_subcommand(name, help);
    command->add_option("session", options->session, "Its id or whole name")->required();
    Choose(command, chosen, options, +run);
    return command;
  };
  const auto expect = [&](CLI::App* command) {
    command->add_option("--expect", options->expected_position,
                        "Refuse unless the session stands at this position");
  };
  CLI::App* rewind = add("rewind", "Take a session's end back", Rewind);
  rewind->add_option("position", options->position, "Tokens that stay")->required();
  expect(rewind);
  CLI::App* snapshot = add("snapshot", "Keep a session's present point", Snapshot);
  snapshot->add_option("id", options->snapshot, "The snapshot's id; default: drawn by the server");
  snapshot->add_flag("--delete", options->remove, "Delete that snapshot instead");
  add("snapshots", "List a session's snapshots", Snapshots);
  CLI::App* restore = add("restore", "Take a session back to a snapshot", Restore);
  restore->add_option("snapshot", options->snapshot, "The snapshot's id")->required();
  expect(restore);
  CLI::App* exported = add("export", "Write a session to a file for another server", Export);
  exported->add_option("file", options->file, "The file; - is standard output")->required();
  exported->add_option("--snapshot", options->snapshot, "This point of it, by id");
  add("warm", "Compute what a session has pending, and wait for it", Warm);

  CLI::App* imported = sessions->add_subcommand("import", "Make a session from an exported file");
  imported->add_option("file", options->file, "The file; - is standard input")->required();
  imported->add_option("--id", options->id, "The new one's id; default: drawn by the server");
  Choose(imported, chosen, options, Import);
}

}  // namespace eidetic::cli
