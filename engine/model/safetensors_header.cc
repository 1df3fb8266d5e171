#include "engine/model/safetensors_header.h"

#include <algorithm>
#include <optional>
#include <tuple>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/model/json_events.h"
#include "engine/text/quoted.h"

namespace eidetic {
namespace {

constexpr std::string_view kMetadataKey = "__metadata__";

// Bytes per element of every dtype that is a whole number of bytes; 0 for a
// dtype that is unknown or packs several elements into a byte.
int64_t ElementBytes(std::string_view dtype) {
  struct Row {
    std::string_view name;
    int64_t bytes;
  };
  static constexpr Row kRows[] = {
      {"F32", 4},  {"F16", 2}, {"BF16", 2},    {"F64", 8},     {"I64", 8}, {"I32", 4},
      {"I16", 2},  {"I8", 1},  {"U64", 8},     {"U32", 4},     {"U16", 2}, {"U8", 1},
      {"BOOL", 1}, {"C64", 8}, {"F8_E4M3", 1}, {"F8_E5M2", 1},
  };
  for (const Row& row : kRows) {
    if (row.name == dtype) return row.bytes;
  }
  return 0;
}

// {name: {"dtype": string, "shape": [n...], "data_offsets": [begin, end]}}
class HeaderEvents : public JsonEvents {
 public:
  explicit HeaderEvents(const SafetensorsLimits& limits) : limits_(limits) {}
  std::vector<StoredTensor> TakeTensors() { return std::move(tensors_); }

  bool start_object(size_t) override {
    // Depth 1 is the header, depth 2 a tensor or the metadata.
    if (depth_ >= 2 || in_array_) return Misplaced("object");
    ++depth_;
    return true;
  }

  bool end_object() override {
    if (--depth_ != 1 || in_metadata_) return true;
    const StoredTensor& tensor = tensors_.back();
    if (tensor.dtype.empty()) return FailAt("dtype", "is missing");
    if (!has_shape_) return FailAt("shape", "is missing");
    if (offsets_.size() != 2) return FailAt("data_offsets", "must be [begin, end]");
    tensors_.back().begin = offsets_[0];
    tensors_.back().end = offsets_[1];
    return true;
  }

  bool key(std::string& name) override {
    if (depth_ == 1) return BeginEntry(name);
    field_ = name;
    if (in_metadata_) return true;
    if (name == "dtype") return tensors_.back().dtype.empty() || FailAt(name, "appears twice");
    if (name == "shape") return !has_shape_ || FailAt(name, "appears twice");
    if (name == "data_offsets") return offsets_.empty() || FailAt(name, "appears twice");
    return FailAt(Quoted(name), "is not a field of a tensor");
  }

  bool string(std::string& value) override {
    if (depth_ == 2 && in_metadata_) return true;
    if (depth_ != 2 || in_array_ || field_ != "dtype") return Misplaced("string");
    if (ElementBytes(value) == 0) return FailAt("dtype", absl::StrCat("unknown ", Quoted(value)));
    tensors_.back().dtype = value;
    return true;
  }

  bool start_array(size_t) override {
    if (depth_ != 2 || in_metadata_ || in_array_ || field_ == "dtype") return Misplaced("array");
    in_array_ = true;
    if (field_ == "shape") has_shape_ = true;
    return true;
  }

  bool end_array() override {
    in_array_ = false;
    return true;
  }

  bool number_unsigned(uint64_t value) override {
    if (!in_array_) return Misplaced("number");
    if (value > static_cast<uint64_t>(INT64_MAX)) return FailAt(field_, "number is too large");
    const bool is_shape = field_ == "shape";
    std::vector<int64_t>& list = is_shape ? tensors_.back().shape : offsets_;
    const size_t max_count = is_shape ? limits_.max_rank : 2;
    if (list.size() == max_count) {
      return FailAt(field_, absl::StrCat("has more than ", max_count, " numbers"));
    }
    list.push_back(static_cast<int64_t>(value));
    return true;
  }

 protected:
  bool OnOther() override { return Misplaced("null, boolean, negative or fractional number"); }

 private:
  bool BeginEntry(const std::string& name) {
    in_metadata_ = name == kMetadataKey;
    if (in_metadata_) return true;
    if (tensors_.size() == static_cast<size_t>(limits_.max_tensors)) {
      return Fail(absl::StrCat("more than ", limits_.max_tensors, " tensors"));
    }
    tensors_.emplace_back().name = name;
    offsets_.clear();
    has_shape_ = false;
    return true;
  }

