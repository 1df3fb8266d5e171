#include "engine/durable/build_id.h"

#include <elf.h>
#include <link.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "absl/strings/str_cat.h"

namespace eidetic {
namespace {

using Ids = std::set<std::string>;  // in an order that loading does not change

// The notes of one segment: name, description, type, each padded to 4.
void AddNotes(const char* at, const char* end, Ids* ids) {
  const auto padded = [](size_t bytes) { return (bytes + 3) / 4 * 4; };
  while (end - at >= static_cast<ptrdiff_t>(sizeof(ElfW(Nhdr)))) {
    ElfW(Nhdr) note;
    std::memcpy(&note, at, sizeof(note));
    const char* const name = at + sizeof(note);
    const char* const description = name + padded(note.n_namesz);
    at = description + padded(note.n_descsz);
    if (at > end) return;
    if (note.n_type == NT_GNU_BUILD_ID) ids->emplace(description, note.n_descsz);
  }
}

int AddObject(dl_phdr_info* object, size_t, void* ids) {
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const ElfW(Phdr)& header = object->dlpi_phdr[i];
    if (header.p_type != PT_NOTE) continue;
    const char* const begin = reinterpret_cast<const char*>(object->dlpi_addr + header.p_vaddr);
    AddNotes(begin, begin + header.p_memsz, static_cast<Ids*>(ids));
  }
  return 0;
}

}  // namespace

std::string BuildId() {
  Ids ids;
  dl_iterate_phdr(AddObject, &ids);
  uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a: ids are hashes already
  for (const std::string& id : ids) {
    for (const char byte : id) hash = (hash ^ static_cast<uint8_t>(byte)) * 0x100000001b3u;
  }
  return absl::StrCat(absl::Hex(hash, absl::kZeroPad16));
}

}  // namespace eidetic
