#include "memory/durable/checkpoint_record.h"

#include <glog/logging.h>

#include <limits>

#include "absl/strings/str_cat.h"
#include "memory/durable/checksum.h"
#include "memory/durable/record.h"

namespace eidetic::memory {
namespace {

constexpr uint64_t kMaxInt32 = std::numeric_limits<int32_t>::max();
constexpr uint64_t kMaxInt64 = std::numeric_limits<int64_t>::max();
constexpr uint64_t kMaxUint8 = std::numeric_limits<uint8_t>::max();
constexpr std::string_view kWhat = "checkpoint manifest";
constexpr uint64_t kLeastRefBytes = 4 + sizeof(uint64_t);  // four varints and the checksum
constexpr size_t kSealBytes = sizeof(uint64_t);

void Write(const CheckpointBinding& binding, RecordWriter& to) {
  to.String(binding.model_hash);
  to.String(binding.adapter);
  to.Varint(binding.block_tokens);
  to.Varint(binding.head_dim);
  to.Varint(binding.kv_heads);
  to.Varint(binding.attention_layers);
  to.Varint(binding.kv_element_bytes);
  to.Varint(binding.state_bytes);
  to.Varint(binding.summary_kind);
  to.String(binding.page_form);
  to.String(binding.build);
  to.String(binding.device_kind);
}

void Read(RecordReader& from, CheckpointBinding& binding) {
  binding.model_hash = from.String();
  binding.adapter = from.String();
  binding.block_tokens = from.AtMost(kMaxInt32);
  binding.head_dim = from.AtMost(kMaxInt32);
  binding.kv_heads = from.AtMost(kMaxInt32);
  binding.attention_layers = from.AtMost(kMaxInt32);
  binding.kv_element_bytes = from.AtMost(kMaxUint8);
  binding.state_bytes = from.AtMost(kMaxInt64);
  binding.summary_kind = from.AtMost(kMaxUint8);
  binding.page_form = from.String();
  binding.build = from.String();
  binding.device_kind = from.String();
}

void Write(const ExtentRef& ref, RecordWriter& to) {
  to.Varint(ref.file);
  to.Varint(ref.offset);
  to.Varint(ref.bytes);
  to.Varint(static_cast<uint64_t>(ref.kind));
  to.Fixed64(ref.checksum);
}

void Read(RecordReader& from, ExtentRef& ref) {
  ref.file = from.Varint();
  ref.offset = from.AtMost(kMaxInt64);
  ref.bytes = from.AtMost(kMaxInt64);
  ref.kind = static_cast<ExtentKind>(from.AtMost(kMaxUint8));
  ref.checksum = from.Fixed64();
}

using Layers = std::vector<std::vector<ExtentRef>>;

void Write(const Layers& layers, RecordWriter& to) {
  to.Varint(layers.size());
  for (const std::vector<ExtentRef>& layer : layers) {
    to.Varint(layer.size());
    for (const ExtentRef& ref : layer) Write(ref, to);
  }
}

void Read(RecordReader& from, Layers& layers) {
  layers.resize(from.Count(1));
  for (std::vector<ExtentRef>& layer : layers) {
    layer.resize(from.Count(kLeastRefBytes));
    for (ExtentRef& ref : layer) Read(from, ref);
  }
}

bool Fits(const ExtentRef& ref, ExtentKind kind) {
  return ref.kind == kind && ref.offset >= 0 && ref.offset % 8 == 0 && ref.bytes >= 0;
}

// What contradicts itself in lists of one kind; empty: nothing.
std::string FaultOf(const Layers& layers, ExtentKind kind, std::string_view name,
                    int64_t layer_count, int64_t size) {
  const std::string list(name);
  if (static_cast<int64_t>(layers.size()) != layer_count) {
    return absl::StrCat(list, " of ", layers.size(), " layers where the model has ", layer_count);
  }
  for (size_t i = 0; i < layers.size(); ++i) {
    if (static_cast<int64_t>(layers[i].size()) != size) {
      return absl::StrCat(layers[i].size(), " ", list, " in layer ", i, " where ", size, " belong");
    }
    for (const ExtentRef& ref : layers[i]) {
      if (!Fits(ref, kind)) return absl::StrCat(list, ": layer ", i, " names no such extent");
    }
  }
  return "";
}

bool NumbersFit(const CheckpointBinding& binding) {
  return binding.block_tokens > 0 && binding.head_dim >= 0 && binding.kv_heads >= 0 &&
         binding.attention_layers >= 0 && binding.state_bytes >= 0;
}

// What contradicts itself; empty: nothing.
std::string FaultOf(const CheckpointManifest& manifest) {
  const CheckpointBinding& binding = manifest.binding;
  if (!NumbersFit(binding) || manifest.position < 0) return "a number is out of range";
  const int64_t blocks = manifest.position / binding.block_tokens +
                         (manifest.position % binding.block_tokens > 0 ? 1 : 0);
  const int64_t tiles = manifest.tiles.empty() ? 0 : manifest.tiles.front().size();
  if (tiles > blocks) return absl::StrCat(tiles, " tiles for ", blocks, " blocks");
  if (!Fits(manifest.state, ExtentKind::kState) || manifest.state.bytes != binding.state_bytes) {
    return absl::StrCat("its state is no extent of ", binding.state_bytes, " bytes");
  }
  std::string fault =
      FaultOf(manifest.pages, ExtentKind::kPage, "pages", binding.attention_layers, blocks);
  if (!fault.empty()) return fault;
  return FaultOf(manifest.tiles, ExtentKind::kTile, "tiles", binding.attention_layers, tiles);
}

absl::Status Damaged(std::string_view why) {
  return absl::DataLossError(absl::StrCat(std::string(kWhat), ": ", std::string(why)));
}

absl::Status Differs(std::string_view field, const std::string& theirs, const std::string& ours) {
  return absl::FailedPreconditionError(absl::StrCat(
      "the checkpoint was made with ", std::string(field), " '", theirs, "', this server has '",
      ours, "'; restore it where they are the same, or replay the session's tokens"));
}

}  // namespace

absl::StatusOr<BindingMatch> CompareBindings(const CheckpointBinding& theirs,
                                             const CheckpointBinding& ours) {
  struct Field {
    std::string_view name;
    std::string theirs, ours;
  };
  const auto number = [](std::string_view name, int64_t a, int64_t b) {
    return Field{name, absl::StrCat(a), absl::StrCat(b)};
  };
  for (const Field& field :
       {Field{"model_hash", theirs.model_hash, ours.model_hash},
        Field{"adapter", theirs.adapter, ours.adapter},
        number("block_tokens", theirs.block_tokens, ours.block_tokens),
        number("head_dim", theirs.head_dim, ours.head_dim),
        number("kv_heads", theirs.kv_heads, ours.kv_heads),
        number("attention_layers", theirs.attention_layers, ours.attention_layers),
        number("kv_element_bytes", theirs.kv_element_bytes, ours.kv_element_bytes),
        number("state_bytes", theirs.state_bytes, ours.state_bytes),
        number("summary_kind", theirs.summary_kind, ours.summary_kind),
        Field{"page_form", theirs.page_form, ours.page_form}}) {
    if (field.theirs != field.ours) return Differs(field.name, field.theirs, field.ours);
  }
  return theirs == ours ? BindingMatch::kEqual : BindingMatch::kUsable;
}

std::string CheckpointManifest::Encode() const {
  const std::string fault = FaultOf(*this);
  CHECK(fault.empty()) << fault;
  CHECK_EQ(format_version, kCheckpointFormat);
  RecordWriter writer;
  writer.Fixed32(format_version);
  Write(binding, writer);
  writer.Varint(position);
  Write(pages, writer);
  Write(tiles, writer);
  Write(state, writer);
  writer.Fixed64(Checksum(writer.bytes()));
  return writer.Take();
}

absl::StatusOr<CheckpointManifest> CheckpointManifest::Decode(std::string_view bytes) {
  if (bytes.size() < kSealBytes) return Damaged("cut short");
  const std::string_view sealed = bytes.substr(0, bytes.size() - kSealBytes);
  if (RecordReader(bytes.substr(sealed.size())).Fixed64() != Checksum(sealed)) {
    return Damaged("its checksum does not match");
  }
  RecordReader reader(sealed);
  CheckpointManifest manifest;
  manifest.format_version = reader.Fixed32();
  if (reader.ok() && manifest.format_version != kCheckpointFormat) {
    return absl::FailedPreconditionError(
        absl::StrCat(std::string(kWhat), ": format ", manifest.format_version,
                     ", this build reads ", kCheckpointFormat, "; use the build that wrote it"));
  }
  Read(reader, manifest.binding);
  manifest.position = reader.AtMost(kMaxInt64);
  Read(reader, manifest.pages);
  Read(reader, manifest.tiles);
  Read(reader, manifest.state);
  if (absl::Status status = reader.Finish(kWhat); !status.ok()) return status;
  if (const std::string fault = FaultOf(manifest); !fault.empty()) return Damaged(fault);
  return manifest;
}

}  // namespace eidetic::memory
