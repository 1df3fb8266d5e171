#include "engine/durable/checkpoint.h"

#include <glog/logging.h>

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "memory/durable/checksum.h"
#include "memory/durable/record.h"

namespace eidetic {
namespace {

constexpr uint64_t kVersion = 2;
constexpr size_t kSealBytes = sizeof(uint64_t);

bool AllOfSize(const std::vector<std::vector<memory::ExtentRef>>& layers, size_t bytes) {
  for (const auto& layer : layers) {
    for (const memory::ExtentRef& ref : layer) {
      if (ref.bytes != static_cast<int64_t>(bytes)) return false;
    }
  }
  return true;
}

absl::Status Contradicts(absl::string_view what) {
  return absl::DataLossError(absl::StrCat("checkpoint manifest: its ", what,
                                          " do not fit the model that it says it is of"));
}

}  // namespace

std::string EncodeCheckpoint(const CheckpointRecord& record, bool bit_identical) {
  memory::RecordWriter to;
  to.Varint(kVersion);
  to.Varint(record.segments.size());
  for (const LogSegment& segment : record.segments) {
    to.Fixed64(segment.log);
    to.Varint(static_cast<uint64_t>(segment.begin));
  }
  to.Varint(bit_identical);
  to.String(record.manifest.Encode());
  to.Fixed64(memory::Checksum(to.bytes()));
  return to.Take();
}

absl::StatusOr<CheckpointRecord> DecodeCheckpoint(
    std::string_view bytes, const memory::CheckpointManifest::ReadPiece& read) {
  const std::string_view sealed =
      bytes.substr(0, bytes.size() - std::min(bytes.size(), kSealBytes));
  // First: of a damaged record no word is to be believed, its version neither.
  if (memory::RecordReader(bytes.substr(sealed.size())).Fixed64() != memory::Checksum(sealed)) {
    return absl::DataLossError("checkpoint: its checksum does not match");
  }
  memory::RecordReader from(sealed);
  if (from.Varint() != kVersion) {
    return absl::FailedPreconditionError(
        "checkpoint: of a version that this server does not know; start the server that wrote it");
  }
  CheckpointRecord record;
  record.segments.resize(from.Count(9));
  for (LogSegment& segment : record.segments) {
    segment.log = from.Fixed64();
    segment.begin = static_cast<memory::Position>(from.AtMost(INT64_MAX));
  }
  record.bit_identical = from.AtMost(1) == 1;
  const std::string_view manifest = from.String();
  if (absl::Status status = from.Finish("checkpoint"); !status.ok()) return status;
  auto decoded = memory::CheckpointManifest::Decode(manifest, read);
  if (!decoded.ok()) return decoded.status();
  record.manifest = *std::move(decoded);
  return record;
}

const memory::ExtentRef& Checkpoint::StateAt(memory::Position position) const {
  if (position == record.manifest.position) return record.manifest.state;
  for (const memory::StateExtent& point : record.manifest.points) {
    if (point.position == position) return point.state;
  }
  LOG(FATAL) << "no state of position " << position;
}

std::vector<LogSegment> SegmentsBelow(std::vector<LogSegment> segments, memory::Position position) {
  std::erase_if(segments, [&](const LogSegment& s) { return s.begin >= position; });
  return segments;
}

memory::Position SharedPast(std::span<const LogSegment> segments, const CheckpointRecord& record) {
  const auto end_of = [](std::span<const LogSegment> of, size_t i) {
    return i + 1 < of.size() ? of[i + 1].begin : std::numeric_limits<memory::Position>::max();
  };
  memory::Position shared = 0;
  for (size_t i = 0; i < segments.size() && i < record.segments.size(); ++i) {
    if (segments[i] != record.segments[i]) break;
    const memory::Position mine = end_of(segments, i), its = end_of(record.segments, i);
    shared = std::min(mine, its);
    if (mine != its) break;
  }
  return std::min(shared, record.manifest.position);
}

std::string ComputerOf(std::string_view build, std::string_view device_kind) {
  return absl::StrCat("build ", std::string(build), " on ", std::string(device_kind));
}

memory::CheckpointBinding BindingOf(const memory::MemoryGeometry& geometry) {
  memory::CheckpointBinding binding;
  binding.block_tokens = geometry.layout.block_size;
  binding.head_dim = geometry.layout.head_dim;
  binding.kv_heads = geometry.layout.kv_heads;
  binding.attention_layers = geometry.attention_layers;
  binding.kv_element_bytes = static_cast<uint8_t>(geometry.layout.element_bytes);
  binding.state_bytes = static_cast<int64_t>(geometry.state_bytes);
  return binding;
}

absl::Status CheckSizes(const memory::CheckpointManifest& manifest,
                        const memory::MemoryGeometry& geometry) {
  constexpr auto kLastKind = memory::SummaryKind::kCodes;
  const uint8_t kind = manifest.binding.summary_kind;
  if (kind > static_cast<uint8_t>(kLastKind)) return Contradicts("summaries");
  const auto summary = static_cast<memory::SummaryKind>(kind);
  if (!AllOfSize(manifest.pages, geometry.layout.page_bytes())) return Contradicts("pages");
  const int64_t blocks = manifest.pages.empty() ? 0 : manifest.pages.front().size();
  const int64_t tiles = summary == memory::SummaryKind::kNone
                            ? 0
                            : (blocks + memory::kTileBlocks - 1) / memory::kTileBlocks;
  for (const auto& layer : manifest.tiles) {
    if (static_cast<int64_t>(layer.size()) != tiles) return Contradicts("tiles");
  }
  if (!AllOfSize(manifest.tiles, geometry.layout.tile_bytes(summary))) return Contradicts("tiles");
  if (manifest.state.bytes != static_cast<int64_t>(geometry.state_bytes)) {
    return Contradicts("states");
  }
  return absl::OkStatus();
}

}  // namespace eidetic
