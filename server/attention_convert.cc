#include "server/attention_convert.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "server/field_check.h"

namespace eidetic {
namespace {

using memory::AttentionPolicy;
using memory::RetrievalRule;

struct PolicyName {
  v1::AttentionPolicy outside;
  AttentionPolicy inside;
};
constexpr PolicyName kPolicies[] = {
    {v1::ATTENTION_POLICY_SE_ATTN, AttentionPolicy::kSeAttn},
    {v1::ATTENTION_POLICY_FULL, AttentionPolicy::kFull},
    {v1::ATTENTION_POLICY_WINDOW, AttentionPolicy::kWindow},
};

struct RuleName {
  v1::RetrievalRule outside;
  RetrievalRule inside;
};
constexpr RuleName kRules[] = {
    {v1::RETRIEVAL_RULE_TWO_STAGE, RetrievalRule::kTwoStage},
    {v1::RETRIEVAL_RULE_EXACT, RetrievalRule::kExact},
    {v1::RETRIEVAL_RULE_BOUND, RetrievalRule::kBound},
    {v1::RETRIEVAL_RULE_MEAN, RetrievalRule::kMean},
    {v1::RETRIEVAL_RULE_POOLED, RetrievalRule::kPooled},
};

// Sets *to to what `value` stands for; 0 (unspecified) leaves it.
template <typename Names, typename Outside, typename Inside>
absl::Status ApplyEnum(const Names& names, const std::string& field, Outside value, Inside* to) {
  if (value == 0) return absl::OkStatus();
  for (const auto& name : names) {
    if (name.outside != value) continue;
    *to = name.inside;
    return absl::OkStatus();
  }
  return InvalidField(field, absl::StrCat("has no value ", int(value),
                                          "; use one that the enum names, or leave it unset"));
}

template <typename Names, typename Inside>
auto Outside(const Names& names, Inside value) {
  auto found = names[0].outside;
  for (const auto& name : names) {
    if (name.inside == value) found = name.outside;
  }
  return found;
}

}  // namespace

absl::Status ApplyAttention(const v1::AttentionSettings& from, const std::string& field,
                            memory::SpanSettings* settings) {
  absl::Status status = ApplyEnum(kPolicies, field + ".policy", from.policy(), &settings->policy);
  if (!status.ok()) return status;
  status = ApplyEnum(kRules, field + ".rule", from.rule(), &settings->rule);
  if (!status.ok()) return status;
  if (from.has_window_tokens()) settings->window_tokens = from.window_tokens();
  if (from.has_span_blocks()) settings->span_blocks = from.span_blocks();
  if (from.has_sink_blocks()) settings->sink_blocks = from.sink_blocks();
  if (from.has_first_candidates()) settings->first_candidates = from.first_candidates();
  if (from.has_candidate_budget()) settings->candidate_budget = from.candidate_budget();
  if (from.has_scan_channels()) settings->scan_channels = from.scan_channels();
  if (from.has_remap_positions()) settings->remap_positions = from.remap_positions();
  if (from.has_retrieve_in_prefill()) settings->retrieve_in_prefill = from.retrieve_in_prefill();
  return absl::OkStatus();
}

absl::StatusOr<memory::SpanSettings> NewSpanSettings(const v1::AttentionSettings& from,
                                                     const std::string& field,
                                                     const Engine& engine) {
  const EngineLimits& limits = engine.limits();
  memory::SpanSettings settings =
      memory::DefaultSpanSettings(engine.model().Geometry(limits.block_tokens).bounding);
  absl::Status status = ApplyAttention(from, field, &settings);
  if (!status.ok()) return status;
  status = memory::Validate(settings, limits.block_tokens, limits.query_chunk_tokens,
                            engine.model().description().trained_context);
  if (!status.ok()) return WithField(field, status);
  return settings;
}

v1::AttentionSettings ToProto(const memory::SpanSettings& settings) {
  v1::AttentionSettings to;
  to.set_policy(Outside(kPolicies, settings.policy));
  to.set_rule(Outside(kRules, settings.rule));
  to.set_window_tokens(settings.window_tokens);
  to.set_span_blocks(settings.span_blocks);
  to.set_sink_blocks(settings.sink_blocks);
  to.set_first_candidates(settings.first_candidates);
  to.set_candidate_budget(settings.candidate_budget);
  to.set_scan_channels(settings.scan_channels);
  to.set_remap_positions(settings.remap_positions);
  to.set_retrieve_in_prefill(settings.retrieve_in_prefill);
  return to;
}

}  // namespace eidetic
