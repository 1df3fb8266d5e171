// The parts of a manifest's bytes: bindings, lists of extents, pieces.
//
// Thread safety: pure. Ownership: values. Preconditions: what is read may be hostile; the reader
//   tells when it did not fit.
#ifndef EIDETIC_MEMORY_DURABLE_CHECKPOINT_PARTS_H_
#define EIDETIC_MEMORY_DURABLE_CHECKPOINT_PARTS_H_

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "memory/durable/checkpoint_record.h"
#include "memory/durable/extent_ref.h"
#include "memory/durable/record.h"

namespace eidetic::memory {

void Write(const CheckpointBinding& binding, RecordWriter& to);
void Read(RecordReader& from, CheckpointBinding& binding);

void Write(const ExtentRef& ref, RecordWriter& to);
void Read(RecordReader& from, ExtentRef& ref);
void Write(std::span<const ExtentRef> refs, RecordWriter& to);
// Adds to `refs`.
void Read(RecordReader& from, std::vector<ExtentRef>& refs);

void Write(const std::vector<StateExtent>& points, RecordWriter& to);
void Read(RecordReader& from, std::vector<StateExtent>& points);

using ExtentLists = std::vector<std::vector<ExtentRef>>;
// Of each list, what lies in [first, last).
void Write(const ExtentLists& lists, int64_t first, int64_t last, RecordWriter& to);
// Adds to `lists`, which is empty or has as many lists; more are read and left out.
void Read(RecordReader& from, ExtentLists& lists);

// Pieces of `level` that pieces above name.
int64_t NamedAbove(const ExtentLists& pieces, size_t level);
// In each layer, those that pieces name.
int64_t BlocksInPieces(const CheckpointManifest& manifest);
int64_t TilesInPieces(const CheckpointManifest& manifest);
// Fills `manifest` with the pieces, of which `ends` are those that no piece above names, and with
// what they name. DATA_LOSS when a piece is none; errors of `read`.
absl::Status LoadPieces(const CheckpointManifest::ReadPiece& read, ExtentLists ends,
                        CheckpointManifest* manifest);

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_DURABLE_CHECKPOINT_PARTS_H_
