// An adapter of a tenant, as the table and the sessions that it computes share it.
//
// Thread safety: none; the engine's loop owns it. Ownership: shares the adapter's weights.
// Preconditions: none.
#ifndef EIDETIC_ENGINE_ADAPTER_H_
#define EIDETIC_ENGINE_ADAPTER_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "engine/layers/model_adapter.h"
#include "engine/session_name.h"

namespace eidetic {

struct Adapter {
  AdapterName name;
  std::string content_hash;
  std::string folder;  // below the tenant's
  absl::Time create_time;
  std::shared_ptr<const ModelAdapter> weights;  // null: it is not loaded
  std::string problem;                          // then: why
};
// Null: the base model.
using AdapterRef = std::shared_ptr<const Adapter>;

inline AdapterBinding BindingOf(const AdapterRef& adapter) {
  if (adapter == nullptr) return {};
  return {adapter->name.adapter, adapter->content_hash};
}

// FAILED_PRECONDITION when it has no weights to compute with.
inline absl::Status CheckLoaded(const AdapterRef& adapter) {
  if (adapter == nullptr || adapter->weights != nullptr) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "adapter: ", adapter->name.ToString(), " with content hash ", adapter->content_hash,
      " is not loaded: ", adapter->problem, "; load it again (LoadAdapter), then retry"));
}

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_ADAPTER_H_
