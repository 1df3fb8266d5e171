// eidetic recall: hides facts in a text, lets a session read it, asks for them.
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "clients/cli/attention_options.h"
#include "clients/cli/command.h"
#include "clients/cli/input.h"
#include "clients/cli/progress_bar.h"
#include "clients/cli/recall_haystack.h"
#include "clients/cli/recall_quiz.h"
#include "clients/cli/recall_reading.h"
#include "clients/cli/recall_report.h"

namespace eidetic::cli {
namespace {

constexpr int64_t kMaxTokens = int64_t{1} << 32;
// Up to here retrieval while reading costs little; what is found afterwards does not
// depend on it.
constexpr int64_t kMaxTokensReadWithRetrieval = 256 << 10;

struct RecallOptions {
  std::string file;
  HaystackPlan plan;
  size_t bytes = std::numeric_limits<size_t>::max();
  int64_t tokens = 0;  // 0: the text once
  std::vector<v1::RetrievalRule> rules;
  bool no_window = false;
  std::string keep;
  bool progress = false;

  // Ten facts and two policies in a table, or a measurement in lines.
  bool IsShort() const {
    return tokens == 0 && plan.chat_facts == 0 && rules.empty() && !no_window;
  }
};

std::vector<QuizRule> RulesToAsk(const RecallOptions& options) {
  const QuizRule window{.name = "window", .policy = v1::ATTENTION_POLICY_WINDOW};
  if (options.IsShort())
    return {{.name = "se_attn", .policy = v1::ATTENTION_POLICY_SE_ATTN}, window};
  std::vector<v1::RetrievalRule> retrieval = options.rules;
  if (retrieval.empty()) retrieval.push_back(v1::RETRIEVAL_RULE_TWO_STAGE);
  std::vector<QuizRule> rules;
  for (const v1::RetrievalRule rule : retrieval) {
    rules.push_back({RuleName(rule), v1::ATTENTION_POLICY_SE_ATTN, rule});
  }
  if (!options.no_window) rules.push_back(window);
  return rules;
}

absl::Status Ask(const client::Session& session, const std::vector<Fact>& facts,
                 const RecallOptions& options, Context& context, RecallReport* report) {
  const bool prints_lines = !options.IsShort() && !context.json;
  if (prints_lines) PrintReading(*report, context.streams.out);
  for (const FactKind kind : {FactKind::kNeedle, FactKind::kChat}) {
    for (const QuizRule& rule : RulesToAsk(options)) {
      auto section = AskFacts(session, facts, kind, rule);
      if (!section.ok()) return section.status();
      if (section->answers.empty()) continue;
      if (prints_lines) PrintSection(*section, *report, context.streams.out);
      report->sections.push_back(*std::move(section));
    }
  }
  return absl::OkStatus();
}

// The text as it is to be read; tells in `*retrieve` whether to retrieve meanwhile.
absl::StatusOr<Haystack> MakeHaystack(const RecallOptions& options, Context& context,
                                      bool* retrieve) {
  auto text = ReadText(options.file, context.streams.in);
  if (!text.ok()) return text.status();
  text->resize(FirstParagraphs(*text, options.bytes).size());
  if (options.IsShort()) return Haystack::Make(*std::move(text), options.plan);
  const auto bytes_per_token = BytesPerToken(*text, context.client);
  if (!bytes_per_token.ok()) return bytes_per_token.status();
  HaystackPlan plan = options.plan;
  if (options.tokens > 0) plan.bytes = static_cast<uint64_t>(options.tokens * *bytes_per_token);
  auto haystack = Haystack::Make(*std::move(text), plan);
  if (haystack.ok()) {
    *retrieve = haystack->bytes() <= kMaxTokensReadWithRetrieval * *bytes_per_token;
  }
  return haystack;
}

absl::Status RunRecall(const RecallOptions& options, Context& context) {
  RecallReport report;
  auto haystack = MakeHaystack(options, context, &report.retrieves_while_reading);
  if (!haystack.ok()) return haystack.status();

  const absl::Time begin = absl::Now();
  client::SessionOptions create{.id = options.keep, .temporary = true};
  create.attention.set_policy(v1::ATTENTION_POLICY_SE_ATTN);
  create.attention.set_retrieve_in_prefill(report.retrieves_while_reading);
  auto session = context.client.CreateSession(create);
  if (!session.ok()) return session.status();
  {
    ProgressBar bar(&context.streams.err, options.progress || context.streams.err_is_terminal);
    if (absl::Status status = Read(&*haystack, &*session, &bar); !status.ok()) return status;
  }
  report.tokens = session->position();
  report.reading = absl::Now() - begin;
  if (absl::Status status = Ask(*session, haystack->facts(), options, context, &report);
      !status.ok()) {
    return status;
  }
  report.elapsed = absl::Now() - begin;

  if (!options.keep.empty()) {
    const auto closed = session->Append(RecallClosing(), {.parse_special = true});
    if (!closed.ok()) return closed.status();
    session->Keep();
  }
  if (context.json) {
    PrintJson(report, options.IsShort(), context.streams.out);
  } else if (options.IsShort()) {
    PrintTable(report, context.streams.out);
  }
  return absl::OkStatus();
}

}  // namespace

void AddRecall(CLI::App* app, Command* chosen) {
  auto options = std::make_shared<RecallOptions>();
  CLI::App* command =
      app->add_subcommand("recall",
                          "Hide facts in a text, let a session read it, and ask for each of them,\n"
                          "once with the expansion span and once with the window alone; with\n"
                          "--tokens, --chat-facts, --rules or --no-window print lines of figures");
  command->add_option("file", options->file, "UTF-8 text with blank lines between paragraphs")
      ->required();
  command->add_option("--facts", options->plan.needles, "Numbers to hide")->capture_default_str();
  command
      ->add_option("--chat-facts", options->plan.chat_facts,
                   "Facts to tell in turns of their own between passages of the text")
      ->capture_default_str();
  command->add_option("--seed", options->plan.seed, "Same text and seed, same facts and places")
      ->capture_default_str();
  command->add_option("--bytes", options->bytes,
                      "Read no more of the text than this, in whole paragraphs; default: all");
  command
      ->add_option("--tokens", options->tokens,
                   "Repeat or cut the text to about so many tokens; default: the text once")
      ->check(CLI::Range(int64_t{1}, kMaxTokens));
  AddRulesOption(command, &options->rules,
                 "Ask under each of these rules of retrieval; default: two-stage");
  command->add_flag("--no-window", options->no_window, "Do not ask with the window alone");
  command->add_option("--keep", options->keep,
                      "Keep the session that read the text, under this id");
  command->add_flag("--progress", options->progress,
                    "Show progress even when standard error is no terminal");
  Choose(command, chosen, options, RunRecall);
}

}  // namespace eidetic::cli
