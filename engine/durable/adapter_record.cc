#include "engine/durable/adapter_record.h"

#include "absl/strings/str_cat.h"

namespace eidetic {
namespace {

constexpr uint64_t kVersion = 1;

}  // namespace

std::string AdapterKeyOf(const AdapterName& adapter) {
  return absl::StrCat(kAdapterPrefix, adapter.tenant, "/", adapter.adapter);
}

absl::StatusOr<AdapterName> ParseAdapterKey(std::string_view key) {
  const size_t prefix = std::string_view(kAdapterPrefix).size();
  const size_t slash = key.find('/', prefix);
  if (slash != key.npos) {
    AdapterName name{std::string(key.substr(prefix, slash - prefix)),
                     std::string(key.substr(slash + 1))};
    if (SessionName::IsSegment(name.tenant) && SessionName::IsSegment(name.adapter)) return name;
  }
  return absl::DataLossError("journal: an adapter's key is damaged");
}

std::string Encode(const AdapterRecord& record) {
  memory::RecordWriter to;
  to.Varint(kVersion);
  to.String(record.folder);
  to.String(record.content_hash);
  to.Signed(absl::ToUnixNanos(record.create_time));
  return to.Take();
}

absl::StatusOr<AdapterRecord> DecodeAdapterRecord(std::string_view bytes) {
  memory::RecordReader from(bytes);
  if (from.Varint() != kVersion) {
    return absl::DataLossError(
        "journal: an adapter is of a version that this server does not know; start a newer server");
  }
  AdapterRecord record;
  record.folder = from.String();
  record.content_hash = from.String();
  record.create_time = absl::FromUnixNanos(from.Signed());
  const absl::Status status = from.Finish("adapter");
  if (!status.ok()) return status;
  return record;
}

void Put(const AdapterBinding& binding, memory::RecordWriter* to) {
  to->String(binding.adapter);
  to->String(binding.content_hash);
}

AdapterBinding TakeAdapterBinding(memory::RecordReader* from) {
  AdapterBinding binding;
  binding.adapter = from->String();
  binding.content_hash = from->String();
  return binding;
}

}  // namespace eidetic
