#include "engine/adapter_table.h"

#include <glog/logging.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "engine/durable/adapter_record.h"

namespace eidetic {
namespace {

constexpr size_t kMaxFolderChars = 128;

bool IsFolderName(const std::string& text) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  };
  return !text.empty() && text.size() <= kMaxFolderChars && text.front() != '.' &&
         std::all_of(text.begin(), text.end(), plain);
}

}  // namespace

absl::StatusOr<std::unique_ptr<AdapterWeights>> AdapterTable::Read(
    const std::string& tenant, const std::string& folder) const {
  if (rules_.folder.empty()) {
    return absl::FailedPreconditionError(
        "folder: the server has no folder of adapters; start it with --adapter_folder");
  }
  // One segment: no path leaves the tenant's folder.
  if (!IsFolderName(folder)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "folder: must be the name of a folder of the tenant's: letters, digits, '.', '_' and '-', "
        "no '.' at its beginning, at most ",
        kMaxFolderChars, " characters"));
  }
  const std::filesystem::path path = rules_.folder / tenant / folder;
  auto weights = AdapterWeights::Open(path, {.max_bytes = rules_.max_adapter_bytes});
  if (weights.ok()) return weights;
  // Where the server keeps its files is not the client's to know.
  const std::string message =
      absl::StrReplaceAll(weights.status().message(), {{path.string() + "/", ""}});
  return absl::Status(weights.status().code(), absl::StrCat("folder: ", message));
}

absl::Status AdapterTable::CheckNew(const AdapterName& name,
                                    const std::string& content_hash) const {
  if (absl::Status status = ledger_->CheckRoom(); !status.ok()) return status;
  const auto found = entries_.find(name);
  if (found != entries_.end() && found->second->content_hash != content_hash) {
    return absl::FailedPreconditionError(absl::StrCat(
        "adapter_id: ", name.ToString(), " has the content hash ", found->second->content_hash,
        ", and these files have ", content_hash, "; choose another id, or unload that one first"));
  }
  if (found == entries_.end() && entries_.size() >= static_cast<size_t>(rules_.max_adapters)) {
    return absl::ResourceExhaustedError(
        absl::StrCat("adapters: all ", rules_.max_adapters,
                     " are taken; unload some, or raise the server's limit of adapters"));
  }
  return absl::OkStatus();
}

absl::StatusOr<AdapterInfo> AdapterTable::Load(const AdapterName& name, const std::string& folder,
                                               const AdapterWeights& weights) {
  if (absl::Status status = CheckNew(name, weights.content_hash()); !status.ok()) return status;
  const auto found = entries_.find(name);
  const bool known = found != entries_.end();
  if (known && found->second->weights != nullptr) return InfoOf(found->second);
  auto loaded = model_->LoadAdapter(weights);
  if (!loaded.ok()) return loaded.status();
  const Entry entry = known ? found->second : std::make_shared<Adapter>();
  if (!known) {
    entry->name = name;
    entry->content_hash = weights.content_hash();
    entry->create_time = now_();
    entries_.emplace(name, entry);
  }
  entry->folder = folder;
  entry->weights = *std::move(loaded);
  entry->problem.clear();
  if (memory::JournalBatch* batch = ledger_->batch(); batch != nullptr) {
    batch->Put(AdapterKeyOf(name), Encode(AdapterRecord{.folder = folder,
                                                        .content_hash = entry->content_hash,
                                                        .create_time = entry->create_time}));
  }
  LOG(INFO) << "loaded " << name.ToString() << ", content hash " << entry->content_hash;
  return InfoOf(entry);
}

absl::Status AdapterTable::Unload(const AdapterName& name) {
  const auto found = entries_.find(name);
  if (found == entries_.end()) return NoSuchAdapter(name);
  if (absl::Status status = ledger_->CheckRoom(); !status.ok()) return status;
  const int64_t users = found->second.use_count() - 1;
  if (users > 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("name: ", users, " sessions and requests use ", name.ToString(),
                     "; delete the sessions, or let the requests end, then retry"));
  }
  entries_.erase(found);
  if (ledger_->batch() != nullptr) ledger_->batch()->Delete(AdapterKeyOf(name));
  LOG(INFO) << "unloaded " << name.ToString();
  return absl::OkStatus();
}

