// A checkpoint's manifest and its pieces.
//
// An input is two bytes, little-endian, how long the manifest is; the manifest; and the content of
// every piece that it names. The manifest's checksum is made good: what stands behind it is
// reached.
#include <glog/logging.h>

#include <algorithm>

#include "memory/durable/checkpoint_record.h"
#include "memory/durable/checksum.h"
#include "memory/durable/record.h"
#include "tests/fuzz/fuzz_target.h"

namespace eidetic::fuzz {
namespace {

using memory::CheckpointManifest;
using memory::ExtentKind;
using memory::ExtentRef;

constexpr size_t kSealBytes = 8;

ExtentRef Ref(ExtentKind kind, int64_t bytes) {
  return {.file = 3, .offset = 4096, .bytes = bytes, .kind = kind, .checksum = 0x1234};
}

CheckpointManifest Manifest(int64_t blocks, int64_t tiles) {
  CheckpointManifest manifest = {
      .binding = {.model_hash = "5f1d",
                  .adapter = "",
                  .block_tokens = 32,
                  .head_dim = 128,
                  .kv_heads = 8,
                  .attention_layers = 2,
                  .kv_element_bytes = 2,
                  .state_bytes = 4096,
                  .summary_kind = 1,
                  .build = "1.2.0",
                  .device_kind = "cpu"},
      .position = blocks * 32 - 5,
      .pages = {},
      .tiles = {},
      .state = Ref(ExtentKind::kState, 4096),
      .points = {{.position = 32, .state = Ref(ExtentKind::kState, 4096)}},
      .pieces = {}};
  for (int layer = 0; layer < 2; ++layer) {
    manifest.pages.emplace_back(blocks, Ref(ExtentKind::kPage, 9));
    manifest.tiles.emplace_back(tiles, Ref(ExtentKind::kTile, 77));
  }
  return manifest;
}

std::string Input(const std::string& manifest, const std::string& piece) {
  const auto size = static_cast<uint16_t>(manifest.size());
  return std::string{static_cast<char>(size & 0xFF), static_cast<char>(size >> 8)} + manifest +
         piece;
}

std::string Sealed(std::string_view bytes) {
  std::string sealed(bytes.substr(0, bytes.size() - std::min(bytes.size(), kSealBytes)));
  memory::RecordWriter seal;
  seal.Fixed64(memory::Checksum(sealed));
  return sealed + seal.Take();
}

}  // namespace

void TryManifest(std::string_view bytes, std::string_view piece) {
  // The same content over and over is what an honest disk never gives, so it is bounded here.
  int left = 64;
  const auto read = [&](const ExtentRef&) -> absl::StatusOr<std::string> {
    if (--left < 0) return absl::DataLossError("no such piece");
    return std::string(piece);
  };
  const auto manifest = CheckpointManifest::Decode(bytes, read);
  if (!manifest.ok()) return;
  // Decode's promise: Encode gave these very bytes.
  CHECK(manifest->Encode() == bytes);
}

std::vector<std::string> Seeds() {
  const CheckpointManifest small = Manifest(3, 1);
  CheckpointManifest large = Manifest(66, 5);
  const std::string piece = large.EncodePiece(0, 0);
  large.pieces = {{Ref(ExtentKind::kManifest, static_cast<int64_t>(piece.size()))}};
  return {Input(small.Encode(), ""), Input(large.Encode(), piece)};
}

}  // namespace eidetic::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const std::string_view rest = eidetic::fuzz::View(data, size).substr(2);
  const std::string_view manifest = rest.substr(0, data[0] | data[1] << 8);
  const std::string_view piece = rest.substr(manifest.size());
  eidetic::fuzz::TryManifest(manifest, piece);
  eidetic::fuzz::TryManifest(eidetic::fuzz::Sealed(manifest), piece);
  return 0;
}
