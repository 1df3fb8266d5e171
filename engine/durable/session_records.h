// What the journal keeps of sessions and requests.
//
// What: plain structs of what must outlive the process, and their bytes. Nothing
//   here that can be computed again: text, passages and logits come from replaying tokens.
// Thread safety: pure. Ownership: values. Preconditions: names were parsed.
// Errors: decoding gives DATA_LOSS, naming the record; it never trusts a length.
//
#ifndef EIDETIC_ENGINE_DURABLE_SESSION_RECORDS_H_
#define EIDETIC_ENGINE_DURABLE_SESSION_RECORDS_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/durable/session_keys.h"
#include "engine/scheduler/generation.h"
#include "memory/ids.h"
#include "memory/settings_history.h"
#include "memory/span_settings.h"
#include "memory/token_log.h"

namespace eidetic {

struct SessionRecord {
  std::vector<LogSegment> segments;  // begins rise from 0
  memory::SettingsHistory settings;
  absl::Time create_time;
  AdapterBinding adapter = {};
};

struct SnapshotRecord {
  std::vector<LogSegment> segments;  // begins rise from 0; all below `position`
  memory::Position position = 0;
  memory::SettingsHistory settings;
  absl::Time create_time;
};

struct ExpiryRecord {
  absl::Duration expire_after;
  absl::Time last_use;  // to within a sixteenth of that
};

struct LogEnd {
  memory::Position end = 0;
  absl::Time update_time;
};

struct RunRecord {
  memory::TokenKind kind = memory::TokenKind::kAppended;
  std::vector<memory::TokenId> tokens;
};

struct CreationRecord {
  std::string session;  // of the same tenant
  std::string fingerprint;
  absl::Time when;
};

struct RequestRecord {
  std::string fingerprint;
  GenerationSettings settings;
  bool token_blocks = false;
  memory::Position prompt_begin = 0;
  int32_t prompt_tokens = 0;
  absl::Time last_used;
  absl::Status error;  // not OK: what it ended with
  // Of a request without a session.
  memory::SpanSettings span;
  std::vector<memory::TokenId> prompt;
  AdapterBinding adapter = {};
};

struct TokenRecord {
  SampledToken sampled;
  bool retrieved = false;     // its step chose a span
  std::vector<SpanUse> span;  // that span
};

std::string Encode(const SessionRecord& record);
std::string Encode(const SnapshotRecord& record);
std::string Encode(const ExpiryRecord& record);
std::string Encode(const LogEnd& record);
std::string EncodeRun(memory::TokenKind kind, std::span<const memory::TokenId> tokens);
std::string Encode(const CreationRecord& record);
std::string Encode(const RequestRecord& record);
std::string Encode(const TokenRecord& record);

template <typename Record>
absl::StatusOr<Record> Decode(std::string_view bytes);  // one of the structs above

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_DURABLE_SESSION_RECORDS_H_
