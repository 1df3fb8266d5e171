// The manifest of one session's checkpoint: what it was made by, where its extents lie.
//
// What: plain values and their bytes. A manifest that was changed, cut short or extended is
//   refused; so is one that contradicts itself. Blocks that never change again are named in
//   pieces, extents of their own, which later manifests name again: so the bytes of a manifest
//   are as many as its checkpoint has new blocks, and not as many as the session has blocks.
// Thread safety: plain values and pure functions. Ownership: manifests own their lists.
// Preconditions: stated per member. Bytes to decode may be hostile.
#ifndef EIDETIC_MEMORY_DURABLE_CHECKPOINT_RECORD_H_
#define EIDETIC_MEMORY_DURABLE_CHECKPOINT_RECORD_H_

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "memory/durable/extent_ref.h"

namespace eidetic::memory {

inline constexpr uint32_t kCheckpointFormat = 2;
// A piece of level 0 names the extents of so many blocks and tiles, in every layer; one of level
// i + 1 names kPieceFanout pieces of level i.
inline constexpr int64_t kPieceBlocks = 64;
inline constexpr int64_t kPieceTiles = 4;
inline constexpr int64_t kPieceFanout = 64;

// What a checkpoint's bytes mean something to. Numbers are not negative.
struct CheckpointBinding {
  std::string model_hash, adapter;
  int32_t block_tokens = 0, head_dim = 0, kv_heads = 0, attention_layers = 0;
  uint8_t kv_element_bytes = 0;
  int64_t state_bytes = 0;     // of a state slot
  uint8_t summary_kind = 0;    // a SummaryKind
  std::string page_form = "";  // how the backend lays out a page's bytes
  std::string build, device_kind;
  friend bool operator==(const CheckpointBinding&, const CheckpointBinding&) = default;
};

enum class BindingMatch {
  kEqual,
  kUsable,  // another build or kind of device: what is computed from here on may differ in bits
};
// Whether a server bound as `ours` can take up a checkpoint bound as `theirs`.
// FAILED_PRECONDITION, naming the first field that differs and both values, if not.
absl::StatusOr<BindingMatch> CompareBindings(const CheckpointBinding& theirs,
                                             const CheckpointBinding& ours);

// A state at a position before the manifest's.
struct StateExtent {
  int64_t position = 0;
  ExtentRef state;
  friend bool operator==(const StateExtent&, const StateExtent&) = default;
};

struct CheckpointManifest {
  uint32_t format_version = kCheckpointFormat;
  CheckpointBinding binding;
  int64_t position = 0;  // tokens of the session that it holds
  // [attention layer][block]; ceil(position / block_tokens) blocks, the last maybe partial.
  std::vector<std::vector<ExtentRef>> pages;
  // [attention layer][tile]; equally many in each layer, not more than blocks.
  std::vector<std::vector<ExtentRef>> tiles;
  ExtentRef state;                  // binding.state_bytes of content
  std::vector<StateExtent> points;  // positions rise, from 1 to below `position`
  // [level][piece]: piece i of level 0 names blocks [i, i + 1) * kPieceBlocks. Level i + 1 has
  // one piece for each kPieceFanout of level i, and the last level less than that.
  std::vector<std::vector<ExtentRef>> pieces;

  // The content of a piece. Precondition: level 0, its blocks are complete; else, it is there.
  std::string EncodePiece(size_t level, int64_t piece) const;
  // How many pieces of level 0 there can be.
  int64_t WholePieces() const;

  // What no piece names. Ends in an XXH3-64 over all before. Precondition, CHECKed: what Decode
  // demands.
  std::string Encode() const;
  // DATA_LOSS unless Encode gave these very bytes; FAILED_PRECONDITION for another format's; what
  // `read`, which gives a piece's content, gives. Allocates no more than a small multiple of
  // bytes.size() and of what was read.
  using ReadPiece = std::function<absl::StatusOr<std::string>(const ExtentRef&)>;
  static absl::StatusOr<CheckpointManifest> Decode(std::string_view bytes,
                                                   const ReadPiece& read = nullptr);
  friend bool operator==(const CheckpointManifest&, const CheckpointManifest&) = default;
};

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_DURABLE_CHECKPOINT_RECORD_H_
