#include "tests/end_to_end/requests.h"

#include <iterator>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "clients/cpp/status_details.h"
#include "eidetic/v1/session_service.grpc.pb.h"

namespace eidetic::testing {

v1::GenerateRequest Greedy(const std::string& prompt, int max_tokens) {
  v1::GenerateRequest request;
  if (!prompt.empty()) request.mutable_prompt()->set_text(prompt);
  request.mutable_sampling()->set_temperature(0);
  request.set_max_tokens(max_tokens);
  request.set_ignore_end_tokens(true);
  return request;
}

v1::GenerateRequest Sampled(const std::string& prompt, int max_tokens, uint64_t seed) {
  v1::GenerateRequest request = Greedy(prompt, max_tokens);
  request.mutable_sampling()->set_temperature(1.5);
  request.mutable_sampling()->set_seed(seed);
  return request;
}

Answer Read(client::TokenStream& stream, int deltas) {
  Answer answer;
  while (static_cast<int>(answer.tokens.size()) < deltas) {
    const auto event = stream.Next();
    answer.status = event.status();
    if (!event.ok() || !event->has_value()) break;
    const v1::GenerateResponse& told = **event;
    if (told.has_start()) answer.start = told.start();
    if (told.has_finish()) answer.finish = told.finish();
    answer.text += told.delta().text() + told.finish().text();
    if (!told.has_delta()) continue;
    answer.tokens.push_back(told.delta().token());
    if (told.delta().has_logprob()) {
      answer.logprobs.push_back(told.delta().logprob().chosen().logprob());
    }
  }
  return answer;
}

Answer Read(client::TokenStream&& stream, int deltas) { return Read(stream, deltas); }

absl::StatusOr<int64_t> AppendTokens(const std::shared_ptr<grpc::Channel>& channel,
                                     const std::string& session, const std::vector<int32_t>& ids,
                                     std::optional<int64_t> expected_position) {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Minutes(2)));
  const auto stub = v1::SessionService::NewStub(channel);
  const auto stream = stub->AppendSession(&context);
  v1::AppendSessionRequest request;
  request.set_name(session);
  request.mutable_content()->mutable_tokens()->mutable_ids()->Assign(ids.begin(), ids.end());
  if (expected_position) request.set_expected_position(*expected_position);
  stream->Write(request);
  stream->WritesDone();
  v1::AppendSessionResponse response;
  int64_t position = -1;
  while (stream->Read(&response)) position = response.position();
  const absl::Status status = client::ToAbslStatus(stream->Finish());
  if (!status.ok()) return status;
  return position;
}

bool WaitUntilFree(client::Session& session) {
  for (const absl::Time end = absl::Now() + absl::Minutes(1); absl::Now() < end;) {
    if (!session.Refresh().ok()) return false;
    if (!session.info().busy()) return true;
    absl::SleepFor(absl::Milliseconds(20));
  }
  return false;
}

std::string Prose(int words, int seed) {
  constexpr const char* kWords[] = {"the",  "river", "keeps", "a",     "stone", "of", "silver",
                                    "and",  "night", "walks", "under", "old",   "to", "sleeping",
                                    "town", "while", "rain",  "tells", "its",   "in", "quiet"};
  std::minstd_rand random(static_cast<uint32_t>(seed) + 1);
  std::string text = absl::StrCat("Story ", seed, ":");
  for (int i = 0; i < words; ++i) {
    absl::StrAppend(&text, " ", kWords[random() % std::size(kWords)]);
    if (i % 12 == 11) text += ".\n";
  }
  return text;
}

}  // namespace eidetic::testing
