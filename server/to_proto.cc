#include "server/to_proto.h"

#include <string_view>

#include "server/attention_convert.h"

namespace eidetic {
namespace {

google::protobuf::Timestamp Timestamp(absl::Time time) {
  const int64_t nanos = absl::ToUnixNanos(time);
  google::protobuf::Timestamp to;
  to.set_seconds(nanos / 1'000'000'000);
  to.set_nanos(nanos % 1'000'000'000);
  return to;
}

void SetToken(TokenId token, float logprob, const Tokenizer& tokenizer, v1::TokenLogprob* to) {
  to->set_token(token);
  to->set_logprob(logprob);
  // A model's vocabulary may be padded beyond the tokenizer's.
  if (token >= tokenizer.vocab_size()) return;
  const std::string_view bytes = tokenizer.TokenBytes(token);
  to->set_token_bytes(bytes.data(), bytes.size());
}

void SetPassage(const PassageUse& passage, v1::Passage* to) {
  to->set_begin_position(passage.begin);
  to->set_end_position(passage.end);
  to->set_text(passage.text);
  to->set_mass(passage.mass);
}

v1::FinishReason ToProto(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStopToken:
      return v1::FINISH_REASON_STOP_TOKEN;
    case FinishReason::kStopString:
      return v1::FINISH_REASON_STOP_STRING;
    case FinishReason::kMaxTokens:
      return v1::FINISH_REASON_MAX_TOKENS;
  }
  return v1::FINISH_REASON_UNSPECIFIED;
}

v1::SessionTier ToProto(SessionTier tier) {
  switch (tier) {
    case SessionTier::kDevice:
      return v1::SESSION_TIER_DEVICE;
    case SessionTier::kHost:
      return v1::SESSION_TIER_HOST;
    case SessionTier::kAsleep:
      return v1::SESSION_TIER_DISK;
  }
  return v1::SESSION_TIER_UNSPECIFIED;
}

}  // namespace

v1::Model ToProto(const ServedModel& served) {
  const HybridModel& model = served.engine->model();
  const ModelDescription& description = model.description();
  const EngineLimits& limits = served.engine->limits();
  v1::Model to;
  to.set_name(served.name);
  to.set_family(description.family);
  to.set_parameter_count(model.parameter_count());
  to.set_vocab_size(description.vocab_size);
  to.set_layer_count(description.layers.size());
  to.set_attention_layer_count(description.attention_layers());
  to.set_trained_context_tokens(description.trained_context);
  to.set_content_hash(model.content_hash());
  to.set_block_tokens(limits.block_tokens);
  to.set_query_chunk_tokens(limits.query_chunk_tokens);
  for (const TokenId token : description.end_tokens) to.add_end_tokens(token);
  to.set_backend(served.backend);
  return to;
}

v1::Adapter ToProto(const AdapterInfo& info) {
  v1::Adapter to;
  to.set_name(info.name.ToString());
  to.set_folder(info.folder);
  to.set_content_hash(info.content_hash);
  *to.mutable_create_time() = Timestamp(info.create_time);
  to.set_memory_bytes(info.memory_bytes);
  to.set_user_count(info.users);
  to.set_problem(info.problem);
  return to;
}

v1::Snapshot ToProto(const SnapshotInfo& info) {
  v1::Snapshot to;
  to.set_name(info.name.ToString());
  to.set_position(info.position);
  *to.mutable_create_time() = Timestamp(info.create_time);
  return to;
}

v1::Session ToProto(const SessionInfo& info, const ServedModel& served) {
  v1::Session to;
  to.set_name(info.name.ToString());
  to.set_model(served.name);
  *to.mutable_attention() = ToProto(info.settings);
  *to.mutable_create_time() = Timestamp(info.create_time);
  *to.mutable_update_time() = Timestamp(info.update_time);
  to.set_position(info.position);
  to.set_computed_position(info.computed);
  to.set_busy(info.busy);
  to.set_memory_bytes(info.memory_bytes);
  to.set_host_bytes(info.host_bytes);
  to.set_disk_bytes(info.disk_bytes);
  to.set_tier(ToProto(info.tier));
  *to.mutable_last_use_time() = Timestamp(info.last_use_time);
  to.set_bit_identical(info.bit_identical);
  to.mutable_expire_after()->set_seconds(absl::ToInt64Seconds(info.expire_after));
  to.set_damage(info.damage);
  if (!info.adapter.empty()) {
    to.set_adapter(AdapterName{info.name.tenant, info.adapter}.ToString());
  }
  return to;
}

v1::LogprobEntry ToProto(const SampledToken& token, const Tokenizer& tokenizer) {
  v1::LogprobEntry to;
  SetToken(token.token, token.logprob, tokenizer, to.mutable_chosen());
  for (const TokenLogprob& other : token.top) {
    SetToken(other.token, other.logprob, tokenizer, to.add_top());
  }
  return to;
}

v1::ScoreResponse ToProto(std::span<const SampledToken> scored, const Tokenizer& tokenizer) {
  v1::ScoreResponse to;
  double total = 0;
  for (const SampledToken& token : scored) {
    *to.add_entries() = ToProto(token, tokenizer);
    total += token.logprob;
  }
  to.set_scored_tokens(scored.size());
  to.set_total_logprob(total);
  return to;
}

v1::SearchMemoryResponse ToProto(const Engine::SearchResult& result, int32_t block_tokens) {
  v1::SearchMemoryResponse to;
  for (const PassageUse& passage : result.passages) SetPassage(passage, to.add_passages());
  for (const SpanUse& use : result.blocks) {
    v1::RetrievedBlock* block = to.add_blocks();
    block->set_block(use.block);
    // Only complete blocks are retrieved.
    block->set_begin_position(int64_t{use.block} * block_tokens);
    block->set_end_position((int64_t{use.block} + 1) * block_tokens);
    block->set_mass(use.mass);
  }
  return to;
}

v1::GenerateStart ToProto(const GenerationStart& start) {
  v1::GenerateStart to;
  to.set_seed(start.seed);
  to.set_position(start.position);
  to.set_prompt_tokens(start.prompt_tokens);
  return to;
}

v1::TokenDelta ToProto(const TokenEvent& event, bool logprobs, const Tokenizer& tokenizer) {
  v1::TokenDelta to;
  to.set_sequence_number(event.sequence_number);
  to.set_position(event.position);
  to.set_token(event.token.token);
  to.set_text(event.text);
  if (logprobs) *to.mutable_logprob() = ToProto(event.token, tokenizer);
  for (const memory::BlockIndex block : event.blocks) to.add_blocks(block);
  return to;
}

v1::GenerateFinish ToProto(const GenerationFinish& finish) {
  v1::GenerateFinish to;
  to.set_finish_reason(ToProto(finish.reason));
  to.set_stop_string(finish.stop_string);
  if (finish.stop_token) to.set_stop_token(*finish.stop_token);
  to.set_text(finish.text);
  to.mutable_usage()->set_prompt_tokens(finish.prompt_tokens);
  to.mutable_usage()->set_generated_tokens(finish.generated_tokens);
  to.set_position(finish.position);
  for (const PassageUse& passage : finish.passages) SetPassage(passage, to.add_passages());
  return to;
}

}  // namespace eidetic
