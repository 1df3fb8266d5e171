// eidetic score: how probable a text is to the model.
#include <cmath>
#include <memory>
#include <string>

#include "absl/strings/str_format.h"
#include "clients/cli/command.h"
#include "clients/cli/input.h"
#include "clients/cli/json.h"

namespace eidetic::cli {
namespace {

struct ScoreOptions {
  std::string file;
  std::string session;
};

absl::StatusOr<v1::ScoreResponse> ScoreContent(const ScoreOptions& options,
                                               const v1::Content& content, Context& context) {
  if (options.session.empty()) return context.client.Score(content);
  const auto session = context.client.OpenSession(options.session);
  if (!session.ok()) return session.status();
  return session->Score(content);
}

absl::Status RunScore(const ScoreOptions& options, Context& context) {
  const auto text = ReadText(options.file, context.streams.in);
  if (!text.ok()) return text.status();
  v1::Content content;
  content.set_text(*text);
  const auto score = ScoreContent(options, content, context);
  if (!score.ok()) return score.status();
  if (context.json) {
    context.streams.out << ToJson(*score) << '\n';
    return absl::OkStatus();
  }
  context.streams.out << absl::StreamFormat("tokens=%d logprob=%.4f", score->scored_tokens(),
                                            score->total_logprob());
  if (score->scored_tokens() > 0) {
    const double perplexity = std::exp(-score->total_logprob() / score->scored_tokens());
    context.streams.out << absl::StreamFormat(" perplexity=%.4f", perplexity);
  }
  context.streams.out << '\n';
  return absl::OkStatus();
}

}  // namespace

void AddScore(CLI::App* app, Command* chosen) {
  auto options = std::make_shared<ScoreOptions>();
  CLI::App* command = app->add_subcommand("score", "Tell how probable a text is to the model");
  command->add_option("file", options->file, "UTF-8 text; - reads standard input")->required();
  command->add_option("--session", options->session,
                      "Score the text as this session's continuation");
  Choose(command, chosen, options, RunScore);
}

}  // namespace eidetic::cli
