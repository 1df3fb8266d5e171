// eidetic generate: one continuation of a text.
#include <memory>
#include <string>

#include "clients/cli/answer.h"
#include "clients/cli/attention_options.h"
#include "clients/cli/command.h"
#include "clients/cli/generation_options.h"
#include "clients/cli/input.h"

namespace eidetic::cli {
namespace {

struct GenerateOptions {
  std::string prompt;
  std::string session;
  std::string adapter;
  bool parse_special = false;
  v1::AttentionSettings attention;
  GenerationOptions generation;
};

absl::Status RunGenerate(const GenerateOptions& options, Context& context) {
  v1::GenerateRequest request = ToRequest(options.generation);
  std::string prompt = options.prompt;
  if (prompt == "-") {
    auto text = ReadText("-", context.streams.in);
    if (!text.ok()) return text.status();
    prompt = *std::move(text);
  }
  if (absl::Status status = CheckUtf8(prompt, "prompt"); !status.ok()) return status;
  if (!prompt.empty()) {
    request.mutable_prompt()->set_text(prompt);
    request.mutable_prompt()->set_parse_special(options.parse_special);
  }
  if (options.session.empty()) {
    *request.mutable_attention() = options.attention;
    request.set_adapter(options.adapter);
    client::TokenStream stream = context.client.Generate(request);
    return PrintAnswer(stream, context, options.generation.passages);
  }
  auto session = context.client.OpenSession(options.session);
  if (!session.ok()) return session.status();
  client::TokenStream stream = session->Generate(request);
  return PrintAnswer(stream, context, options.generation.passages);
}

}  // namespace

void AddGenerate(CLI::App* app, Command* chosen) {
  auto options = std::make_shared<GenerateOptions>();
  CLI::App* command = app->add_subcommand("generate", "Continue a text");
  command->add_option("prompt", options->prompt,
                      "The text; - reads standard input; may be left out with --session");
  CLI::Option* session =
      command->add_option("--session", options->session, "Append to this session and continue it");
  command->add_flag("--parse-special", options->parse_special,
                    "Let spellings of special tokens in the text become them");
  AddPolicyOption(command, &options->attention)->excludes(session);
  command->add_option("--adapter", options->adapter, "Compute it with this adapter, by its id")
      ->excludes(session);
  AddGenerationOptions(command, &options->generation);
  Choose(command, chosen, options, RunGenerate);
}

}  // namespace eidetic::cli
