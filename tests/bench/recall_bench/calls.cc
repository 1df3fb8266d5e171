#include "tests/bench/recall_bench/calls.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace eidetic::bench {
namespace {

using nlohmann::json;

// Threads that wait for the server; more questions than this wait for one of them.
constexpr int64_t kMaxParallel = 256;

// `item(i)` for each i below `count`, at most `parallel` at once.
void ForEach(size_t count, int64_t parallel, const std::function<void(size_t)>& item) {
  std::atomic<size_t> next = 0;
  std::vector<std::jthread> threads;
  const size_t most = std::clamp<int64_t>(parallel, 1, kMaxParallel);
  for (size_t i = 0; i < std::min(count, most); ++i) {
    threads.emplace_back([&] {
      for (size_t mine = next++; mine < count; mine = next++) item(mine);
    });
  }
}

absl::StatusOr<v1::AttentionSettings> Attention(const json& request) {
  v1::AttentionSettings settings;
  const auto parsed =
      google::protobuf::util::JsonStringToMessage(request.at("attention").dump(), &settings);
  if (!parsed.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("attention: ", parsed.ToString()));
  }
  return settings;
}

absl::StatusOr<client::Session> ReadOne(const client::Client& client, const json& pieces,
                                        const v1::AttentionSettings& attention) {
  auto session = client.CreateSession({.attention = attention, .temporary = true});
  for (size_t i = 0; session.ok() && i < pieces.size(); ++i) {
    const client::AppendOptions options{.parse_special = pieces[i].at("special").get<bool>()};
    const auto read = session->Append(pieces[i].at("text").get_ref<const std::string&>(), options);
    if (!read.ok()) return read.status();
  }
  return session;
}

absl::StatusOr<json> AskOne(const client::Session& session, const std::string& question,
                            int32_t max_tokens) {
  const auto fork = session.Fork({.temporary = true});
  if (!fork.ok()) return fork.status();
  v1::GenerateRequest request;
  request.mutable_prompt()->set_text(question);
  request.mutable_prompt()->set_parse_special(true);
  request.mutable_sampling()->set_temperature(0);
  request.set_max_tokens(max_tokens);
  request.set_return_token_blocks(true);
  client::TokenStream stream = fork->Generate(std::move(request));
  std::string text;
  int64_t tokens = 0;
  json blocks = json::array();
  while (true) {
    const auto event = stream.Next();
    if (!event.ok()) return event.status();
    if (!event->has_value()) break;
    if ((*event)->has_finish()) text += (*event)->finish().text();
    if (!(*event)->has_delta()) continue;
    text += (*event)->delta().text();
    if (tokens++ > 0) continue;
    for (const int32_t block : (*event)->delta().blocks()) blocks.push_back(block);
  }
  return json{{"text", text}, {"tokens", tokens}, {"blocks", std::move(blocks)}};
}

// The values, or the first error.
template <typename T>
absl::StatusOr<std::vector<T>> AllOf(std::vector<std::optional<absl::StatusOr<T>>> results) {
  std::vector<T> values;
  for (auto& result : results) {
    if (!result->ok()) return result->status();
    values.push_back(**std::move(result));
  }
  return values;
}

}  // namespace

std::string Calls::Serve(const std::string& line) {
  absl::StatusOr<Json> answer;
  try {
    answer = Dispatch(Json::parse(line));
  } catch (const Json::exception& error) {
    answer = absl::InvalidArgumentError(absl::StrCat("request: ", error.what()));
  }
  if (!answer.ok()) {
    answer = Json{{"error", std::string(answer.status().message())},
                  {"code", absl::StatusCodeToString(answer.status().code())}};
  }
  return answer->dump(-1, ' ', false, Json::error_handler_t::replace);
}

absl::StatusOr<Calls::Json> Calls::Dispatch(const Json& request) {
  const auto& op = request.at("op").get_ref<const std::string&>();
  if (op == "model") return Model();
  if (op == "count") return Count(request);
  if (op == "read") return Read(request);
  if (op == "ask") return Ask(request);
  if (op == "score") return Score(request);
  if (op == "drop") return Drop(request);
  return absl::InvalidArgumentError(absl::StrCat("op: there is no ", op));
}

