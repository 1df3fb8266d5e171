#include "engine/durable/request_loader.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/scheduler/answer.h"

namespace eidetic {
namespace {

// The tokens of the answer in the journal, in order.
absl::StatusOr<std::vector<TokenRecord>> LoadTokens(const memory::Journal& journal,
                                                    const RequestKey& key) {
  std::vector<TokenRecord> tokens;
  absl::Status status;
  const std::string prefix = TokenPrefix(key);
  const absl::Status scanned = journal.Scan(prefix, prefix, [&](auto token_key, auto value) {
    absl::StatusOr<TokenRecord> token = Decode<TokenRecord>(value);
    if (!token.ok()) {
      status = token.status();
    } else if (token_key != KeyOfToken(key, static_cast<int64_t>(tokens.size()) + 1)) {
      status = absl::DataLossError(
          absl::StrCat("request '", key.id, "': token ", tokens.size() + 1, " is missing"));
    } else {
      tokens.push_back(*std::move(token));
    }
    return status.ok();
  });
  if (!scanned.ok()) return scanned;
  if (!status.ok()) return status;
  return tokens;
}

// The session's tokens, or those of the throw-away session that the request had.
memory::TokenLog LogOf(const Request& request, const std::vector<TokenRecord>& tokens) {
  memory::TokenLog log;
  log.Append(request.facts.prompt);
  for (const TokenRecord& token : tokens) log.AppendGenerated(token.sampled.token);
  return log;
}

absl::Status CheckFits(const Request& request, const std::vector<TokenRecord>& tokens,
                       const memory::TokenLog& log) {
  const RequestRecord& facts = request.facts;
  const memory::Position begin = facts.prompt_begin + facts.prompt_tokens;
  const auto count = static_cast<memory::Position>(tokens.size());
  bool fits = begin + count <= log.size() && count <= facts.settings.max_tokens;
  for (memory::Position i = 0; fits && i < count; ++i) {
    fits = log.tokens()[begin + i] == tokens[i].sampled.token;
  }
  if (fits) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat("request '", request.key.id, "': its tokens are not those of its session"));
}

// Tells the record what was told before.
void Retell(const LoadContext& context, const memory::TokenLog& log,
            std::vector<TokenRecord> tokens, Request* request) {
  const RequestRecord& facts = request->facts;
  const memory::Position begin = facts.prompt_begin + facts.prompt_tokens;
  request->generation = std::make_unique<Generation>(context.tokenizer, facts.settings,
                                                     log.Slice(facts.prompt_begin, begin));
  request->record->Publish(GenerationStart{.seed = facts.settings.sampling.seed,
                                           .position = begin,
                                           .prompt_tokens = facts.prompt_tokens});
  request->stopped_at = begin;
  for (TokenRecord& token : tokens) {
    AnswerStep step = TakeDrawn(std::move(token),
                                {.position = request->stopped_at++,
                                 .past = log.tokens(),
                                 .block_tokens = context.block_tokens,
                                 .token_blocks = facts.token_blocks},
                                *context.tokenizer, request->generation.get());
    request->record->Publish(std::move(step.event));
    if (!step.finish) continue;
    request->record->Publish(*std::move(step.finish));
    request->ended = true;
    break;
  }
  if (!request->ended && !facts.error.ok()) {
    request->record->Publish(facts.error);
    request->ended = true;
  }
  if (request->ended) request->generation.reset();
}

}  // namespace

absl::StatusOr<std::shared_ptr<Request>> LoadRequest(const LoadContext& context,
                                                     std::string_view key, std::string_view value,
                                                     const Session* session) {
  absl::StatusOr<RequestKey> parsed = ParseRequestKey(key);
  if (!parsed.ok()) return parsed.status();
  absl::StatusOr<RequestRecord> facts = Decode<RequestRecord>(value);
  if (!facts.ok()) return facts.status();
  auto request = std::make_shared<Request>();
  request->key = *std::move(parsed);
  request->facts = *std::move(facts);
  request->record = std::make_shared<GenerationRecord>(context.on_reader_change);
  absl::StatusOr<std::vector<TokenRecord>> tokens = LoadTokens(*context.journal, request->key);
  if (!tokens.ok()) return tokens.status();
  memory::TokenLog own;
  if (session == nullptr) own = LogOf(*request, *tokens);
  const memory::TokenLog& log = session == nullptr ? own : session->log;
  if (absl::Status status = CheckFits(*request, *tokens, log); !status.ok()) return status;
  Retell(context, log, *std::move(tokens), request.get());
  if (session == nullptr && !request->ended) request->log = std::move(own);
  return request;
}

}  // namespace eidetic
