// What the journal keeps of loaded adapters, under a/{tenant}/{adapter}.
//
// Thread safety: pure. Ownership: values. Preconditions: names were parsed.
// Errors: DATA_LOSS, for keys and records of another form.
#ifndef EIDETIC_ENGINE_DURABLE_ADAPTER_RECORD_H_
#define EIDETIC_ENGINE_DURABLE_ADAPTER_RECORD_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/session_name.h"
#include "memory/durable/record.h"

namespace eidetic {

inline constexpr char kAdapterPrefix[] = "a/";

struct AdapterRecord {
  std::string folder, content_hash;
  absl::Time create_time;
};

std::string AdapterKeyOf(const AdapterName& adapter);
absl::StatusOr<AdapterName> ParseAdapterKey(std::string_view key);
std::string Encode(const AdapterRecord& record);
absl::StatusOr<AdapterRecord> DecodeAdapterRecord(std::string_view bytes);

// Part of others' records. An empty one is the base model.
void Put(const AdapterBinding& binding, memory::RecordWriter* to);
AdapterBinding TakeAdapterBinding(memory::RecordReader* from);

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_DURABLE_ADAPTER_RECORD_H_
