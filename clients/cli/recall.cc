// eidetic recall: hides facts in a text, lets a session read it, asks for them.
#include <algorithm>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "clients/cli/attention_options.h"
#include "clients/cli/command.h"
#include "clients/cli/input.h"
#include "clients/cli/progress_bar.h"
#include "clients/cli/recall_facts.h"
#include "clients/cli/recall_quiz.h"
#include "clients/cli/text_table.h"

namespace eidetic::cli {
namespace {

struct RecallOptions {
  std::string file;
  int facts = 10;
  uint64_t seed = 1;
  size_t bytes = std::numeric_limits<size_t>::max();
  std::string keep;
  bool progress = false;
};

struct RecallReport {
  std::vector<QuizAnswer> answers = {};
  int64_t tokens = 0;  // that the session had read when it was asked
  double seconds = 0;  // of reading and asking
};

constexpr size_t kAnswerWidth = 24;
constexpr size_t kPassageWidth = 72;
constexpr v1::AttentionPolicy kPolicies[] = {v1::ATTENTION_POLICY_SE_ATTN,
                                             v1::ATTENTION_POLICY_WINDOW};

absl::Status Read(const std::string& text, const RecallOptions& options, client::Session& session,
                  Context& context) {
  const client::AppendOptions special{.parse_special = true};
  if (const auto opened = session.Append(RecallPreamble(), special); !opened.ok()) {
    return opened.status();
  }
  ProgressBar bar(&context.streams.err, options.progress || context.streams.err_is_terminal);
  client::AppendOptions append;
  append.on_progress = [&](const client::AppendProgress& progress) { bar.Update(progress); };
  return session.Append(text, append).status();
}

absl::Status Ask(const client::Session& session, const std::vector<Fact>& facts,
                 RecallReport* report) {
  for (const Fact& fact : facts) {
    for (const v1::AttentionPolicy policy : kPolicies) {
      auto answer = AskFact(session, fact, policy);
      if (!answer.ok()) return answer.status();
      report->answers.push_back(*std::move(answer));
    }
  }
  return absl::OkStatus();
}

int RightAnswers(const RecallReport& report, v1::AttentionPolicy policy) {
  return std::count_if(report.answers.begin(), report.answers.end(), [&](const QuizAnswer& answer) {
    return answer.policy == policy && answer.right;
  });
}

// The fact in the passage's middle, so that trimming keeps it.
std::string TrimmedPassage(const QuizAnswer& answer) {
  const std::string& text = answer.passage->text();
  const std::string told = absl::StrCat(answer.fact.key, " is: ", answer.fact.number);
  const bool whole = text.find(told) != std::string::npos;
  return Trimmed(text, kPassageWidth, whole ? told : answer.fact.key);
}

void PrintTable(const RecallReport& report, std::ostream& out) {
  TextTable table({"magic number for", "policy", "answer", "", "tokens back", "passage"});
  for (const QuizAnswer& answer : report.answers) {
    const bool has_passage = answer.passage.has_value();
    table.AddRow({answer.fact.key, PolicyName(answer.policy), Trimmed(answer.answer, kAnswerWidth),
                  answer.right ? "right" : "wrong",
                  has_passage ? WithThousands(answer.tokens_back) : "-",
                  has_passage ? TrimmedPassage(answer) : "-"});
  }
  table.Print(out);
  const size_t facts = report.answers.size() / std::size(kPolicies);
  out << absl::StreamFormat("recall se_attn=%d/%d window=%d/%d tokens=%d seconds=%.1f\n",
                            RightAnswers(report, v1::ATTENTION_POLICY_SE_ATTN), facts,
                            RightAnswers(report, v1::ATTENTION_POLICY_WINDOW), facts, report.tokens,
                            report.seconds);
}

void PrintJson(const RecallReport& report, std::ostream& out) {
  nlohmann::json json = {{"se_attn_right", RightAnswers(report, v1::ATTENTION_POLICY_SE_ATTN)},
                         {"window_right", RightAnswers(report, v1::ATTENTION_POLICY_WINDOW)},
                         {"facts", report.answers.size() / std::size(kPolicies)},
                         {"tokens", report.tokens},
                         {"seconds", report.seconds},
                         {"answers", nlohmann::json::array()}};
  for (const QuizAnswer& answer : report.answers) {
    nlohmann::json row = {{"question", Question(answer.fact)},
                          {"expected", answer.fact.number},
                          {"policy", PolicyName(answer.policy)},
                          {"answer", answer.answer},
                          {"right", answer.right}};
    if (answer.passage) {
      row["passage"] = answer.passage->text();
      row["tokens_back"] = answer.tokens_back;
    }
    json["answers"].push_back(std::move(row));
  }
  out << json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
}

absl::Status RunRecall(const RecallOptions& options, Context& context) {
  const auto text = ReadText(options.file, context.streams.in);
  if (!text.ok()) return text.status();
  const auto planted =
      PlantFacts(FirstParagraphs(*text, options.bytes), options.facts, options.seed);
  if (!planted.ok()) return planted.status();

  const absl::Time begin = absl::Now();
  client::SessionOptions create{.id = options.keep, .temporary = true};
  create.attention.set_policy(v1::ATTENTION_POLICY_SE_ATTN);
  // Retrieval while reading costs time and does not change what is found afterwards.
  create.attention.set_retrieve_in_prefill(false);
  auto session = context.client.CreateSession(create);
  if (!session.ok()) return session.status();
  if (absl::Status status = Read(planted->text, options, *session, context); !status.ok()) {
    return status;
  }
  RecallReport report{.tokens = session->position()};
  if (absl::Status status = Ask(*session, planted->facts, &report); !status.ok()) return status;
  report.seconds = absl::ToDoubleSeconds(absl::Now() - begin);

  if (!options.keep.empty()) {
    const auto closed = session->Append(RecallClosing(), {.parse_special = true});
    if (!closed.ok()) return closed.status();
    session->Keep();
  }
  if (context.json) {
    PrintJson(report, context.streams.out);
  } else {
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
                          "once with the expansion span and once with the window alone");
  command->add_option("file", options->file, "UTF-8 text with blank lines between paragraphs")
      ->required();
  command->add_option("--facts", options->facts, "Facts to hide")->capture_default_str();
  command->add_option("--seed", options->seed, "Same text and seed, same facts and places")
      ->capture_default_str();
  command->add_option("--bytes", options->bytes,
                      "Read no more of the text than this, in whole paragraphs; default: all");
  command->add_option("--keep", options->keep,
                      "Keep the session that read the text, under this id");
  command->add_flag("--progress", options->progress,
                    "Show progress even when standard error is no terminal");
  Choose(command, chosen, options, RunRecall);
}

}  // namespace eidetic::cli