  bool FailAt(std::string_view field, std::string_view reason) {
    return Fail(absl::StrCat("tensor ", Quoted(tensors_.back().name), ": ", std::string(field), " ",
                             std::string(reason)));
  }

  bool Misplaced(std::string_view kind) {
    if (depth_ == 2 && !in_metadata_) {
      return FailAt(field_, absl::StrCat("is an unexpected ", std::string(kind)));
    }
    return Fail(absl::StrCat("header must be {name: {dtype, shape, data_offsets}}: unexpected ",
                             std::string(kind), " near ",
                             Quoted(tensors_.empty() ? field_ : tensors_.back().name)));
  }

  const SafetensorsLimits& limits_;
  std::vector<StoredTensor> tensors_;
  std::vector<int64_t> offsets_;  // of tensors_.back()
  std::string field_;
  int depth_ = 0;
  bool has_shape_ = false;
  bool in_array_ = false;
  bool in_metadata_ = false;
};

std::optional<int64_t> ByteSize(const StoredTensor& tensor) {
  int64_t bytes = ElementBytes(tensor.dtype);
  for (const int64_t dim : tensor.shape) {
    if (__builtin_mul_overflow(bytes, dim, &bytes)) return std::nullopt;
  }
  return bytes;
}

absl::Status TensorError(const StoredTensor& tensor, std::string_view reason) {
  return absl::InvalidArgumentError(
      absl::StrCat("tensor ", Quoted(tensor.name), ": ", std::string(reason)));
}

absl::Status CheckExtent(const StoredTensor& tensor, int64_t data_bytes) {
  const std::optional<int64_t> bytes = ByteSize(tensor);
  if (!bytes) return TensorError(tensor, "shape: its product overflows 64 bits");
  if (tensor.begin > tensor.end) return TensorError(tensor, "data_offsets: begin is beyond end");
  if (tensor.end > data_bytes) {
    return TensorError(tensor, absl::StrCat("data_offsets: ", tensor.end, " is beyond the ",
                                            data_bytes, " bytes of data; the file is truncated"));
  }
  if (tensor.end - tensor.begin != *bytes) {
    return TensorError(tensor, absl::StrCat("data_offsets: span ", tensor.end - tensor.begin,
                                            " bytes, but dtype and shape need ", *bytes));
  }
  return absl::OkStatus();
}

// Sorted by offset, every tensor must begin where the one before it ended.
absl::Status CheckTiling(const std::vector<StoredTensor>& sorted, int64_t data_bytes) {
  int64_t end = 0;
  for (const StoredTensor& tensor : sorted) {
    if (tensor.begin != end) {
      return TensorError(tensor,
                         absl::StrCat("data_offsets: begins at ", tensor.begin,
                                      tensor.begin < end ? ", overlapping" : ", a gap after",
                                      " the tensor that ends at ", end));
    }
    end = tensor.end;
  }
  if (end == data_bytes) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(data_bytes - end, " bytes after the last tensor belong to none"));
}

absl::Status CheckNamesDiffer(const std::vector<StoredTensor>& tensors) {
  std::vector<std::string_view> names;
  for (const StoredTensor& tensor : tensors) names.push_back(tensor.name);
  std::sort(names.begin(), names.end());
  const auto twin = std::adjacent_find(names.begin(), names.end());
  if (twin == names.end()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("tensor ", Quoted(*twin), " appears twice"));
}

}  // namespace

absl::StatusOr<std::vector<StoredTensor>> ParseSafetensorsHeader(std::string_view json,
                                                                 int64_t data_bytes,
                                                                 const SafetensorsLimits& limits) {
  HeaderEvents events(limits);
  if (absl::Status status = events.Read(json); !status.ok()) return status;
  std::vector<StoredTensor> tensors = events.TakeTensors();
  if (absl::Status status = CheckNamesDiffer(tensors); !status.ok()) return status;
  for (const StoredTensor& tensor : tensors) {
    if (absl::Status status = CheckExtent(tensor, data_bytes); !status.ok()) return status;
  }
  std::sort(tensors.begin(), tensors.end(), [](const StoredTensor& a, const StoredTensor& b) {
    return std::tie(a.begin, a.end) < std::tie(b.begin, b.end);
  });
  if (absl::Status status = CheckTiling(tensors, data_bytes); !status.ok()) return status;
  return tensors;
}

}  // namespace eidetic
