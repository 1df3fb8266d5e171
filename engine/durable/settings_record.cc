#include "engine/durable/settings_record.h"

namespace eidetic {

using memory::RecordReader;
using memory::RecordWriter;

void PutTokens(std::span<const memory::TokenId> tokens, RecordWriter* to) {
  to->Varint(tokens.size());
  for (memory::TokenId token : tokens) to->Varint(static_cast<uint32_t>(token));
}

std::vector<memory::TokenId> TakeTokens(RecordReader* from) {
  std::vector<memory::TokenId> tokens(from->Count(1));
  for (memory::TokenId& token : tokens) token = static_cast<int32_t>(from->AtMost(INT32_MAX));
  return tokens;
}

void Put(const memory::SpanSettings& s, RecordWriter* to) {
  to->Varint(static_cast<uint8_t>(s.policy));
  to->Varint(static_cast<uint8_t>(s.rule));
  for (int32_t value : {s.window_tokens, s.span_blocks, s.sink_blocks, s.first_candidates,
                        s.candidate_budget, s.scan_channels}) {
    to->Signed(value);
  }
  to->Varint(s.remap_positions);
  to->Varint(s.retrieve_in_prefill);
}

memory::SpanSettings TakeSpanSettings(RecordReader* from) {
  memory::SpanSettings s;
  s.policy = static_cast<memory::AttentionPolicy>(
      from->AtMost(static_cast<uint64_t>(memory::AttentionPolicy::kWindow)));
  s.rule = static_cast<memory::RetrievalRule>(
      from->AtMost(static_cast<uint64_t>(memory::RetrievalRule::kPooled)));
  for (int32_t* value : {&s.window_tokens, &s.span_blocks, &s.sink_blocks, &s.first_candidates,
                         &s.candidate_budget, &s.scan_channels}) {
    *value = static_cast<int32_t>(from->Signed());
  }
  s.remap_positions = from->AtMost(1) == 1;
  s.retrieve_in_prefill = from->AtMost(1) == 1;
  return s;
}

}  // namespace eidetic
