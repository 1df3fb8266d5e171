// How an extent lies in its file, and how the files are named.
//
// Thread safety: pure functions. Ownership: none. Preconditions: stated per member.
//
// Header, little-endian:
//   8 magic, 4 format version, 4 kind, 8 bytes of content, 8 XXH3-64 of the content,
//   8 XXH3-64 of the header up to here
// then the content, then zeros up to a multiple of 8.
#ifndef EIDETIC_MEMORY_DURABLE_EXTENT_FORMAT_H_
#define EIDETIC_MEMORY_DURABLE_EXTENT_FORMAT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "memory/durable/extent_ref.h"

namespace eidetic::memory {

inline constexpr int64_t kExtentHeaderBytes = 40;
inline constexpr int64_t kExtentAlignment = 8;

constexpr int64_t ExtentPadding(int64_t content_bytes) {
  return (kExtentAlignment - content_bytes % kExtentAlignment) % kExtentAlignment;
}
// What an extent takes of its file.
constexpr int64_t ExtentFileBytes(int64_t content_bytes) {
  return kExtentHeaderBytes + content_bytes + ExtentPadding(content_bytes);
}

// From kind, bytes and checksum; file and offset are not in it.
std::string ExtentHeader(const ExtentRef& ref);
// Whether a file could hold an extent there: false for what no store ever handed out.
bool IsPlausible(const ExtentRef& ref);
// What is wrong with a header of kExtentHeaderBytes that should be that of `ref`; empty: nothing.
std::string HeaderFault(std::string_view header, const ExtentRef& ref);

std::string ExtentFileName(uint64_t file);
// Nothing when it is no name that ExtentFileName gives.
std::optional<uint64_t> ExtentFileOf(std::string_view name);

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_DURABLE_EXTENT_FORMAT_H_
