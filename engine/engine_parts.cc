#include "engine/engine_parts.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/engine_impl.h"

namespace eidetic {
namespace {

absl::Status CheckPositive(const EngineLimits& limits) {
  const std::pair<const char*, int64_t> values[] = {
      {"max_batch_sequences", limits.plan.max_batch_sequences},
      {"max_batch_tokens", limits.plan.max_batch_tokens},
      {"max_pages", limits.memory.max_pages},
      {"max_state_slots", limits.memory.max_state_slots},
      {"state_checkpoint_tokens", limits.memory.points.spacing_tokens},
      {"query_chunk_tokens", limits.query_chunk_tokens},
      {"max_sessions", limits.max_sessions},
      {"max_sequences", limits.max_sequences},
      {"max_tenant_sequences", limits.max_tenant_sequences},
      {"max_generated_tokens", limits.max_generated_tokens},
      {"max_score_tokens", limits.max_score_tokens},
      {"max_reader_lag_events", limits.max_reader_lag_events},
      {"max_journal_waiting_bytes", limits.max_journal_waiting_bytes},
      {"max_requests_per_session", limits.max_requests_per_session},
      {"checkpoint_tokens", limits.keeping.checkpoint_tokens},
      {"max_checkpoints_under_way", limits.keeping.max_checkpoints_under_way},
  };
  for (const auto& [field, value] : values) {
    if (value >= 1) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(field, ": is ", value, "; it must be at least 1"));
  }
  return absl::OkStatus();
}

absl::Status CheckLimits(const EngineLimits& limits) {
  if (absl::Status status = CheckPositive(limits); !status.ok()) return status;
  if (limits.block_tokens < 16 || limits.block_tokens > 256 || limits.block_tokens % 16 != 0) {
    return absl::InvalidArgumentError(absl::StrCat("block_tokens: is ", limits.block_tokens,
                                                   "; it must be a multiple of 16 up to 256"));
  }
  if (limits.request_retention < absl::ZeroDuration()) {
    return absl::InvalidArgumentError("request_retention: is negative");
  }
  const std::pair<const char*, absl::Duration> durations[] = {
      {"checkpoint_idle", limits.keeping.checkpoint_idle},
      {"sleep_after", limits.keeping.sleep_after},
      {"checkpoint_retry", limits.keeping.checkpoint_retry},
  };
  for (const auto& [field, value] : durations) {
    if (value < absl::ZeroDuration()) {
      return absl::InvalidArgumentError(absl::StrCat(field, ": is negative"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> CreateEngine(EngineParts parts) {
  if (absl::Status status = CheckLimits(parts.options.limits); !status.ok()) return status;
  const int32_t text_tokens = parts.tokenizer->vocab_size();
  const int32_t model_tokens = parts.model->description().vocab_size;
  if (text_tokens > model_tokens) {
    return absl::InvalidArgumentError(
        absl::StrCat("tokenizer.json: has ", text_tokens, " tokens and the model's vocab_size is ",
                     model_tokens, "; take both from the same model folder"));
  }
  auto engine = std::make_unique<EngineImpl>(std::move(parts));
  if (absl::Status status = engine->Start(); !status.ok()) return status;
  return engine;
}

}  // namespace eidetic
