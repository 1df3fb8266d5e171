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

void Put(const memory::SettingsHistory& history, RecordWriter* to) {
  const auto parts = history.parts();
  Put(parts[0].settings, to);
  to->Varint(parts.size() - 1);
  for (size_t i = 1; i < parts.size(); ++i) {
    to->Varint(static_cast<uint64_t>(parts[i].begin - parts[i - 1].begin - 1));
    Put(parts[i].settings, to);
  }
}

memory::SettingsHistory TakeSettingsHistory(RecordReader* from) {
  memory::SettingsHistory history(TakeSpanSettings(from));
  uint64_t begin = 0;
  for (uint64_t left = from->AtMost(memory::kMaxSettingsParts - 1); left > 0 && from->ok();
       --left) {
    if (begin == INT64_MAX) break;  // nothing can begin later: the reader is not at its end
    begin += from->AtMost(INT64_MAX - begin - 1) + 1;
    history.Change(static_cast<memory::Position>(begin), TakeSpanSettings(from));
  }
  return history;
}

}  // namespace eidetic
