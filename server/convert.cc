#include "server/convert.h"

#include <algorithm>
#include <random>

#include "absl/strings/str_cat.h"
#include "server/attention_convert.h"
#include "server/content_tokens.h"
#include "server/digest.h"
#include "server/sampling_convert.h"

namespace eidetic {
namespace {

// What Generate and Score work on: a session, or a throw-away one of a tenant.
struct Target {
  std::optional<SessionName> session;
  std::string tenant;
  memory::SpanSettings settings;
};

template <typename Request>
absl::StatusOr<Target> SessionTarget(const Request& request) {
  if (!request.parent().empty()) {
    return InvalidField("parent", "is set beside session; leave one of them empty");
  }
  if (request.has_attention()) {
    return InvalidField("attention",
                        "is set beside session; a session keeps its own (ForkSession changes it)");
  }
  if (!request.model().empty()) {
    return InvalidField("model", "is set beside session; a session keeps its own");
  }
  auto name = SessionName::Parse(request.session(), "session");
  if (!name.ok()) return name.status();
  Target target;
  target.tenant = name->tenant;
  target.session = *std::move(name);
  return target;
}

template <typename Request>
absl::StatusOr<Target> TargetOf(const Request& request, const ServedModel& served) {
  if (!request.session().empty()) return SessionTarget(request);
  if (request.parent().empty()) {
    return InvalidField("session", "is empty; name a session, or set parent to work without one");
  }
  auto tenant = SessionName::ParseTenant(request.parent(), "parent");
  if (!tenant.ok()) return tenant.status();
  const absl::Status status = CheckModel(request.model(), "model", served);
  if (!status.ok()) return status;
  auto settings = NewSpanSettings(request.attention(), "attention", *served.engine);
  if (!settings.ok()) return settings.status();
  return Target{std::nullopt, *std::move(tenant), *settings};
}

absl::Status TakePrompt(const v1::GenerateRequest& request, const Engine& engine,
                        GenerateSpec* spec) {
  if (!request.has_prompt()) {
    if (spec->session) return absl::OkStatus();
    return InvalidField("prompt", "is missing; only a session with a past can do without");
  }
  auto tokens = ContentTokens(request.prompt(), "prompt", ContentUse::kAnswer, engine);
  if (!tokens.ok()) return tokens.status();
  spec->prompt = *std::move(tokens);
  return absl::OkStatus();
}

absl::Status TakeSampling(const v1::GenerateRequest& request, const Engine& engine,
                          GenerateSpec* spec) {
  auto sampling = ToSamplingParams(request.sampling(), "sampling", engine);
  if (!sampling.ok()) return sampling.status();
  spec->sampling = *std::move(sampling);
  if (request.sampling().has_seed()) spec->seed = request.sampling().seed();
  spec->sampling.top_logprobs = request.logprobs();
  return CheckRange("logprobs", request.logprobs(), 0, kMaxLogprobs);
}

absl::Status TakeStops(const v1::GenerateRequest& request, const Engine& engine,
                       GenerateSpec* spec) {
  if (request.stop_strings_size() > kMaxStopStrings) {
    return InvalidField("stop_strings",
                        absl::StrCat("has ", request.stop_strings_size(), "; at most ",
                                     kMaxStopStrings, " are allowed"));
  }
  for (int i = 0; i < request.stop_strings_size(); ++i) {
    const int64_t bytes = request.stop_strings(i).size();
    if (bytes >= 1 && bytes <= kMaxStopStringBytes) continue;
    return InvalidField(
        absl::StrCat("stop_strings[", i, "]"),
        absl::StrCat("has ", bytes, " bytes; it must have from 1 to ", kMaxStopStringBytes));
  }
  if (request.stop_tokens_size() > kMaxStopTokens) {
    return InvalidField("stop_tokens", absl::StrCat("has ", request.stop_tokens_size(),
                                                    "; at most ", kMaxStopTokens, " are allowed"));
  }
  const absl::Status status = CheckTokenIds(request.stop_tokens(), "stop_tokens", engine);
  if (!status.ok()) return status;
  spec->stop_strings.assign(request.stop_strings().begin(), request.stop_strings().end());
  spec->stop_tokens.assign(request.stop_tokens().begin(), request.stop_tokens().end());
  spec->ignore_end_tokens = request.ignore_end_tokens();
  return absl::OkStatus();
}

absl::Status TakeMaxTokens(const v1::GenerateRequest& request, const Engine& engine,
                           GenerateSpec* spec) {
  const int32_t limit = engine.limits().max_generated_tokens;
  spec->max_tokens = std::min(kDefaultMaxTokens, limit);
  if (!request.has_max_tokens()) return absl::OkStatus();
  spec->max_tokens = request.max_tokens();
  return CheckRange("max_tokens", request.max_tokens(), 1, limit);
}

absl::Status TakeAdapter(const v1::GenerateRequest& request, GenerateSpec* spec) {
  if (request.adapter().empty()) return absl::OkStatus();
  if (spec->session) {
    return InvalidField("adapter",
                        "is set beside session; a session keeps its own (ForkSession changes it)");
  }
  auto id = AdapterId(request.adapter(), "adapter", spec->tenant);
  if (!id.ok()) return id.status();
  spec->adapter = *std::move(id);
  return absl::OkStatus();
}

absl::Status TakeIdentity(const v1::GenerateRequest& request, GenerateSpec* spec) {
  const absl::Status status = CheckRequestId(request.request_id());
  if (!status.ok()) return status;
  if (request.resume_from() < 0) {
    return InvalidField("resume_from", "is negative; give the last sequence number received");
  }
  if (request.resume_from() > 0 && request.request_id().empty()) {
    return InvalidField("resume_from", "is set without request_id; give the id to resume");
  }
  if (request.has_expected_position() && !spec->session) {
    return InvalidField("expected_position", "is set without session; leave it unset");
  }
  auto expected = ExpectedPosition(request);
  if (!expected.ok()) return expected.status();
  spec->expected_position = *expected;
  spec->resume_from = request.resume_from();
  spec->request_id = request.request_id();
  if (!spec->request_id.empty()) spec->fingerprint = Fingerprint(request);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<GenerateSpec> ToGenerateSpec(const v1::GenerateRequest& request,
                                            const ServedModel& served) {
  auto target = TargetOf(request, served);
  if (!target.ok()) return target.status();
  GenerateSpec spec;
  spec.session = std::move(target->session);
  spec.tenant = std::move(target->tenant);
  spec.settings = target->settings;
  spec.token_blocks = request.return_token_blocks();

  const Engine& engine = *served.engine;
  absl::Status status = TakeAdapter(request, &spec);
  if (status.ok()) status = TakeSampling(request, engine, &spec);
  if (status.ok()) status = TakeStops(request, engine, &spec);
  if (status.ok()) status = TakeMaxTokens(request, engine, &spec);
  if (status.ok()) status = TakeIdentity(request, &spec);
  if (status.ok()) status = TakePrompt(request, engine, &spec);  // last: the dearest
  if (!status.ok()) return status;
  return spec;
}

absl::StatusOr<int32_t> MessageTokens(const v1::GenerateRequest& request) {
  if (!request.has_max_message_tokens()) return 1;
  const absl::Status status =
      CheckRange("max_message_tokens", request.max_message_tokens(), 1, kMaxMessageTokens);
  if (!status.ok()) return status;
  return request.max_message_tokens();
}

absl::StatusOr<ScoreSpec> ToScoreSpec(const v1::ScoreRequest& request, const ServedModel& served) {
  auto target = TargetOf(request, served);
  if (!target.ok()) return target.status();
  const absl::Status status = CheckRange("top_logprobs", request.top_logprobs(), 0, kMaxLogprobs);
  if (!status.ok()) return status;
  auto tokens = ContentTokens(request.content(), "content", ContentUse::kAppend, *served.engine);
  if (!tokens.ok()) return tokens.status();
  const int64_t limit = served.engine->limits().max_score_tokens;
  const int64_t count = tokens->size();
  if (count > limit) {
    return InvalidField("content", absl::StrCat("has ", count, " tokens; at most ", limit,
                                                " are scored in one request: split it"));
  }
  return ScoreSpec{std::move(target->session), target->settings, std::move(target->tenant),
                   *std::move(tokens), request.top_logprobs()};
}

absl::Status CheckModel(const std::string& model, const std::string& field,
                        const ServedModel& served) {
  if (model.empty() || model == served.name) return absl::OkStatus();
  return InvalidField(field,
                      absl::StrCat("is not served here; use ", served.name, ", or leave it empty"));
}

absl::StatusOr<std::string> AdapterId(const std::string& adapter, const std::string& field,
                                      const std::string& tenant) {
  if (adapter.empty()) return std::string();
  auto name = AdapterName::Parse(adapter, field);
  if (!name.ok()) return name.status();
  if (name->tenant != tenant) return NoSuchAdapter(*name);
  return std::move(name->adapter);
}

absl::Status CheckRequestId(const std::string& request_id) {
  return CheckLength("request_id", request_id, kMaxRequestIdCharacters);
}

absl::StatusOr<std::optional<absl::Duration>> ExpireAfter(const v1::Session& session,
                                                          const std::string& field) {
  if (!session.has_expire_after()) return std::optional<absl::Duration>();
  const int64_t seconds = session.expire_after().seconds();
  const bool whole = session.expire_after().nanos() == 0;
  if (!whole || seconds < 0 || seconds > absl::ToInt64Seconds(kMaxExpireAfter)) {
    return InvalidField(field,
                        absl::StrCat("must be whole seconds, from 1 to ",
                                     absl::ToInt64Seconds(kMaxExpireAfter), ", or 0 for never"));
  }
  return std::optional(absl::Seconds(seconds));
}

absl::StatusOr<SessionName> NewSessionName(const std::string& tenant,
                                           const std::string& session_id) {
  if (!session_id.empty()) {
    if (SessionName::IsSegment(session_id)) return SessionName{tenant, session_id};
    return InvalidField("session_id",
                        "must be a lower-case letter, then letters, digits and '-', at most 63 "
                        "characters; or empty, then the server draws one");
  }
  constexpr int kDrawnCharacters = 26;  // 5 bits each: no two are ever alike
  constexpr char kAlphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
  std::random_device random;
  std::string drawn = "s-";
  for (int i = 0; i < kDrawnCharacters; ++i) drawn.push_back(kAlphabet[random() % 32]);
  return SessionName{tenant, drawn};
}

absl::StatusOr<int32_t> PageSize(int32_t page_size) {
  if (page_size < 0) {
    return InvalidField("page_size", absl::StrCat("is negative; use 1 to ", kMaxPageSize,
                                                  ", or 0 for ", kDefaultPageSize));
  }
  return page_size == 0 ? kDefaultPageSize : std::min(page_size, kMaxPageSize);
}

}  // namespace eidetic
