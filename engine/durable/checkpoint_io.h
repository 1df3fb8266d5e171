// Writes an image of a session into extents, and reads a checkpoint's extents into memory.
//
// What: incremental: of complete blocks and tiles that an older checkpoint has, the extents are
//   named again, not written.
// Thread safety: any thread, one at a time for an image or a load. Ownership: as stated; borrows
//   the store.
// Preconditions: as stated. Errors: those of ExtentStore, and CANCELLED once `stop` is set.
#ifndef EIDETIC_ENGINE_DURABLE_CHECKPOINT_IO_H_
#define EIDETIC_ENGINE_DURABLE_CHECKPOINT_IO_H_

#include <atomic>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "memory/durable/checkpoint_record.h"
#include "memory/durable/extent_store.h"
#include "memory/session_image.h"
#include "memory/session_load.h"

namespace eidetic {

// Everything that the image can read is appended and synced; what lies before that has the
// extents of `base` (null: the image has everything). The caller gets a reference to each extent
// of the manifest; after an error none.
absl::StatusOr<memory::CheckpointManifest> WriteExtents(memory::ExtentStore* store,
                                                        const memory::SessionImage& image,
                                                        const memory::CheckpointManifest* base,
                                                        memory::CheckpointBinding binding,
                                                        const std::atomic<bool>& stop);

// Fills `load`: the state, the index, then the pages. Precondition: CheckSizes has passed,
// positions are equal.
absl::Status ReadExtents(const memory::ExtentStore& store,
                         const memory::CheckpointManifest& manifest, memory::SessionLoad* load,
                         const std::atomic<bool>& stop);

// Calls `visit` for each extent that the manifest names.
template <typename Visit>
void ForEachExtent(const memory::CheckpointManifest& manifest, Visit visit) {
  for (const auto* layers : {&manifest.pages, &manifest.tiles}) {
    for (const auto& layer : *layers) {
      for (const memory::ExtentRef& ref : layer) visit(ref);
    }
  }
  visit(manifest.state);
}

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_DURABLE_CHECKPOINT_IO_H_
