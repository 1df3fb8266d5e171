// The manifest of one session's checkpoint: what it was made by, where its extents lie.
//
// What: plain values and their bytes. A manifest that was changed, cut short or extended is
//   refused; so is one that contradicts itself.
// Thread safety: plain values and pure functions. Ownership: manifests own their lists.
// Preconditions: stated per member. Bytes to decode may be hostile.
#ifndef EIDETIC_MEMORY_DURABLE_CHECKPOINT_RECORD_H_
#define EIDETIC_MEMORY_DURABLE_CHECKPOINT_RECORD_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "memory/durable/extent_ref.h"

namespace eidetic::memory {

inline constexpr uint32_t kCheckpointFormat = 1;

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

struct CheckpointManifest {
  uint32_t format_version = kCheckpointFormat;
  CheckpointBinding binding;
  int64_t position = 0;  // tokens of the session that it holds
  // [attention layer][block]; ceil(position / block_tokens) blocks, the last maybe partial.
  std::vector<std::vector<ExtentRef>> pages;
  // [attention layer][tile]; equally many in each layer, not more than blocks.
  std::vector<std::vector<ExtentRef>> tiles;
  ExtentRef state;  // binding.state_bytes of content

  // Ends in an XXH3-64 over all before. Precondition, CHECKed: what Decode demands.
  std::string Encode() const;
  // DATA_LOSS unless Encode gave these very bytes; FAILED_PRECONDITION for another format's.
  // Allocates no more than a small multiple of bytes.size().
  static absl::StatusOr<CheckpointManifest> Decode(std::string_view bytes);
  friend bool operator==(const CheckpointManifest&, const CheckpointManifest&) = default;
};

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_DURABLE_CHECKPOINT_RECORD_H_