AdapterInfo AdapterTable::InfoOf(const Entry& entry) const {
  const auto held = entries_.find(entry->name);
  return {.name = entry->name,
          .folder = entry->folder,
          .content_hash = entry->content_hash,
          .create_time = entry->create_time,
          .memory_bytes = entry->weights == nullptr ? 0 : entry->weights->bytes,
          .users = held == entries_.end() ? 0 : held->second.use_count() - 1,
          .problem = entry->problem};
}

std::vector<AdapterInfo> AdapterTable::List(const std::string& tenant, const std::string& after,
                                            int32_t limit) const {
  std::vector<AdapterInfo> infos;
  for (auto it = entries_.upper_bound({tenant, after});
       it != entries_.end() && it->first.tenant == tenant; ++it) {
    if (infos.size() >= static_cast<size_t>(limit)) break;
    infos.push_back(InfoOf(it->second));
  }
  return infos;
}

absl::StatusOr<AdapterRef> AdapterTable::Find(const AdapterName& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) return NoSuchAdapter(name);
  return AdapterRef(found->second);
}

absl::StatusOr<AdapterRef> AdapterTable::FindContent(const std::string& tenant,
                                                     const AdapterBinding& binding) const {
  if (binding.empty()) return AdapterRef();
  AdapterRef same;
  for (auto it = entries_.lower_bound({tenant, ""});
       it != entries_.end() && it->first.tenant == tenant; ++it) {
    if (it->second->content_hash != binding.content_hash) continue;
    if (same == nullptr || it->first.adapter == binding.adapter) same = it->second;
  }
  if (same != nullptr) return same;
  return absl::FailedPreconditionError(absl::StrCat(
      "adapter: the export's session was computed with '", binding.adapter, "' of content hash ",
      binding.content_hash, ", which is not loaded for this tenant; load it first"));
}

AdapterRef AdapterTable::Bound(const std::string& tenant, const AdapterBinding& binding) {
  if (binding.empty()) return nullptr;
  const AdapterName name{tenant, binding.adapter};
  const auto found = entries_.find(name);
  if (found != entries_.end() && found->second->content_hash == binding.content_hash) {
    return found->second;
  }
  const bool other = found != entries_.end();
  auto missing = std::make_shared<Adapter>();
  missing->name = name;
  missing->content_hash = binding.content_hash;
  missing->problem = other ? "another content has its name" : "nobody loaded it";
  if (!other) entries_.emplace(name, missing);
  return missing;
}

void AdapterTable::LoadAgain(Adapter* adapter) {
  const auto weights = Read(adapter->name.tenant, adapter->folder);
  absl::Status status = weights.status();
  if (status.ok() && (*weights)->content_hash() != adapter->content_hash) {
    status = absl::FailedPreconditionError(
        absl::StrCat("its files changed, they have the content hash ", (*weights)->content_hash()));
  }
  if (status.ok()) {
    auto loaded = model_->LoadAdapter(**weights);
    status = loaded.status();
    if (loaded.ok()) adapter->weights = *std::move(loaded);
  }
  adapter->problem = std::string(status.message());
  if (!status.ok()) LOG(ERROR) << adapter->name.ToString() << " is not loaded: " << status;
}

absl::Status AdapterTable::Restore(const memory::Journal& journal) {
  const std::map<AdapterName, Entry> before = std::exchange(entries_, {});
  absl::Status status;
  const absl::Status scanned =
      journal.Scan(kAdapterPrefix, std::string(kAdapterPrefix), [&](auto key, auto value) {
        const absl::StatusOr<AdapterName> name = ParseAdapterKey(key);
        const absl::StatusOr<AdapterRecord> record =
            name.ok() ? DecodeAdapterRecord(value) : name.status();
        if (!record.ok()) {  // who is bound to it says so
          LOG(ERROR) << "left out: " << record.status();
          return true;
        }
        const auto old = before.find(*name);
        if (old != before.end() && old->second->content_hash == record->content_hash) {
          entries_.emplace(*name, old->second);
        } else {
          auto entry = std::make_shared<Adapter>();
          entry->name = *name;
          entry->content_hash = record->content_hash;
          entry->folder = record->folder;
          entry->create_time = record->create_time;
          entries_.emplace(*name, std::move(entry));
        }
        return true;
      });
  for (const auto& [name, entry] : entries_) {
    if (entry->weights == nullptr) LoadAgain(entry.get());
  }
  return scanned;
}

}  // namespace eidetic
