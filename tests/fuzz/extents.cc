// A file of extents: the input is its name's number of bytes, its name, and what it holds, as it is
// and with the checksum of its first header made good.
#include <glog/logging.h>

#include <algorithm>
#include <memory>

#include "memory/durable/checksum.h"
#include "memory/durable/extent_format.h"
#include "memory/durable/extent_store.h"
#include "memory/durable/record.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/fuzz/scratch_folder.h"

namespace eidetic::fuzz {
namespace {

using memory::ExtentKind;
using memory::ExtentRef;
constexpr uint64_t kFile = 1;

ExtentRef RefOf(std::string_view content) {
  return {.file = kFile,
          .offset = 0,
          .bytes = static_cast<int64_t>(content.size()),
          .kind = ExtentKind::kPage,
          .checksum = memory::Checksum(content)};
}

std::string Input(const std::string& content) {
  const std::string name = memory::ExtentFileName(kFile);
  return static_cast<char>(name.size()) + name + memory::ExtentHeader(RefOf(content)) + content +
         std::string(memory::ExtentPadding(static_cast<int64_t>(content.size())), '\0');
}

std::string WithGoodHeader(std::string_view bytes) {
  constexpr size_t kChecksumPlace = memory::kExtentHeaderBytes - sizeof(uint64_t);
  std::string good(bytes);
  if (good.size() < memory::kExtentHeaderBytes) return good;
  memory::RecordWriter checksum;
  checksum.Fixed64(memory::Checksum(bytes.substr(0, kChecksumPlace)));
  return good.replace(kChecksumPlace, sizeof(uint64_t), checksum.bytes());
}

}  // namespace

void TryName(std::string_view name) {
  const auto file = memory::ExtentFileOf(name);
  if (file.has_value()) CHECK(memory::ExtentFileName(*file) == name) << *file;
}

// A store over the file reads what has the checksum that the manifest says, and nothing else.
void TryFile(std::string_view bytes) {
  static const ScratchFolder folder;
  static memory::FileSystem* const files = memory::FileSystem::Posix();
  folder.Write(memory::ExtentFileName(kFile), bytes);
  auto store = memory::ExtentStore::Open(files, folder.path(), {});
  CHECK(store.ok()) << store.status();
  const size_t header = std::min<size_t>(bytes.size(), memory::kExtentHeaderBytes);
  const std::string_view rest = bytes.substr(header);
  for (size_t size : {rest.size(), rest.size() - rest.size() % 8, rest.size() / 2}) {
    const ExtentRef ref = RefOf(rest.substr(0, size));
    std::string content(size, '\0');
    const absl::Status read =
        (*store)->Read(ref, std::as_writable_bytes(std::span(content.data(), content.size())));
    if (read.ok()) CHECK(content == rest.substr(0, size));
    (void)memory::HeaderFault(bytes.substr(0, memory::kExtentHeaderBytes), ref);
  }
}

std::vector<std::string> Seeds() { return {Input("twelve bytes"), Input(std::string(64, 'x'))}; }

}  // namespace eidetic::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view rest = eidetic::fuzz::View(data, size).substr(1);
  const std::string_view name = rest.substr(0, data[0]);
  eidetic::fuzz::TryName(name);
  const std::string_view content = rest.substr(name.size());
  eidetic::fuzz::TryFile(content);
  eidetic::fuzz::TryFile(eidetic::fuzz::WithGoodHeader(content));
  return 0;
}
