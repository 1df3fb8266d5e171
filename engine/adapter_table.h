// The adapters of all tenants: loaded, listed and unloaded while the engine serves.
//
// What: an adapter is a folder of its tenant's, "<adapters' folder>/<tenant>/<folder>", known by a
//   name. It stays loaded while a session or a request holds it. The journal remembers which were
//   loaded, with their content, so that they are there after a restart.
// Thread safety: Read is thread-safe; the rest is the engine's loop's. Ownership: shares adapters
//   with sessions; borrows model and ledger, which outlive it. Preconditions: names were parsed.
#ifndef EIDETIC_ENGINE_ADAPTER_TABLE_H_
#define EIDETIC_ENGINE_ADAPTER_TABLE_H_

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/adapter.h"
#include "engine/durable/ledger.h"
#include "engine/engine.h"
#include "engine/layers/hybrid_model.h"
#include "memory/durable/journal.h"

namespace eidetic {

class AdapterTable {
 public:
  struct Rules {
    std::filesystem::path folder;  // empty: nothing can be loaded
    int32_t max_adapters = 0;
    int64_t max_adapter_bytes = 0;  // of one's file
  };
  AdapterTable(HybridModel* model, Ledger* ledger, Rules rules, std::function<absl::Time()> now)
      : model_(model), ledger_(ledger), rules_(std::move(rules)), now_(std::move(now)) {}

  // The files of folder `folder` of the tenant, checked as far as that goes without the model.
  // Slow. FAILED_PRECONDITION (the server has no adapters' folder), NOT_FOUND, INVALID_ARGUMENT.
  absl::StatusOr<std::unique_ptr<AdapterWeights>> Read(const std::string& tenant,
                                                       const std::string& folder) const;
  // As Engine::LoadAdapter, with what Read gave.
  absl::StatusOr<AdapterInfo> Load(const AdapterName& name, const std::string& folder,
                                   const AdapterWeights& weights);
  absl::Status Unload(const AdapterName& name);
  // Adapters of `tenant` whose id is greater than `after`, ascending, at most `limit`.
  std::vector<AdapterInfo> List(const std::string& tenant, const std::string& after,
                                int32_t limit) const;

  // NOT_FOUND.
  absl::StatusOr<AdapterRef> Find(const AdapterName& name) const;
  // The one with this content, under this name or another of the tenant's. FAILED_PRECONDITION
  // when there is none. Nothing bound: null, the base model.
  absl::StatusOr<AdapterRef> FindContent(const std::string& tenant,
                                         const AdapterBinding& binding) const;
  // That which a session of `tenant` was bound to, loaded or not. Nothing bound: null.
  AdapterRef Bound(const std::string& tenant, const AdapterBinding& binding);

  // Makes the table what `journal` says, and loads what is not loaded. What can not be loaded is
  // known without its weights.
  absl::Status Restore(const memory::Journal& journal);

 private:
  using Entry = std::shared_ptr<Adapter>;
  AdapterInfo InfoOf(const Entry& entry) const;
  absl::Status CheckNew(const AdapterName& name, const std::string& content_hash) const;
  // Gives the entry its weights, or the reason why it has none.
  void LoadAgain(Adapter* adapter);

  HybridModel* model_;
  Ledger* ledger_;
  const Rules rules_;
  std::function<absl::Time()> now_;
  std::map<AdapterName, Entry> entries_;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_ADAPTER_TABLE_H_
