#include "memory/durable/checkpoint_record.h"

#include <glog/logging.h>

#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "memory/durable/checkpoint_parts.h"
#include "memory/durable/checksum.h"
#include "memory/durable/record.h"

namespace eidetic::memory {
namespace {

constexpr uint64_t kMaxInt64 = std::numeric_limits<int64_t>::max();
constexpr std::string_view kWhat = "checkpoint manifest";
constexpr size_t kSealBytes = sizeof(uint64_t);

// In each layer.
int64_t CountOf(const ExtentLists& lists) {
  return lists.empty() ? 0 : static_cast<int64_t>(lists.front().size());
}

void AddEnds(const ExtentLists& ends, ExtentLists& layers) {
  for (size_t i = 0; i < ends.size(); ++i) {
    layers[i].insert(layers[i].end(), ends[i].begin(), ends[i].end());
  }
}

bool Fits(const ExtentRef& ref, ExtentKind kind) {
  return ref.kind == kind && ref.offset >= 0 && ref.offset % 8 == 0 && ref.bytes >= 0;
}

// What contradicts itself in lists of one kind; empty: nothing.
std::string FaultOf(const ExtentLists& layers, ExtentKind kind, std::string_view name,
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

std::string FaultOf(const std::vector<StateExtent>& points, const CheckpointManifest& manifest) {
  int64_t before = 0;
  for (const StateExtent& point : points) {
    if (point.position <= before || point.position >= manifest.position) {
      return absl::StrCat("a state of position ", point.position);
    }
    before = point.position;
    if (!Fits(point.state, ExtentKind::kState) ||
        point.state.bytes != manifest.binding.state_bytes) {
      return absl::StrCat("a past state is no extent of ", manifest.binding.state_bytes, " bytes");
    }
  }
  return "";
}

std::string FaultOfPieces(const CheckpointManifest& manifest) {
  const ExtentLists& pieces = manifest.pieces;
  for (size_t level = 0; level < pieces.size(); ++level) {
    const auto count = static_cast<int64_t>(pieces[level].size());
    const int64_t named = NamedAbove(pieces, level);
    if (count == 0 || named > count || count - named >= kPieceFanout) {
      return absl::StrCat(count, " pieces of level ", level);
    }
    for (const ExtentRef& ref : pieces[level]) {
      if (!Fits(ref, ExtentKind::kManifest)) return "pieces that are none";
    }
  }
  return BlocksInPieces(manifest) > manifest.WholePieces() * kPieceBlocks
             ? "pieces of blocks that may change"
             : "";
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
  if (fault.empty()) {
    fault = FaultOf(manifest.tiles, ExtentKind::kTile, "tiles", binding.attention_layers, tiles);
  }
  if (fault.empty()) fault = FaultOf(manifest.points, manifest);
  return fault.empty() ? FaultOfPieces(manifest) : fault;
}

absl::Status Damaged(std::string_view why) {
  return absl::DataLossError(absl::StrCat(std::string(kWhat), ": ", std::string(why)));
}

}  // namespace

std::string CheckpointManifest::Encode() const {
  const std::string fault = FaultOf(*this);
  CHECK(fault.empty()) << fault;
  CHECK_EQ(format_version, kCheckpointFormat);
  RecordWriter writer;
  writer.Fixed32(format_version);
  Write(binding, writer);
  writer.Varint(position);
  writer.Varint(pieces.size());
  for (size_t level = 0; level < pieces.size(); ++level) {
    Write(std::span(pieces[level]).subspan(NamedAbove(pieces, level)), writer);
  }
  Write(pages, BlocksInPieces(*this), CountOf(pages), writer);
  Write(tiles, TilesInPieces(*this), CountOf(tiles), writer);
  Write(state, writer);
  Write(points, writer);
  writer.Fixed64(Checksum(writer.bytes()));
  return writer.Take();
}

absl::StatusOr<CheckpointManifest> CheckpointManifest::Decode(std::string_view bytes,
                                                              const ReadPiece& read) {
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
  ExtentLists piece_ends(reader.Count(1));
  for (std::vector<ExtentRef>& level : piece_ends) Read(reader, level);
  ExtentLists page_ends, tile_ends;
  Read(reader, page_ends);
  Read(reader, tile_ends);
  Read(reader, manifest.state);
  Read(reader, manifest.points);
  if (absl::Status status = reader.Finish(kWhat); !status.ok()) return status;
  manifest.pages.resize(page_ends.size());
  manifest.tiles.resize(tile_ends.size());
  absl::Status loaded = LoadPieces(read, std::move(piece_ends), &manifest);
  if (!loaded.ok()) return loaded;
  AddEnds(page_ends, manifest.pages);
  AddEnds(tile_ends, manifest.tiles);
  if (const std::string fault = FaultOf(manifest); !fault.empty()) return Damaged(fault);
  return manifest;
}

}  // namespace eidetic::memory
