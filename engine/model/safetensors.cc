#include "engine/model/safetensors.h"

#include <bit>
#include <cstring>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/model/safetensors_header.h"

namespace eidetic {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors data is little-endian");

constexpr size_t kLengthBytes = 8;

std::optional<DType> SupportedDType(std::string_view name) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    if (name == DTypeName(dtype)) return dtype;
  }
  return std::nullopt;
}

// The header's length, which the file holds and the limit allows.
absl::StatusOr<size_t> HeaderLength(std::string_view file, int64_t max_header_bytes) {
  if (file.size() < kLengthBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("truncated: ", file.size(), " bytes hold no header length"));
  }
  uint64_t length = 0;
  std::memcpy(&length, file.data(), kLengthBytes);
  if (length > static_cast<uint64_t>(max_header_bytes)) {
    return absl::InvalidArgumentError(
        absl::StrCat("header of ", length, " bytes exceeds the limit of ", max_header_bytes));
  }
  if (length > file.size() - kLengthBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("truncated: header of ", length, " bytes in a file of ", file.size()));
  }
  return length;
}

absl::Status InFile(const std::filesystem::path& path, const absl::Status& status) {
  return absl::InvalidArgumentError(absl::StrCat(path.string(), ": ", status.message()));
}

}  // namespace

absl::StatusOr<std::unique_ptr<SafetensorsFile>> SafetensorsFile::Open(
    const std::filesystem::path& path, const SafetensorsLimits& limits) {
  auto mapped = MappedFile::Open(path);
  if (!mapped.ok()) return mapped.status();
  std::unique_ptr<SafetensorsFile> file(new SafetensorsFile(*std::move(mapped)));

  const std::string_view text = file->file_->text();
  const absl::StatusOr<size_t> header = HeaderLength(text, limits.max_header_bytes);
  if (!header.ok()) return InFile(path, header.status());
  const std::span<const std::byte> data = file->bytes().subspan(kLengthBytes + *header);
  auto stored = ParseSafetensorsHeader(text.substr(kLengthBytes, *header),
                                       static_cast<int64_t>(data.size()), limits);
  if (!stored.ok()) return InFile(path, stored.status());

  file->header_bytes_ = static_cast<int64_t>(*header);
  for (StoredTensor& tensor : *stored) {
    const std::optional<DType> dtype = SupportedDType(tensor.dtype);
    if (!dtype) {
      file->unsupported_.emplace(std::move(tensor.name), std::move(tensor.dtype));
      continue;
    }
    file->tensors_.emplace(
        std::move(tensor.name),
        TensorView{*dtype, std::move(tensor.shape),
                   data.subspan(tensor.begin, static_cast<size_t>(tensor.end - tensor.begin))});
  }
  return file;
}

}  // namespace eidetic
