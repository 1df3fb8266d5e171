// eidetic sessions: create, list, tell, delete, fork.
#include <memory>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "clients/cli/attention_options.h"
#include "clients/cli/command.h"
#include "clients/cli/json.h"
#include "clients/cli/progress_bar.h"
#include "clients/cli/session_points.h"
#include "clients/cli/text_table.h"

namespace eidetic::cli {
namespace {

struct SessionsOptions {
  std::string session;
  std::string new_id;
  std::optional<std::string> adapter;
  bool reingest = false;
  v1::AttentionSettings attention;
};

const char* TierName(v1::SessionTier tier) {
  switch (tier) {
    case v1::SESSION_TIER_DEVICE:
      return "device";
    case v1::SESSION_TIER_HOST:
      return "host";
    case v1::SESSION_TIER_DISK:
      return "disk";
    default:
      return "?";
  }
}

TextTable SessionTable() {
  return TextTable({"name", "model", "adapter", "policy", "tier", "tokens", "computed", "busy",
                    "bits", "bytes", "on disk", "last use"});
}

void AddSessionRow(const v1::Session& session, TextTable* table) {
  const absl::Time last_use = absl::FromUnixSeconds(session.last_use_time().seconds());
  const std::string adapter = session.adapter().substr(session.adapter().rfind('/') + 1);
  table->AddRow({session.name(), session.model(), adapter.empty() ? "-" : adapter,
                 PolicyName(session.attention().policy()),
                 session.damage().empty() ? TierName(session.tier()) : "DAMAGED",
                 WithThousands(session.position()), WithThousands(session.computed_position()),
                 session.busy() ? "yes" : "no", session.bit_identical() ? "same" : "differ",
                 WithThousands(session.memory_bytes()), WithThousands(session.disk_bytes()),
                 absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", last_use, absl::UTCTimeZone())});
}

void PrintDamage(const v1::Session& session, Context& context) {
  if (session.damage().empty()) return;
  context.streams.out << session.name() << " is DAMAGED, delete it: " << session.damage() << '\n';
}

}  // namespace

void PrintSession(const v1::Session& session, Context& context) {
  if (context.json) {
    context.streams.out << ToJson(session) << '\n';
    return;
  }
  TextTable table = SessionTable();
  AddSessionRow(session, &table);
  table.Print(context.streams.out);
  PrintDamage(session, context);
}

namespace {

absl::Status List(const SessionsOptions&, Context& context) {
  const auto sessions = context.client.ListSessions();
  if (!sessions.ok()) return sessions.status();
  v1::ListSessionsResponse list;
  TextTable table = SessionTable();
  for (const v1::Session& session : *sessions) {
    AddSessionRow(session, &table);
    *list.add_sessions() = session;
  }
  if (context.json) {
    context.streams.out << ToJson(list) << '\n';
  } else {
    table.Print(context.streams.out);
    for (const v1::Session& session : *sessions) PrintDamage(session, context);
  }
  return absl::OkStatus();
}

absl::Status Create(const SessionsOptions& options, Context& context) {
  const auto session = context.client.CreateSession({.id = options.new_id,
                                                     .adapter = options.adapter.value_or(""),
                                                     .attention = options.attention});
  if (!session.ok()) return session.status();
  PrintSession(session->info(), context);
  return absl::OkStatus();
}

absl::Status Get(const SessionsOptions& options, Context& context) {
  const auto session = context.client.OpenSession(options.session);
  if (!session.ok()) return session.status();
  PrintSession(session->info(), context);
  return absl::OkStatus();
}

absl::Status Remove(const SessionsOptions& options, Context& context) {
  const absl::Status status = context.client.DeleteSession(options.session);
  if (status.ok() && context.json) context.streams.out << "{}\n";
  return status;
}

absl::Status Fork(const SessionsOptions& options, Context& context) {
  const auto parent = context.client.OpenSession(options.session);
  if (!parent.ok()) return parent.status();
  const auto child = parent->Fork({.id = options.new_id,
                                   .attention = options.attention,
                                   .adapter = options.adapter,
                                   .reingest = options.reingest});
  if (!child.ok()) return child.status();
  PrintSession(child->info(), context);
  return absl::OkStatus();
}

CLI::App* AddOne(CLI::App* sessions, const char* name, const char* help,
                 const std::shared_ptr<SessionsOptions>& options) {
  CLI::App* command = sessions->add_subcommand(name, help);
  command->add_option("session", options->session, "Its id or whole name")->required();
  return command;
}

}  // namespace

void AddSessions(CLI::App* app, Command* chosen) {
  auto options = std::make_shared<SessionsOptions>();
  CLI::App* sessions = app->add_subcommand("sessions", "List, tell, change and carry sessions");
  sessions->require_subcommand(1);
  Choose(sessions->add_subcommand("ls", "List the tenant's sessions"), chosen, options, List);
  Choose(AddOne(sessions, "get", "Tell of one session", options), chosen, options, Get);
  Choose(AddOne(sessions, "rm", "Delete a session", options), chosen, options, Remove);
  CLI::App* create = sessions->add_subcommand("create", "Make an empty session");
  create->add_option("--id", options->new_id, "Its id; default: drawn by the server");
  create->add_option("--adapter", options->adapter, "Its adapter, by its id");
  AddPolicyOption(create, &options->attention);
  Choose(create, chosen, options, Create);
  CLI::App* fork = AddOne(sessions, "fork", "Make a session with the same past", options);
  fork->add_option("--id", options->new_id, "The new one's id; default: drawn by the server");
  AddPolicyOption(fork, &options->attention);
  CLI::Option* adapter = fork->add_option(
      "--adapter", options->adapter,
      "The new one's adapter, by its id; '' is the base model; default: the session's");
  fork->add_flag("--reingest", options->reingest,
                 "Compute the past again with that adapter, which did not compute it")
      ->needs(adapter);
  Choose(fork, chosen, options, Fork);
  AddSessionPoints(sessions, chosen);
}

}  // namespace eidetic::cli
