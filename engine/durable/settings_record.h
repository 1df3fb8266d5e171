// The bytes of tokens and of a session's settings, in the journal and in an export.
//
// Thread safety: pure. Ownership: values. Preconditions: none; what is read may be hostile: the
//   reader tells when it did not fit, and settings are still to be validated.
#ifndef EIDETIC_ENGINE_DURABLE_SETTINGS_RECORD_H_
#define EIDETIC_ENGINE_DURABLE_SETTINGS_RECORD_H_

#include <span>
#include <vector>

#include "memory/durable/record.h"
#include "memory/ids.h"
#include "memory/settings_history.h"
#include "memory/span_settings.h"

namespace eidetic {

void PutTokens(std::span<const memory::TokenId> tokens, memory::RecordWriter* to);
std::vector<memory::TokenId> TakeTokens(memory::RecordReader* from);

void Put(const memory::SpanSettings& settings, memory::RecordWriter* to);
memory::SpanSettings TakeSpanSettings(memory::RecordReader* from);

// The first part's settings; then how many parts follow, each: how many tokens after the one
// before it begins (varint, less 1), its settings.
void Put(const memory::SettingsHistory& history, memory::RecordWriter* to);
memory::SettingsHistory TakeSettingsHistory(memory::RecordReader* from);

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_DURABLE_SETTINGS_RECORD_H_
