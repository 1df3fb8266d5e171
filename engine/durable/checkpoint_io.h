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
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "memory/durable/checkpoint_record.h"
#include "memory/durable/extent_store.h"
#include "memory/late_pages.h"
#include "memory/session_image.h"
#include "memory/session_load.h"

namespace eidetic {

// What an image goes on from.
struct CheckpointBase {
  const memory::CheckpointManifest* manifest = nullptr;  // null: the image has everything
  memory::Position shared = 0;  // the states that it has up to here are states of the session
  size_t max_points = 0;        // states of past positions that are kept
};

// Everything that the image can read is appended and synced; what lies before that has the
// extents of `base`. The caller gets a reference to each extent of the manifest; after an error
// none.
absl::StatusOr<memory::CheckpointManifest> WriteExtents(memory::ExtentStore* store,
                                                        const memory::SessionImage& image,
                                                        const CheckpointBase& base,
                                                        memory::CheckpointBinding binding,
                                                        const std::atomic<bool>& stop);

// Fills `load` up to its position, where the manifest has `state`: the state, the index, then the
// pages that are not late. Precondition: CheckSizes has passed.
absl::Status ReadExtents(const memory::ExtentStore& store,
                         const memory::CheckpointManifest& manifest, const memory::ExtentRef& state,
                         memory::SessionLoad* load, const std::atomic<bool>& stop);

// Fills the late pages of that load, until all are written or nobody wants them. `landed`: called
// when all have come that a step waits for.
absl::Status ReadLatePages(const memory::ExtentStore& store,
                           const memory::CheckpointManifest& manifest, memory::LatePages* late,
                           const std::function<void()>& landed, const std::atomic<bool>& stop);

// The content of an extent that is a piece of a manifest. Errors: those of ExtentStore::Read.
absl::StatusOr<std::string> ReadPiece(const memory::ExtentStore& store,
                                      const memory::ExtentRef& ref);

// Calls `visit` for each extent that the manifest names.
template <typename Visit>
void ForEachExtent(const memory::CheckpointManifest& manifest, Visit visit) {
  for (const auto* layers : {&manifest.pages, &manifest.tiles, &manifest.pieces}) {
    for (const auto& layer : *layers) {
      for (const memory::ExtentRef& ref : layer) visit(ref);
    }
  }
  for (const memory::StateExtent& point : manifest.points) visit(point.state);
  visit(manifest.state);
}

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_DURABLE_CHECKPOINT_IO_H_
