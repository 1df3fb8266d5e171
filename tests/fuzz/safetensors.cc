// A model's weights: one safetensors file, or, for an input that begins with '{', the index of a
// sharded model whose one shard is sound.
#include "engine/model/safetensors.h"

#include <glog/logging.h>

#include <cstring>

#include "tests/fuzz/fuzz_target.h"
#include "tests/fuzz/scratch_folder.h"

namespace eidetic::fuzz {
namespace {

std::string File(const std::string& header, size_t data_bytes) {
  const uint64_t length = header.size();
  std::string file(sizeof(length), '\0');
  std::memcpy(file.data(), &length, sizeof(length));
  return file + header + std::string(data_bytes, '\1');
}

std::string Shard() {
  return File(R"({"__metadata__": {"format": "pt"},
 "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
 "b": {"dtype": "BF16", "shape": [4, 1, 2], "data_offsets": [24, 40]},
 "c": {"dtype": "I64", "shape": [], "data_offsets": [40, 48]},
 "d": {"dtype": "F16", "shape": [0, 7], "data_offsets": [48, 48]}})",
              48);
}

// Every byte of every tensor can be read.
void ReadAll(const SafetensorsFile& file) {
  CHECK_LE(file.header_bytes(), static_cast<int64_t>(file.bytes().size()));
  const std::byte* const end = file.bytes().data() + file.bytes().size();
  for (const auto& [name, view] : file.tensors()) {
    CHECK(view.data.data() >= file.bytes().data() && view.data.data() + view.data.size() <= end)
        << name;
  }
}

}  // namespace

std::vector<std::string> Seeds() {
  return {Shard(), File("{}", 0),
          R"({"metadata": {"total_size": 48}, "weight_map": {"a": "sound.safetensors",
 "b": "sound.safetensors"}})"};
}

void OpenFolder(std::string_view index) {
  static const ScratchFolder folder;
  static const bool written = (folder.Write("sound.safetensors", Shard()), true);
  CHECK(written);
  folder.Write("model.safetensors.index.json", index);
  const auto weights = WeightFolder::Open(folder.path());
  if (!weights.ok()) return;
  const int64_t shape[] = {2, 3};
  const auto view = (*weights)->Get("a", shape);
  CHECK_EQ(view.ok(), (*weights)->Has("a"));
}

void OpenFile(std::string_view bytes) {
  static const ScratchFolder folder;
  folder.Write("one.safetensors", bytes);
  const auto file = SafetensorsFile::Open(folder.path() / "one.safetensors");
  if (file.ok()) ReadAll(**file);
}

}  // namespace eidetic::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes = eidetic::fuzz::View(data, size);
  if (bytes.starts_with('{')) {
    eidetic::fuzz::OpenFolder(bytes);
  } else {
    eidetic::fuzz::OpenFile(bytes);
  }
  return 0;
}
