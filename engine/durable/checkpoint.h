// A checkpoint of a session: what the journal keeps of it, and what it means to a session.
//
// What: the manifest, whose past it holds (a log and a position), and whether all of that was
//   computed by builds and devices of one kind.
// Thread safety: plain values and pure functions. Ownership: values; a Checkpoint that a
//   Checkpointer made keeps its extents alive.
// Preconditions: none; bytes may be hostile.
#ifndef EIDETIC_ENGINE_DURABLE_CHECKPOINT_H_
#define EIDETIC_ENGINE_DURABLE_CHECKPOINT_H_

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/durable/session_keys.h"
#include "memory/durable/checkpoint_record.h"
#include "memory/ids.h"
#include "memory/session_memory.h"

namespace eidetic {

struct CheckpointRecord {
  std::vector<LogSegment> segments;  // of the session's past up to the manifest's position
  bool bit_identical = true;
  memory::CheckpointManifest manifest;
};

// `bit_identical` as the session has it now.
std::string EncodeCheckpoint(const CheckpointRecord& record, bool bit_identical);
// Errors: those of CheckpointManifest::Decode.
absl::StatusOr<CheckpointRecord> DecodeCheckpoint(
    std::string_view bytes, const memory::CheckpointManifest::ReadPiece& read);

struct Checkpoint {
  CheckpointRecord record;
  // It can not be loaded; its extents are kept until the next checkpoint takes its place.
  bool refused = false;
  int64_t bytes = 0;  // of its extents; several checkpoints may share some
  memory::Position position() const { return record.manifest.position; }
  // Its state at `position`, which it has: its own, or that of a past position.
  const memory::ExtentRef& StateAt(memory::Position position) const;
};

// Those of `segments` that hold tokens before `position`.
std::vector<LogSegment> SegmentsBelow(std::vector<LogSegment> segments, memory::Position position);
// How much of the checkpoint's past the session has too: its position, unless the session's end
// was taken back since. Later tokens of the session may differ from it.
memory::Position SharedPast(std::span<const LogSegment> segments, const CheckpointRecord& record);

// What a session was computed by.
std::string ComputerOf(std::string_view build, std::string_view device_kind);

memory::CheckpointBinding BindingOf(const memory::MemoryGeometry& geometry);

// DATA_LOSS unless every extent is of the size that `geometry` asks for.
absl::Status CheckSizes(const memory::CheckpointManifest& manifest,
                        const memory::MemoryGeometry& geometry);

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_DURABLE_CHECKPOINT_H_
