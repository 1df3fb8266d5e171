// eidetic chat: a conversation, line by line.
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "clients/cli/answer.h"
#include "clients/cli/attention_options.h"
#include "clients/cli/command.h"
#include "clients/cli/exit_code.h"
#include "clients/cli/generation_options.h"
#include "clients/cli/input.h"

namespace eidetic::cli {
namespace {

struct ChatOptions {
  std::string session;
  std::string adapter;
  v1::AttentionSettings attention;
  GenerationOptions generation;
};

constexpr absl::Duration kMostIdleWait = absl::Seconds(5);

absl::StatusOr<client::Session> FindSession(const ChatOptions& options, Context& context) {
  if (!options.session.empty()) return context.client.OpenSession(options.session);
  return context.client.CreateSession(
      {.adapter = options.adapter, .attention = options.attention, .temporary = true});
}

// Reads the next line; false at the end. Ctrl-C here ends the program, for a blocked read
// can not be told to end; a session made for this chat goes first.
bool ReadLine(Context& context, const client::Session& session, bool is_temporary,
              std::string* line) {
  Interrupt::Scope scope(&context.interrupt, [&] {
    if (is_temporary) (void)context.client.DeleteSession(session.name());
    _exit(static_cast<int>(ExitCode::kInterrupted));
  });
  if (context.streams.in_is_terminal) context.streams.err << "> " << std::flush;
  return static_cast<bool>(std::getline(context.streams.in, *line));
}

// A cancelled answer holds the session until the server's next step.
absl::Status AwaitIdle(client::Session& session) {
  const absl::Time limit = absl::Now() + kMostIdleWait;
  while (true) {
    if (absl::Status status = session.Refresh(); !status.ok()) return status;
    if (!session.info().busy() || absl::Now() > limit) return absl::OkStatus();
    absl::SleepFor(absl::Milliseconds(50));
  }
}

// Asks `line` and prints the answer, which Ctrl-C cuts off.
absl::Status Ask(const std::string& line, const ChatOptions& options, client::Session& session,
                 Context& context) {
  if (absl::Status status = CheckUtf8(line, "message"); !status.ok()) return status;
  v1::GenerateRequest request = ToRequest(options.generation);
  v1::Message* message = request.mutable_prompt()->mutable_messages()->add_messages();
  message->set_role("user");
  message->set_content(line);
  // The handler stands before the answer begins, so that no Ctrl-C falls between.
  std::optional<client::TokenStream> stream;
  absl::Notification begun;
  Interrupt::Scope scope(&context.interrupt, [&] {
    begun.WaitForNotification();
    stream->Cancel();
  });
  stream = session.Generate(request);
  begun.Notify();
  return PrintAnswer(*stream, context, options.generation.passages);
}

absl::Status RunChat(const ChatOptions& options, Context& context) {
  auto session = FindSession(options, context);
  if (!session.ok()) return session.status();
  const bool is_temporary = options.session.empty();
  if (context.streams.in_is_terminal) {
    context.streams.err << "Session " << session->name() << ", " << session->position()
                        << " tokens. Ctrl-C cuts an answer off, Ctrl-D ends.\n";
  }
  std::string line;
  while (ReadLine(context, *session, is_temporary, &line)) {
    if (line.empty()) continue;
    absl::Status status = Ask(line, options, *session, context);
    if (absl::IsCancelled(status)) status = AwaitIdle(*session);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace

void AddChat(CLI::App* app, Command* chosen) {
  auto options = std::make_shared<ChatOptions>();
  CLI::App* command = app->add_subcommand("chat", "Talk, a line at a time");
  CLI::Option* session = command->add_option(
      "--session", options->session, "An existing session; default: a new one, deleted at the end");
  AddPolicyOption(command, &options->attention)->excludes(session);
  command->add_option("--adapter", options->adapter, "The new session's adapter, by its id")
      ->excludes(session);
  AddGenerationOptions(command, &options->generation);
  Choose(command, chosen, options, RunChat);
}

}  // namespace eidetic::cli
