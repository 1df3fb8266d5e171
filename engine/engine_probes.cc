// Scores and searches: work on a branch of a session, or on an empty one, that nobody else sees.
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/engine_impl.h"
#include "engine/scheduler/score_sequence.h"
#include "engine/scheduler/search_sequence.h"

namespace eidetic {

absl::StatusOr<EngineImpl::Probe> EngineImpl::MakeProbe(
    const std::optional<SessionName>& session, const memory::SpanSettings& settings,
    const std::string& tenant, const std::vector<memory::TokenId>& tokens) {
  if (tokens.empty() || tokens.size() > static_cast<size_t>(context_.limits.max_score_tokens)) {
    return absl::InvalidArgumentError(absl::StrCat("content: has ", tokens.size(),
                                                   " tokens; it must have from 1 to ",
                                                   context_.limits.max_score_tokens));
  }
  const auto count = static_cast<int64_t>(tokens.size());
  absl::Status room = tenants_.CheckPrompt(tenant, count);
  if (room.ok()) room = loop_.CheckRoom(tenant);
  if (!room.ok()) return room;
  absl::StatusOr<std::shared_ptr<Session>> branch;
  if (session) {
    absl::StatusOr<std::shared_ptr<Session>> parent = sessions_.FindAwake(*session);
    if (!parent.ok()) return parent.status();
    branch = sessions_.Branch(**parent, (*parent)->settings.last());
  } else {
    branch = sessions_.MakeEmpty(memory::SettingsHistory(settings));
  }
  if (!branch.ok()) return branch.status();
  const memory::Position begin = (*branch)->position();
  absl::StatusOr<SessionWork> work =
      SessionWork::Begin(*branch, begin + count, context_.limits.query_chunk_tokens);
  if (!work.ok()) return work.status();
  if (absl::Status status = tenants_.Charge(tenant, count); !status.ok()) return status;
  (*branch)->log.Append(tokens);
  return Probe{*std::move(branch), begin, *std::move(work)};
}

void EngineImpl::Score(std::optional<SessionName> session, memory::SpanSettings settings,
                       std::string tenant, std::vector<memory::TokenId> tokens,
                       int32_t top_logprobs, std::shared_ptr<std::atomic<bool>> cancelled,
                       Done<std::vector<SampledToken>> done) {
  auto score = [this, session, settings, tenant, tokens = std::move(tokens), top_logprobs,
                cancelled = std::move(cancelled), done](const absl::Status& awake) {
    absl::StatusOr<Probe> probe =
        awake.ok() ? MakeProbe(session, settings, tenant, tokens) : absl::StatusOr<Probe>(awake);
    if (!probe.ok()) return TellUnlessShort(probe.status(), done);
    loop_.Add(
        std::make_shared<ScoreSequence>(&context_, std::move(probe->branch), std::move(probe->work),
                                        probe->begin, top_logprobs, cancelled, done),
        tenant);
    return absl::OkStatus();
  };
  PostProbe(session, std::move(score), std::move(done));
}

void EngineImpl::Search(SessionName session, std::vector<memory::TokenId> tokens, int32_t limit,
                        std::shared_ptr<std::atomic<bool>> cancelled, Done<SearchResult> done) {
  auto search = [this, session, tokens = std::move(tokens), limit, cancelled = std::move(cancelled),
                 done](const absl::Status& awake) {
    if (!awake.ok()) return TellUnlessShort(awake, done);
    return StartSearch(session, tokens, limit, cancelled, done);
  };
  PostProbe(std::optional(session), std::move(search), std::move(done));
}

absl::Status EngineImpl::StartSearch(const SessionName& session,
                                     const std::vector<memory::TokenId>& tokens, int32_t limit,
                                     std::shared_ptr<std::atomic<bool>> cancelled,
                                     Done<SearchResult> done) {
  absl::StatusOr<Probe> probe = MakeProbe(session, {}, session.tenant, tokens);
  if (!probe.ok()) return TellUnlessShort(probe.status(), done);
  if (probe->branch->settings.last().policy != memory::AttentionPolicy::kSeAttn) {
    done(absl::FailedPreconditionError(
        "name: the session's policy retrieves nothing; fork it with SE_ATTN and search there"));
    return absl::OkStatus();
  }
  loop_.Add(
      std::make_shared<SearchSequence>(&context_, std::move(probe->branch), std::move(probe->work),
                                       probe->begin, limit, std::move(cancelled), std::move(done)),
      session.tenant);
  return absl::OkStatus();
}

}  // namespace eidetic
