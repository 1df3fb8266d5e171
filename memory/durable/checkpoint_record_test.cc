#include "memory/durable/checkpoint_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <random>

#include "memory/durable/checksum.h"
#include "memory/durable/record.h"

namespace eidetic::memory {
namespace {

using ::testing::HasSubstr;
using Code = absl::StatusCode;

CheckpointBinding Binding() {
  return {.model_hash = "5f1d",
          .adapter = "",
          .block_tokens = 32,
          .head_dim = 128,
          .kv_heads = 8,
          .attention_layers = 2,
          .kv_element_bytes = 2,
          .state_bytes = 4096,
          .summary_kind = 1,
          .build = "1.2.0",
          .device_kind = "cpu"};
}

// 2 layers of 3 blocks, the last of 6 tokens, and 1 tile.
CheckpointManifest Manifest() {
  std::mt19937_64 random(9);
  const auto ref = [&](ExtentKind kind, int64_t bytes) {
    return ExtentRef{.file = random() >> random() % 64,
                     .offset = static_cast<int64_t>(random() >> 20) * 8,
                     .bytes = bytes,
                     .kind = kind,
                     .checksum = random()};
  };
  CheckpointManifest manifest{.binding = Binding(),
                              .position = 70,
                              .pages = {},
                              .tiles = {},
                              .state = ref(ExtentKind::kState, 4096),
                              .points = {},
                              .pieces = {}};
  for (int layer = 0; layer < 2; ++layer) {
    manifest.pages.emplace_back();
    for (int b = 0; b < 3; ++b) manifest.pages[layer].push_back(ref(ExtentKind::kPage, 9 + b));
    manifest.tiles.push_back({ref(ExtentKind::kTile, 77)});
  }
  return manifest;
}

std::string Sealed(const std::string& bytes) {
  RecordWriter seal;
  seal.Fixed64(Checksum(bytes));
  return bytes + seal.Take();
}

std::string Unsealed(const std::string& bytes) { return bytes.substr(0, bytes.size() - 8); }

TEST(CheckpointManifest, GivesBackWhatWasEncoded) {
  const CheckpointManifest manifest = Manifest();
  auto decoded = CheckpointManifest::Decode(manifest.Encode());
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(*decoded, manifest);
}

TEST(CheckpointManifest, HoldsAnEmptySessionAndAModelWithoutAttention) {
  CheckpointManifest manifest = Manifest();
  manifest.position = 0;
  manifest.pages = manifest.tiles = {{}, {}};
  EXPECT_EQ(*CheckpointManifest::Decode(manifest.Encode()), manifest);
  manifest.position = 1000;
  manifest.binding.attention_layers = 0;
  manifest.pages = manifest.tiles = {};
  EXPECT_EQ(*CheckpointManifest::Decode(manifest.Encode()), manifest);
}

// As a checkpoint writes it: pieces first. `written`: what they are named by.
std::string EncodeInPieces(CheckpointManifest* manifest, std::map<int64_t, std::string>* written) {
  manifest->pieces.clear();
  int64_t count = manifest->WholePieces();
  for (size_t level = 0; count > 0; ++level, count /= kPieceFanout) {
    manifest->pieces.emplace_back();
    for (int64_t i = 0; i < count; ++i) {
      const std::string bytes = manifest->EncodePiece(level, i);
      const int64_t offset = 8 * static_cast<int64_t>(written->size());
      (*written)[offset] = bytes;
      manifest->pieces[level].push_back({.file = 9,
                                         .offset = offset,
                                         .bytes = static_cast<int64_t>(bytes.size()),
                                         .kind = ExtentKind::kManifest,
                                         .checksum = Checksum(bytes)});
    }
  }
  return manifest->Encode();
}

CheckpointManifest Long(int64_t blocks) {
  CheckpointManifest manifest = Manifest();
  manifest.position = blocks * manifest.binding.block_tokens - 3;
  for (auto& layer : manifest.pages) {
    layer.resize(blocks, layer[0]);
    for (int64_t i = 0; i < blocks; ++i) layer[i].offset = 8 * i;
  }
  for (auto& layer : manifest.tiles) layer.resize((blocks + 15) / 16, layer[0]);
  return manifest;
}

TEST(CheckpointManifest, ComesBackFromItsPieces) {
  for (int64_t blocks : {63, 64, 65, 500, 64 * 64, 64 * 64 + 1, 64 * 64 + 130, 64 * 64 * 3 + 77}) {
    for (bool indexed : {true, false}) {
      CheckpointManifest manifest = Long(blocks);
      if (!indexed) manifest.tiles = {{}, {}};
      std::map<int64_t, std::string> written;
      const std::string bytes = EncodeInPieces(&manifest, &written);
      EXPECT_LT(bytes.size(), 10'000u) << blocks;
      const auto read = [&](const ExtentRef& ref) -> absl::StatusOr<std::string> {
        return written.at(ref.offset);
      };
      const auto decoded = CheckpointManifest::Decode(bytes, read);
      ASSERT_TRUE(decoded.ok()) << blocks << ": " << decoded.status();
      EXPECT_EQ(*decoded, manifest);
      const auto lost = [](const ExtentRef&) -> absl::StatusOr<std::string> {
        return absl::DataLossError("lost");
      };
      EXPECT_EQ(CheckpointManifest::Decode(bytes, lost).ok(), written.empty());
      for (auto& [offset, piece] : written) {
        const std::string whole = std::exchange(piece, piece.substr(0, piece.size() / 2));
        EXPECT_EQ(CheckpointManifest::Decode(bytes, read).status().code(), Code::kDataLoss);
        piece = whole;
        if (offset > 8 * 5) break;
      }
    }
  }
}

TEST(CheckpointManifestDeathTest, PastStatesRise) {
  CheckpointManifest manifest = Manifest();
  manifest.points = {{.position = 1, .state = manifest.state},
                     {.position = 69, .state = manifest.state}};
  EXPECT_EQ(*CheckpointManifest::Decode(manifest.Encode()), manifest);
  manifest.points[1].position = 1;
  EXPECT_DEATH(manifest.Encode(), "a state of position 1");
  manifest.points[1].position = manifest.position;
  EXPECT_DEATH(manifest.Encode(), "a state of position");
  manifest.points.pop_back();
  manifest.points[0].state.bytes = 4;
  EXPECT_DEATH(manifest.Encode(), "a past state is no extent");
}

TEST(CheckpointManifest, RefusesEveryFlippedBit) {
  std::string bytes = Manifest().Encode();
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      bytes[i] ^= 1 << bit;
      EXPECT_EQ(CheckpointManifest::Decode(bytes).status().code(), Code::kDataLoss) << i;
      bytes[i] ^= 1 << bit;
    }
  }
}

TEST(CheckpointManifest, RefusesEveryLengthButItsOwn) {
  const std::string bytes = Manifest().Encode();
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(CheckpointManifest::Decode(bytes.substr(0, size)).status().code(), Code::kDataLoss);
    // Even with a checksum that fits.
    const std::string cut = Sealed(bytes.substr(0, size));
    if (cut == bytes) continue;
    EXPECT_EQ(CheckpointManifest::Decode(cut).status().code(), Code::kDataLoss) << size;
  }
  EXPECT_EQ(CheckpointManifest::Decode(bytes + '\0').status().code(), Code::kDataLoss);
  EXPECT_EQ(CheckpointManifest::Decode(Sealed(Unsealed(bytes) + '\0')).status().code(),
            Code::kDataLoss);
}

