#include "memory/durable/rocks_status.h"

#include "absl/strings/str_cat.h"

namespace eidetic::memory {

absl::Status FromRocks(const rocksdb::Status& status, const std::string& folder) {
  if (status.ok()) return absl::OkStatus();
  const std::string message = absl::StrCat("journal in ", folder, ": ", status.ToString());
  if (status.IsCorruption()) return absl::DataLossError(message);
  if (status.IsNoSpace() || status.subcode() == rocksdb::Status::kSpaceLimit) {
    return absl::ResourceExhaustedError(message);
  }
  return absl::UnavailableError(message);
}

}  // namespace eidetic::memory
