// The pieces of a manifest.
#include <glog/logging.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "memory/durable/checkpoint_parts.h"

namespace eidetic::memory {
namespace {

// Whether every list has `count`.
bool AllHave(const ExtentLists& lists, int64_t count) {
  return std::all_of(lists.begin(), lists.end(), [count](const auto& list) {
    return static_cast<int64_t>(list.size()) == count;
  });
}

template <typename Take>
absl::Status ReadOne(const CheckpointManifest::ReadPiece& read, const ExtentRef& ref, Take take) {
  constexpr std::string_view kWhat = "piece of a checkpoint manifest";
  if (read == nullptr) return absl::DataLossError("checkpoint manifest: it has pieces");
  const absl::StatusOr<std::string> bytes = read(ref);
  if (!bytes.ok()) return bytes.status();
  RecordReader from(*bytes);
  const bool fits = take(from);
  if (absl::Status status = from.Finish(kWhat); !status.ok()) return status;
  if (fits) return absl::OkStatus();
  return absl::DataLossError("checkpoint manifest: a piece is not of its size");
}

absl::Status LoadBlocks(const CheckpointManifest::ReadPiece& read, CheckpointManifest* manifest) {
  int64_t count = 0;
  for (const ExtentRef& piece : manifest->pieces[0]) {
    ++count;
    absl::Status status = ReadOne(read, piece, [&](RecordReader& from) {
      Read(from, manifest->pages);
      Read(from, manifest->tiles);
      return AllHave(manifest->pages, count * kPieceBlocks) &&
             (AllHave(manifest->tiles, count * kPieceTiles) || AllHave(manifest->tiles, 0));
    });
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace

int64_t NamedAbove(const ExtentLists& pieces, size_t level) {
  return level + 1 < pieces.size() ? static_cast<int64_t>(pieces[level + 1].size()) * kPieceFanout
                                   : 0;
}

int64_t BlocksInPieces(const CheckpointManifest& manifest) {
  return manifest.pieces.empty() ? 0
                                 : static_cast<int64_t>(manifest.pieces[0].size()) * kPieceBlocks;
}

int64_t TilesInPieces(const CheckpointManifest& manifest) {
  const bool tiles = !manifest.tiles.empty() && !manifest.tiles.front().empty();
  return tiles ? BlocksInPieces(manifest) / kPieceBlocks * kPieceTiles : 0;
}

absl::Status LoadPieces(const CheckpointManifest::ReadPiece& read, ExtentLists ends,
                        CheckpointManifest* manifest) {
  ExtentLists& pieces = manifest->pieces;
  pieces.resize(ends.size());
  for (size_t level = ends.size(); level-- > 0;) {
    if (level + 1 < ends.size()) {
      int64_t count = 0;
      for (const ExtentRef& above : pieces[level + 1]) {
        count += kPieceFanout;
        absl::Status status = ReadOne(read, above, [&](RecordReader& from) {
          Read(from, pieces[level]);
          return static_cast<int64_t>(pieces[level].size()) == count;
        });
        if (!status.ok()) return status;
      }
    }
    pieces[level].insert(pieces[level].end(), ends[level].begin(), ends[level].end());
  }
  return pieces.empty() ? absl::OkStatus() : LoadBlocks(read, manifest);
}

int64_t CheckpointManifest::WholePieces() const {
  const int64_t whole = pages.empty() ? 0 : position / binding.block_tokens / kPieceBlocks;
  const bool indexed = !tiles.empty() && !tiles.front().empty();
  if (!indexed) return whole;
  return std::min(whole, static_cast<int64_t>(tiles.front().size()) / kPieceTiles);
}

std::string CheckpointManifest::EncodePiece(size_t level, int64_t piece) const {
  RecordWriter writer;
  if (level > 0) {
    Write(std::span(pieces[level - 1]).subspan(piece * kPieceFanout, kPieceFanout), writer);
    return writer.Take();
  }
  CHECK_LT(piece, WholePieces());
  const bool indexed = !tiles.empty() && !tiles.front().empty();
  const int64_t last_block = (piece + 1) * kPieceBlocks;
  const int64_t last_tile = indexed ? (piece + 1) * kPieceTiles : 0;
  Write(pages, piece * kPieceBlocks, last_block, writer);
  Write(tiles, indexed ? piece * kPieceTiles : 0, last_tile, writer);
  return writer.Take();
}

}  // namespace eidetic::memory