// The count of layers, with nothing behind it, claims all that memory could hold.
TEST(CheckpointManifest, AllocatesNoMoreThanItsBytesWarrant) {
  RecordWriter writer;
  writer.Fixed32(kCheckpointFormat);
  for (int i = 0; i < 2; ++i) writer.String("");
  for (int i = 0; i < 7; ++i) writer.Varint(1);
  for (int i = 0; i < 2; ++i) writer.String("");
  writer.Varint(1);  // position
  const std::string head = writer.Take();
  for (uint64_t count : {uint64_t{1} << 33, ~uint64_t{0}}) {
    RecordWriter layers, pages;
    layers.Varint(count);
    pages.Varint(1);
    pages.Varint(count);
    for (const std::string& list : {layers.bytes(), pages.bytes()}) {
      EXPECT_EQ(CheckpointManifest::Decode(Sealed(head + list)).status().code(), Code::kDataLoss);
    }
  }
}

TEST(CheckpointManifest, SaysThatAnotherFormatIsNotDamage) {
  std::string bytes = Unsealed(Manifest().Encode());
  bytes[0] = 3;
  const absl::Status status = CheckpointManifest::Decode(Sealed(bytes)).status();
  EXPECT_EQ(status.code(), Code::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("format 3"));
}

// Encode holds itself to what Decode demands, so contradictions are shown by its CHECK.
TEST(CheckpointManifestDeathTest, ContradictsNothing) {
  const std::vector<std::pair<std::string, std::function<void(CheckpointManifest&)>>> cases = {
      {"pages of 1 layers", [](auto& m) { m.pages.pop_back(); }},
      {"tiles of 3 layers", [](auto& m) { m.tiles.emplace_back(); }},
      {"2 pages in layer 1", [](auto& m) { m.pages[1].pop_back(); }},
      {"3 pages in layer 0 where 4", [](auto& m) { m.position = 97; }},
      {"0 tiles in layer 1", [](auto& m) { m.tiles[1].clear(); }},
      {"4 tiles for 3 blocks", [](auto& m) { m.tiles[0].resize(4, m.tiles[0][0]); }},
      {"names no such extent", [](auto& m) { m.pages[0][2].kind = ExtentKind::kTile; }},
      {"names no such extent", [](auto& m) { m.tiles[1][0].offset = 4; }},
      {"names no such extent", [](auto& m) { m.pages[1][0].bytes = -1; }},
      {"no extent of 4096 bytes", [](auto& m) { m.state.bytes = 4095; }},
      {"out of range", [](auto& m) { m.binding.block_tokens = 0; }},
      {"out of range", [](auto& m) { m.position = -1; }},
  };
  for (const auto& [message, change] : cases) {
    CheckpointManifest manifest = Manifest();
    change(manifest);
    EXPECT_DEATH(manifest.Encode(), message);
  }
}

