#include "memory/span_settings.h"

#include <glog/logging.h>

#include <string_view>

#include "absl/strings/str_cat.h"

namespace eidetic::memory {
namespace {

absl::Status InRange(absl::string_view field, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, " is ", value, "; it must be from ", low, " to ", high));
}

absl::Status CheckRanges(const SpanSettings& s) {
  const absl::Status checks[] = {
      InRange("policy", int64_t(s.policy), 0, int64_t(AttentionPolicy::kWindow)),
      InRange("rule", int64_t(s.rule), 0, int64_t(RetrievalRule::kPooled)),
      InRange("window_tokens", s.window_tokens, 1, kMaxWindowTokens),
      InRange("span_blocks", s.span_blocks, 0, kMaxSpanBlocks),
      InRange("sink_blocks", s.sink_blocks, 0, kMaxSinkBlocks),
      InRange("first_candidates", s.first_candidates, 1, kMaxCandidateBudget),
      InRange("candidate_budget", s.candidate_budget, 1, kMaxCandidateBudget),
      InRange("scan_channels", s.scan_channels, 0, kMaxScanChannels),
  };
  for (const absl::Status& check : checks) {
    if (!check.ok()) return check;
  }
  return absl::OkStatus();
}

absl::Status CheckCandidates(const SpanSettings& s) {
  if (s.policy != AttentionPolicy::kSeAttn || s.rule != RetrievalRule::kTwoStage) {
    return absl::OkStatus();
  }
  if (s.first_candidates > s.candidate_budget) {
    return absl::InvalidArgumentError(absl::StrCat("first_candidates is ", s.first_candidates,
                                                   "; it must not exceed candidate_budget, ",
                                                   s.candidate_budget));
  }
  if (s.span_blocks > s.candidate_budget) {
    return absl::InvalidArgumentError(absl::StrCat("candidate_budget is ", s.candidate_budget,
                                                   "; it must be at least span_blocks, ",
                                                   s.span_blocks));
  }
  return absl::OkStatus();
}

}  // namespace

SpanSettings DefaultSpanSettings(SummaryKind bounding) {
  SpanSettings settings;
  if (bounding == SummaryKind::kCodes) {
    settings.first_candidates = 96;
    settings.candidate_budget = 1024;
  }
  return settings;
}

SummaryKind SummaryFor(const SpanSettings& settings, SummaryKind bounding) {
  if (settings.policy != AttentionPolicy::kSeAttn) return SummaryKind::kNone;
  return SummaryFor(settings.rule, bounding);
}

SummaryKind SummaryFor(RetrievalRule rule, SummaryKind bounding) {
  switch (rule) {
    case RetrievalRule::kTwoStage:
      return bounding;
    case RetrievalRule::kBound:
      return SummaryKind::kBounds;
    case RetrievalRule::kExact:
      return SummaryKind::kNone;
    case RetrievalRule::kMean:
      return SummaryKind::kMean;
    case RetrievalRule::kPooled:
      return SummaryKind::kPooled;
  }
  LOG(FATAL) << "no rule " << int(rule);
}

absl::Status Validate(const SpanSettings& settings, int32_t block_size, int32_t query_chunk_tokens,
                      int32_t trained_context) {
  CHECK_GT(block_size, 0);
  CHECK_GT(query_chunk_tokens, 0);
  if (absl::Status status = CheckRanges(settings); !status.ok()) return status;
  if (absl::Status status = CheckCandidates(settings); !status.ok()) return status;
  if (!settings.remap_positions || settings.policy == AttentionPolicy::kFull) {
    return absl::OkStatus();
  }
  const int64_t span = settings.policy == AttentionPolicy::kSeAttn ? settings.span_blocks : 0;
  const int64_t reach = (span + settings.sink_blocks) * block_size + settings.window_tokens +
                        block_size + query_chunk_tokens;
  if (reach <= trained_context) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("window_tokens, span_blocks and sink_blocks reach over ", reach,
                   " positions and the model was trained for ", trained_context,
                   "; lower one of them, or set remap_positions to false"));
}

}  // namespace eidetic::memory
