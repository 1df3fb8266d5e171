// What `recall` tells of its questions and answers.
//
// Thread safety: pure functions. Ownership: values.
// Preconditions: the short form's report has two sections, SE_ATTN and WINDOW, of the
//   same facts.
#ifndef EIDETIC_CLIENTS_CLI_RECALL_REPORT_H_
#define EIDETIC_CLIENTS_CLI_RECALL_REPORT_H_

#include <cstdint>
#include <ostream>
#include <vector>

#include "absl/time/time.h"
#include "clients/cli/recall_quiz.h"

namespace eidetic::cli {

struct RecallReport {
  int64_t tokens = 0;  // that the session had read when it was asked
  absl::Duration reading = absl::ZeroDuration();
  absl::Duration elapsed = absl::ZeroDuration();  // reading and asking
  bool retrieves_while_reading = false;
  std::vector<QuizSection> sections = {};
};

// Short form: a row a question, then
// "recall se_attn=10/10 window=0/10 tokens=40893 seconds=13.6".
void PrintTable(const RecallReport& report, std::ostream& out);

// Long form, a line at the end of each phase, `key=value` throughout and flushed, so that
// a script can follow:
// "recall_reading tokens=... seconds=... prefill_tokens_per_second=... retrieval=on",
void PrintReading(const RecallReport& report, std::ostream& out);
// then two lines a section:
// "recall kind=needles rule=two_stage right=62/64 tokens=..." and
// "recall_speed kind=needles rule=two_stage prefill_tokens_per_second=...
//  decode_tokens_per_second=... question_seconds=...".
void PrintSection(const QuizSection& section, const RecallReport& report, std::ostream& out);

// Either form as one object. The short form's has its three counts too.
void PrintJson(const RecallReport& report, bool is_short, std::ostream& out);

}  // namespace eidetic::cli

#endif  // EIDETIC_CLIENTS_CLI_RECALL_REPORT_H_
