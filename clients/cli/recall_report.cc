#include "clients/cli/recall_report.h"

#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_format.h"
#include "clients/cli/attention_options.h"
#include "clients/cli/progress_bar.h"
#include "clients/cli/text_table.h"

namespace eidetic::cli {
namespace {

constexpr size_t kAnswerWidth = 24;
constexpr size_t kPassageWidth = 72;

const char* KindName(FactKind kind) { return kind == FactKind::kNeedle ? "needles" : "chat"; }

double PrefillTokensPerSecond(const RecallReport& report) {
  const double seconds = absl::ToDoubleSeconds(report.reading);
  return seconds > 0 ? report.tokens / seconds : 0;
}

// The fact in the passage's middle, so that trimming keeps it.
std::string TrimmedPassage(const QuizAnswer& answer) {
  const std::string& text = answer.passage->text();
  const bool whole = text.find(answer.fact.statement) != std::string::npos;
  return Trimmed(text, kPassageWidth, whole ? answer.fact.statement : answer.fact.key);
}

nlohmann::json ToJson(const QuizAnswer& answer, const QuizRule& rule) {
  nlohmann::json json = {{"question", answer.fact.question},  {"expected", answer.fact.value},
                         {"policy", PolicyName(rule.policy)}, {"rule", rule.name},
                         {"answer", answer.answer},           {"right", answer.right}};
  if (answer.passage) {
    json["passage"] = answer.passage->text();
    json["tokens_back"] = answer.tokens_back;
  }
  return json;
}

nlohmann::json ToJson(const QuizSection& section) {
  return {{"kind", KindName(section.kind)},
          {"rule", section.rule.name},
          {"right", section.RightAnswers()},
          {"facts", section.answers.size()},
          {"decode_tokens_per_second", section.DecodeTokensPerSecond()},
          {"question_seconds", section.QuestionSeconds()}};
}

}  // namespace

void PrintTable(const RecallReport& report, std::ostream& out) {
  TextTable table({"magic number for", "policy", "answer", "", "tokens back", "passage"});
  const size_t facts = report.sections[0].answers.size();
  for (size_t i = 0; i < facts; ++i) {
    for (const QuizSection& section : report.sections) {
      const QuizAnswer& answer = section.answers[i];
      const bool has_passage = answer.passage.has_value();
      table.AddRow({answer.fact.key, section.rule.name, Trimmed(answer.answer, kAnswerWidth),
                    answer.right ? "right" : "wrong",
                    has_passage ? WithThousands(answer.tokens_back) : "-",
                    has_passage ? TrimmedPassage(answer) : "-"});
    }
  }
  table.Print(out);
  out << absl::StreamFormat("recall se_attn=%d/%d window=%d/%d tokens=%d seconds=%.1f\n",
                            report.sections[0].RightAnswers(), facts,
                            report.sections[1].RightAnswers(), facts, report.tokens,
                            absl::ToDoubleSeconds(report.elapsed));
}

void PrintReading(const RecallReport& report, std::ostream& out) {
  out << absl::StreamFormat(
             "recall_reading tokens=%d seconds=%.3f prefill_tokens_per_second=%.1f retrieval=%s\n",
             report.tokens, absl::ToDoubleSeconds(report.reading), PrefillTokensPerSecond(report),
             report.retrieves_while_reading ? "on" : "off")
      << std::flush;
}

void PrintSection(const QuizSection& section, const RecallReport& report, std::ostream& out) {
  const char* kind = KindName(section.kind);
  out << absl::StreamFormat("recall kind=%s rule=%s right=%d/%d tokens=%d\n", kind,
                            section.rule.name, section.RightAnswers(), section.answers.size(),
                            report.tokens)
      << absl::StreamFormat(
             "recall_speed kind=%s rule=%s prefill_tokens_per_second=%.1f "
             "decode_tokens_per_second=%.1f question_seconds=%.4f\n",
             kind, section.rule.name, PrefillTokensPerSecond(report),
             section.DecodeTokensPerSecond(), section.QuestionSeconds())
      << std::flush;
}

void PrintJson(const RecallReport& report, bool is_short, std::ostream& out) {
  nlohmann::json json = {{"tokens", report.tokens},
                         {"seconds", absl::ToDoubleSeconds(report.elapsed)},
                         {"reading_seconds", absl::ToDoubleSeconds(report.reading)},
                         {"prefill_tokens_per_second", PrefillTokensPerSecond(report)},
                         {"retrieval_while_reading", report.retrieves_while_reading},
                         {"sections", nlohmann::json::array()},
                         {"answers", nlohmann::json::array()}};
  for (const QuizSection& section : report.sections) {
    json["sections"].push_back(ToJson(section));
    for (const QuizAnswer& answer : section.answers) {
      json["answers"].push_back(ToJson(answer, section.rule));
    }
  }
  if (is_short) {
    json["se_attn_right"] = report.sections[0].RightAnswers();
    json["window_right"] = report.sections[1].RightAnswers();
    json["facts"] = report.sections[0].answers.size();
  }
  out << json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
}

}  // namespace eidetic::cli
