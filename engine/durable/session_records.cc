#include "engine/durable/session_records.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/durable/adapter_record.h"
#include "engine/durable/settings_record.h"
#include "memory/durable/record.h"

namespace eidetic {
namespace {

using memory::RecordReader;
using memory::RecordWriter;

constexpr uint64_t kVersion = 2;  // of every record; another is refused,
// but for this one: of a record that ends with an adapter, which older servers must not overlook.
constexpr uint64_t kAdapterVersion = 3;

void PutTime(absl::Time time, RecordWriter* to) { to->Signed(absl::ToUnixNanos(time)); }
absl::Time TakeTime(RecordReader* from) { return absl::FromUnixNanos(from->Signed()); }

void Put(const std::vector<LogSegment>& segments, RecordWriter* to) {
  to->Varint(segments.size());
  for (const LogSegment& segment : segments) {
    to->Fixed64(segment.log);
    to->Varint(static_cast<uint64_t>(segment.begin));
  }
}

memory::Position TakePosition(RecordReader* from) {
  return static_cast<memory::Position>(from->AtMost(INT64_MAX));
}

std::vector<LogSegment> TakeSegments(RecordReader* from) {
  std::vector<LogSegment> segments(from->Count(9));
  for (LogSegment& segment : segments) {
    segment.log = from->Fixed64();
    segment.begin = TakePosition(from);
  }
  return segments;
}

void Put(const SamplingParams& s, RecordWriter* to) {
  for (float value : {s.temperature, s.top_p, s.min_p, s.repetition_penalty, s.presence_penalty,
                      s.frequency_penalty}) {
    to->Float(value);
  }
  to->Signed(s.top_k);
  to->Signed(s.top_logprobs);
  to->Fixed64(s.seed);
  to->Varint(s.logit_bias.size());
  for (const auto& [token, bias] : s.logit_bias) {
    to->Signed(token);
    to->Float(bias);
  }
}

SamplingParams TakeSampling(RecordReader* from) {
  SamplingParams s;
  for (float* value : {&s.temperature, &s.top_p, &s.min_p, &s.repetition_penalty,
                       &s.presence_penalty, &s.frequency_penalty}) {
    *value = from->Float();
  }
  s.top_k = static_cast<int32_t>(from->Signed());
  s.top_logprobs = static_cast<int32_t>(from->Signed());
  s.seed = from->Fixed64();
  s.logit_bias.resize(from->Count(5));
  for (auto& [token, bias] : s.logit_bias) {
    token = static_cast<int32_t>(from->Signed());
    bias = from->Float();
  }
  return s;
}

void Put(const GenerationSettings& s, RecordWriter* to) {
  Put(s.sampling, to);
  to->Signed(s.max_tokens);
  to->Varint(s.stop_strings.size());
  for (const std::string& stop : s.stop_strings) to->String(stop);
  PutTokens(s.stop_tokens, to);
}

GenerationSettings TakeGenerationSettings(RecordReader* from) {
  GenerationSettings s;
  s.sampling = TakeSampling(from);
  s.max_tokens = static_cast<int32_t>(from->Signed());
  s.stop_strings.resize(from->Count(1));
  for (std::string& stop : s.stop_strings) stop = from->String();
  s.stop_tokens = TakeTokens(from);
  return s;
}

RecordWriter NewRecord(const AdapterBinding& adapter = {}) {
  RecordWriter to;
  to.Varint(adapter.empty() ? kVersion : kAdapterVersion);
  return to;
}

// The end of a record that NewRecord began with this adapter.
std::string EndRecord(const AdapterBinding& adapter, RecordWriter to) {
  if (!adapter.empty()) Put(adapter, &to);
  return to.Take();
}

// Reads a record's version, gives the rest to `take`, and checks that nothing is left.
template <typename Record, typename Take>
absl::StatusOr<Record> DecodeWith(std::string_view bytes, std::string_view what, Take take) {
  RecordReader from(bytes);
  constexpr bool kMayHaveAdapter = requires(Record record) { record.adapter; };
  const uint64_t version = from.Varint();
  if (version != kVersion && !(kMayHaveAdapter && version == kAdapterVersion)) {
    return absl::DataLossError(
        absl::StrCat("journal: a ", absl::string_view(what.data(), what.size()),
                     " is of a version that this server does not know; start a newer server"));
  }
  Record record;
  take(&from, &record);
  if constexpr (kMayHaveAdapter) {
    if (version == kAdapterVersion) record.adapter = TakeAdapterBinding(&from);
  }
  const absl::Status status = from.Finish(what);
  if (!status.ok()) return status;
  return record;
}

}  // namespace

std::string Encode(const SessionRecord& record) {
  RecordWriter to = NewRecord(record.adapter);
  Put(record.segments, &to);
  Put(record.settings, &to);
  PutTime(record.create_time, &to);
  return EndRecord(record.adapter, std::move(to));
}

template <>
absl::StatusOr<SessionRecord> Decode(std::string_view bytes) {
  return DecodeWith<SessionRecord>(bytes, "session", [](RecordReader* from, SessionRecord* record) {
    record->segments = TakeSegments(from);
    record->settings = TakeSettingsHistory(from);
    record->create_time = TakeTime(from);
  });
}

std::string Encode(const SnapshotRecord& record) {
  RecordWriter to = NewRecord();
  Put(record.segments, &to);
  to.Varint(static_cast<uint64_t>(record.position));
  Put(record.settings, &to);
  PutTime(record.create_time, &to);
  return to.Take();
}

template <>
absl::StatusOr<SnapshotRecord> Decode(std::string_view bytes) {
  return DecodeWith<SnapshotRecord>(bytes, "snapshot", [](RecordReader* from, auto* record) {
    record->segments = TakeSegments(from);
    record->position = TakePosition(from);
    record->settings = TakeSettingsHistory(from);
    record->create_time = TakeTime(from);
  });
}

std::string Encode(const ExpiryRecord& record) {
  RecordWriter to = NewRecord();
  to.Signed(absl::ToInt64Nanoseconds(record.expire_after));
  PutTime(record.last_use, &to);
  return to.Take();
}

template <>
absl::StatusOr<ExpiryRecord> Decode(std::string_view bytes) {
  return DecodeWith<ExpiryRecord>(bytes, "expiry", [](RecordReader* from, ExpiryRecord* record) {
    record->expire_after = absl::Nanoseconds(from->Signed());
    record->last_use = TakeTime(from);
  });
}

std::string Encode(const LogEnd& record) {
  RecordWriter to = NewRecord();
  to.Varint(static_cast<uint64_t>(record.end));
  PutTime(record.update_time, &to);
  return to.Take();
}

template <>
absl::StatusOr<LogEnd> Decode(std::string_view bytes) {
  return DecodeWith<LogEnd>(bytes, "log's end", [](RecordReader* from, LogEnd* record) {
    record->end = TakePosition(from);
    record->update_time = TakeTime(from);
  });
}

std::string EncodeRun(memory::TokenKind kind, std::span<const memory::TokenId> tokens) {
  RecordWriter to = NewRecord();
  to.Varint(static_cast<uint8_t>(kind));
  PutTokens(tokens, &to);
  return to.Take();
}

template <>
absl::StatusOr<RunRecord> Decode(std::string_view bytes) {
  return DecodeWith<RunRecord>(bytes, "run", [](RecordReader* from, RunRecord* record) {
    record->kind = static_cast<memory::TokenKind>(
        from->AtMost(static_cast<uint64_t>(memory::TokenKind::kGenerated)));
    record->tokens = TakeTokens(from);
  });
}

std::string Encode(const CreationRecord& record) {
  RecordWriter to = NewRecord();
  to.String(record.session);
  to.String(record.fingerprint);
  PutTime(record.when, &to);
  return to.Take();
}

template <>
absl::StatusOr<CreationRecord> Decode(std::string_view bytes) {
  return DecodeWith<CreationRecord>(bytes, "creation", [](RecordReader* from, auto* record) {
    record->session = from->String();
    record->fingerprint = from->String();
    record->when = TakeTime(from);
  });
}

std::string Encode(const RequestRecord& record) {
  RecordWriter to = NewRecord(record.adapter);
  to.String(record.fingerprint);
  Put(record.settings, &to);
  to.Varint(record.token_blocks);
  to.Varint(static_cast<uint64_t>(record.prompt_begin));
  to.Varint(static_cast<uint64_t>(record.prompt_tokens));
  PutTime(record.last_used, &to);
  to.Varint(static_cast<uint64_t>(record.error.code()));
  to.String(std::string_view(record.error.message().data(), record.error.message().size()));
  Put(record.span, &to);
  PutTokens(record.prompt, &to);
  return EndRecord(record.adapter, std::move(to));
}

template <>
absl::StatusOr<RequestRecord> Decode(std::string_view bytes) {
  return DecodeWith<RequestRecord>(bytes, "request", [](RecordReader* from, RequestRecord* record) {
    record->fingerprint = from->String();
    record->settings = TakeGenerationSettings(from);
    record->token_blocks = from->AtMost(1) == 1;
    record->prompt_begin = TakePosition(from);
    record->prompt_tokens = static_cast<int32_t>(from->AtMost(INT32_MAX));
    record->last_used = TakeTime(from);
    const uint64_t code = from->AtMost(static_cast<uint64_t>(absl::StatusCode::kUnauthenticated));
    const std::string_view message = from->String();
    record->error = absl::Status(static_cast<absl::StatusCode>(code),
                                 absl::string_view(message.data(), message.size()));
    record->span = TakeSpanSettings(from);
    record->prompt = TakeTokens(from);
  });
}

std::string Encode(const TokenRecord& record) {
  RecordWriter to = NewRecord();
  to.Signed(record.sampled.token);
  to.Float(record.sampled.logprob);
  to.Varint(record.sampled.top.size());
  for (const TokenLogprob& top : record.sampled.top) {
    to.Signed(top.token);
    to.Float(top.logprob);
  }
  to.Varint(record.retrieved);
  to.Varint(record.span.size());
  for (const SpanUse& use : record.span) {
    to.Signed(use.block);
    to.Double(use.mass);
  }
  return to.Take();
}

template <>
absl::StatusOr<TokenRecord> Decode(std::string_view bytes) {
  return DecodeWith<TokenRecord>(bytes, "token", [](RecordReader* from, TokenRecord* record) {
    record->sampled.token = static_cast<int32_t>(from->Signed());
    record->sampled.logprob = from->Float();
    record->sampled.top.resize(from->Count(5));
    for (TokenLogprob& top : record->sampled.top) {
      top.token = static_cast<int32_t>(from->Signed());
      top.logprob = from->Float();
    }
    record->retrieved = from->AtMost(1) == 1;
    record->span.resize(from->Count(9));
    for (SpanUse& use : record->span) {
      use.block = static_cast<memory::BlockIndex>(from->Signed());
      use.mass = from->Double();
    }
  });
}

}  // namespace eidetic