// Changes behind a checksum that fits reach the parser: what it accepts contradicts nothing
// (Encode checks that) and was written in its only form.
TEST(CheckpointManifest, AcceptsOnlyWhatItWouldWrite) {
  std::mt19937 random(21);
  const std::string bytes = Unsealed(Manifest().Encode());
  int accepted = 0, refused = 0;
  for (int i = 0; i < 30000; ++i) {
    std::string mutant = bytes;
    for (uint32_t changes = 1 + random() % 3; changes > 0; --changes) {
      const size_t at = random() % mutant.size();
      const uint32_t kind = random() % 4;
      if (kind == 0) mutant[at] ^= 1 << random() % 8;
      if (kind == 1) mutant[at] = static_cast<char>(random());
      if (kind == 2) mutant.insert(at, 1 + random() % 12, static_cast<char>(random()));
      if (kind == 3) mutant.erase(at, 1 + random() % 12);
    }
    mutant = Sealed(mutant);
    auto decoded = CheckpointManifest::Decode(mutant);
    ++(decoded.ok() ? accepted : refused);
    if (decoded.ok()) {
      ASSERT_EQ(decoded->Encode(), mutant);
    } else {
      ASSERT_TRUE(absl::IsDataLoss(decoded.status()) ||
                  absl::IsFailedPrecondition(decoded.status()));
    }
  }
  EXPECT_GT(accepted, 1000);
  EXPECT_GT(refused, 1000);
}

TEST(CompareBindings, TellsEqualFromUsable) {
  EXPECT_EQ(*CompareBindings(Binding(), Binding()), BindingMatch::kEqual);
  CheckpointBinding ours = Binding();
  ours.build = "1.2.1";
  EXPECT_EQ(*CompareBindings(Binding(), ours), BindingMatch::kUsable);
  ours = Binding();
  ours.device_kind = "cuda sm_90";
  EXPECT_EQ(*CompareBindings(Binding(), ours), BindingMatch::kUsable);
}

TEST(CompareBindings, RefusesEveryOtherDifferenceByName) {
  const std::vector<std::pair<std::string, std::function<void(CheckpointBinding&)>>> cases = {
      {"model_hash '5f1d', this server has 'aa'", [](auto& b) { b.model_hash = "aa"; }},
      {"adapter '', this server has 'tone'", [](auto& b) { b.adapter = "tone"; }},
      {"block_tokens '32', this server has '16'", [](auto& b) { b.block_tokens = 16; }},
      {"head_dim '128', this server has '64'", [](auto& b) { b.head_dim = 64; }},
      {"kv_heads '8', this server has '1'", [](auto& b) { b.kv_heads = 1; }},
      {"attention_layers '2', this server has '3'", [](auto& b) { b.attention_layers = 3; }},
      {"kv_element_bytes '2', this server has '4'", [](auto& b) { b.kv_element_bytes = 4; }},
      {"state_bytes '4096', this server has '0'", [](auto& b) { b.state_bytes = 0; }},
      {"summary_kind '1', this server has '4'", [](auto& b) { b.summary_kind = 4; }},
  };
  for (const auto& [message, change] : cases) {
    CheckpointBinding ours = Binding();
    change(ours);
    ours.build = "another";
    const absl::Status status = CompareBindings(Binding(), ours).status();
    EXPECT_EQ(status.code(), Code::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()), HasSubstr(message));
  }
  CheckpointBinding ours = Binding();
  ours.kv_heads = 1;
  ours.head_dim = 64;  // the first is named
  EXPECT_THAT(std::string(CompareBindings(Binding(), ours).status().message()),
              HasSubstr("head_dim"));
}

}  // namespace
}  // namespace eidetic::memory
