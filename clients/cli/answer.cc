#include "clients/cli/answer.h"

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "clients/cli/json.h"
#include "clients/cli/text_table.h"

namespace eidetic::cli {
namespace {

constexpr absl::Duration kResumeBackoff = absl::Milliseconds(200);
constexpr size_t kPassageWidth = 100;

void Note(const client::TokenStream::Event& event, Answer* answer) {
  if (event.has_start()) answer->start = event.start();
  if (event.has_delta()) answer->text += event.delta().text();
  if (event.has_finish()) {
    answer->finish = event.finish();
    answer->text += event.finish().text();
  }
}

void PrintPassages(const v1::GenerateFinish& finish, std::ostream& err) {
  for (const v1::Passage& passage : finish.passages()) {
    err << absl::StreamFormat("[%d-%d, %.3f] ", passage.begin_position(), passage.end_position(),
                              passage.mass())
        << Trimmed(passage.text(), kPassageWidth) << '\n';
  }
  err.flush();
}

}  // namespace

absl::StatusOr<Answer> ReadAnswer(
    client::TokenStream& stream,
    const std::function<void(const client::TokenStream::Event&)>& on_event) {
  Answer answer;
  for (int resumes = 0;;) {
    auto event = stream.Next();
    if (event.ok() && !event->has_value()) return answer;
    if (event.ok()) {
      Note(**event, &answer);
      if (on_event) on_event(**event);
      continue;
    }
    if (!absl::IsUnavailable(event.status()) || ++resumes > kMaxResumes) return event.status();
    absl::SleepFor(resumes * kResumeBackoff);
    if (!stream.Resume().ok()) return event.status();
  }
}

absl::Status PrintAnswer(client::TokenStream& stream, Context& context, bool passages) {
  std::ostream& out = context.streams.out;
  const auto answer = ReadAnswer(stream, [&](const client::TokenStream::Event& event) {
    if (context.json) {
      out << ToJson(event) << std::endl;
    } else {
      out << event.delta().text() << event.finish().text() << std::flush;
    }
  });
  if (!context.json) out << std::endl;
  if (!answer.ok()) return answer.status();
  if (passages) PrintPassages(answer->finish, context.streams.err);
  return absl::OkStatus();
}

}  // namespace eidetic::cli