absl::StatusOr<Calls::Json> Calls::Model() const {
  const auto models = client_.ListModels();
  if (!models.ok()) return models.status();
  if (models->empty()) return absl::NotFoundError("the server serves no model");
  const v1::Model& model = models->front();
  return Json{{"name", model.name()},
              {"content_hash", model.content_hash()},
              {"backend", model.backend()},
              {"block_tokens", model.block_tokens()}};
}

absl::StatusOr<Calls::Json> Calls::Count(const Json& request) const {
  const auto ids =
      client_.Tokenize(request.at("text").get_ref<const std::string&>(), /*parse_special=*/true);
  if (!ids.ok()) return ids.status();
  return Json{{"tokens", ids->size()}};
}

absl::StatusOr<Calls::Json> Calls::Read(const Json& request) {
  const auto attention = Attention(request);
  if (!attention.ok()) return attention.status();
  const Json& haystacks = request.at("haystacks");
  for (const Json& haystack : haystacks) {
    if (sessions_.contains(haystack.at("id").get<std::string>())) {
      return absl::AlreadyExistsError("id: is read already");
    }
    for (const Json& piece : haystack.at("pieces")) {
      // Checked here: nothing may throw within a thread.
      piece.at("text").get_ref<const std::string&>();
      piece.at("special").get<bool>();
    }
  }
  const absl::Time begin = absl::Now();
  std::vector<std::optional<absl::StatusOr<client::Session>>> results(haystacks.size());
  ForEach(haystacks.size(), kMaxParallel,
          [&](size_t i) { results[i] = ReadOne(client_, haystacks[i].at("pieces"), *attention); });
  auto sessions = AllOf(std::move(results));
  if (!sessions.ok()) return sessions.status();
  Json tokens = Json::array();
  for (size_t i = 0; i < sessions->size(); ++i) {
    tokens.push_back((*sessions)[i].position());
    sessions_.emplace(haystacks[i].at("id").get<std::string>(), std::move((*sessions)[i]));
  }
  return Json{{"tokens", tokens}, {"seconds", absl::ToDoubleSeconds(absl::Now() - begin)}};
}

absl::StatusOr<Calls::Json> Calls::Ask(const Json& request) const {
  const auto session = Find(request);
  if (!session.ok()) return session.status();
  const auto attention = Attention(request);
  if (!attention.ok()) return attention.status();
  const auto questions = request.at("questions").get<std::vector<std::string>>();
  const auto max_tokens = request.at("max_tokens").get<int32_t>();
  const absl::Time begin = absl::Now();
  // Other settings may need another index: it is built once, in a fork that the questions' share.
  const auto base = (*session)->Fork({.attention = *attention, .temporary = true});
  if (!base.ok()) return base.status();
  std::vector<std::optional<absl::StatusOr<Json>>> results(questions.size());
  ForEach(questions.size(), request.at("parallel").get<int64_t>(),
          [&](size_t i) { results[i] = AskOne(*base, questions[i], max_tokens); });
  auto answers = AllOf(std::move(results));
  if (!answers.ok()) return answers.status();
  return Json{{"answers", *std::move(answers)},
              {"seconds", absl::ToDoubleSeconds(absl::Now() - begin)}};
}

absl::StatusOr<Calls::Json> Calls::Score(const Json& request) const {
  const auto session = Find(request);
  if (!session.ok()) return session.status();
  v1::Content content;
  content.set_text(request.at("text").get<std::string>());
  const absl::Time begin = absl::Now();
  const auto score = (*session)->Score(content);
  if (!score.ok()) return score.status();
  return Json{{"tokens", score->scored_tokens()},
              {"logprob", score->total_logprob()},
              {"seconds", absl::ToDoubleSeconds(absl::Now() - begin)}};
}

absl::StatusOr<Calls::Json> Calls::Drop(const Json& request) {
  const auto session = Find(request);
  if (!session.ok()) return session.status();
  sessions_.erase(request.at("id").get<std::string>());
  return Json::object();
}

absl::StatusOr<const client::Session*> Calls::Find(const Json& request) const {
  const auto found = sessions_.find(request.at("id").get<std::string>());
  if (found == sessions_.end()) return absl::NotFoundError("id: was not read");
  return &found->second;
}

}  // namespace eidetic::bench
