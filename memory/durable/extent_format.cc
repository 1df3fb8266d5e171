#include "memory/durable/extent_format.h"

#include <charconv>
#include <limits>

#include "absl/strings/str_cat.h"
#include "memory/durable/checksum.h"
#include "memory/durable/record.h"

namespace eidetic::memory {
namespace {

constexpr uint64_t kMagic = 0x544e545845444945;  // "EIDEXTNT"
constexpr uint32_t kFormatVersion = 1;
constexpr std::string_view kSuffix = ".extents";
// One less than 64 bits take: no file's name makes the counter of files wrap.
constexpr size_t kNameDigits = 15;

}  // namespace

std::string ExtentHeader(const ExtentRef& ref) {
  RecordWriter header;
  header.Fixed64(kMagic);
  header.Fixed32(kFormatVersion);
  header.Fixed32(static_cast<uint32_t>(ref.kind));
  header.Fixed64(ref.bytes);
  header.Fixed64(ref.checksum);
  header.Fixed64(Checksum(header.bytes()));
  return header.Take();
}

bool IsPlausible(const ExtentRef& ref) {
  constexpr int64_t kEnd = std::numeric_limits<int64_t>::max() - kExtentHeaderBytes - 8;
  return ref.offset >= 0 && ref.offset % kExtentAlignment == 0 && ref.bytes >= 0 &&
         ref.offset <= kEnd && ref.bytes <= kEnd - ref.offset;
}

std::string HeaderFault(std::string_view header, const ExtentRef& ref) {
  RecordReader reader(header);
  const uint64_t magic = reader.Fixed64();
  const uint32_t version = reader.Fixed32(), kind = reader.Fixed32();
  const uint64_t bytes = reader.Fixed64(), checksum = reader.Fixed64();
  if (magic != kMagic) return "no extent begins here";
  if (Checksum(header.substr(0, kExtentHeaderBytes - 8)) != reader.Fixed64()) {
    return "the header is damaged";
  }
  if (version != kFormatVersion) {
    return absl::StrCat("format ", version, ", this build reads ", kFormatVersion);
  }
  const uint32_t kind_wanted = static_cast<uint32_t>(ref.kind);
  if (kind != kind_wanted) return absl::StrCat("kind ", kind, " where ", kind_wanted, " belongs");
  if (bytes != static_cast<uint64_t>(ref.bytes)) {
    return absl::StrCat(bytes, " bytes where ", ref.bytes, " belong");
  }
  return checksum == ref.checksum ? "" : "other content than was named";
}

std::string ExtentFileName(uint64_t file) {
  return absl::StrCat(absl::Hex(file, absl::kZeroPad15), std::string(kSuffix));
}

std::optional<uint64_t> ExtentFileOf(std::string_view name) {
  if (name.size() != kNameDigits + kSuffix.size() || !name.ends_with(kSuffix)) return std::nullopt;
  uint64_t file = 0;
  const char* const end = name.data() + kNameDigits;
  const auto [stop, error] = std::from_chars(name.data(), end, file, 16);
  if (error != std::errc() || stop != end || ExtentFileName(file) != name) return std::nullopt;
  return file;
}

}  // namespace eidetic::memory
