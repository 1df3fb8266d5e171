#include "memory/durable/extent_store.h"

#include <glog/logging.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "memory/durable/checksum.h"
#include "memory/durable/extent_format.h"
#include "memory/durable/fail_point.h"

namespace eidetic::memory {
namespace {

// File descriptors that readers keep: a small share of what a process may have.
constexpr size_t kMaxOpenReaders = 128;

std::span<const std::byte> AsBytes(const std::string& text) {
  return std::as_bytes(std::span(text));
}

// "a" for "a/b" and for "a/b/".
std::filesystem::path ParentOf(const std::filesystem::path& folder) {
  const std::filesystem::path named = folder.has_filename() ? folder : folder.parent_path();
  return named.has_parent_path() ? named.parent_path() : ".";
}

}  // namespace

ExtentStore::ExtentStore(FileSystem* files, const std::filesystem::path& folder,
                         const ExtentLimits& limits)
    : files_(files), folder_(folder), limits_(limits) {}

ExtentStore::~ExtentStore() = default;

std::filesystem::path ExtentStore::PathOf(uint64_t file) const {
  return folder_ / ExtentFileName(file);
}

absl::StatusOr<std::unique_ptr<ExtentStore>> ExtentStore::Open(FileSystem* files,
                                                               const std::filesystem::path& folder,
                                                               const ExtentLimits& limits) {
  if (absl::Status made = files->MakeFolder(folder); !made.ok()) return made;
  if (absl::Status synced = files->SyncFolder(ParentOf(folder)); !synced.ok()) return synced;
  auto store = absl::WrapUnique(new ExtentStore(files, folder, limits));
  if (absl::Status status = store->TakeStock(); !status.ok()) return status;
  return store;
}

absl::Status ExtentStore::TakeStock() {
  absl::StatusOr<std::vector<std::string>> names = files_->List(folder_);
  if (!names.ok()) return names.status();
  for (const std::string& name : *names) {
    const std::optional<uint64_t> file = ExtentFileOf(name);
    if (!file) continue;
    absl::StatusOr<Reader> reader = files_->Open(folder_ / name);
    if (!reader.ok()) return reader.status();
    absl::StatusOr<int64_t> bytes = (*reader)->Size();
    if (!bytes.ok()) return bytes.status();
    absl::MutexLock lock(&mutex_);
    known_[*file].bytes = *bytes;
    next_file_ = std::max(next_file_, *file + 1);
  }
  return absl::OkStatus();
}

absl::StatusOr<ExtentRef> ExtentStore::Append(ExtentKind kind, std::span<const std::byte> bytes) {
  ExtentRef ref{.bytes = static_cast<int64_t>(bytes.size()), .kind = kind};
  if (ref.bytes > limits_.max_extent_bytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "an extent of ", ref.bytes, " bytes: max_extent_bytes is ", limits_.max_extent_bytes));
  }
  ref.checksum = Checksum(bytes);
  const int64_t file_bytes = ExtentFileBytes(ref.bytes);
  absl::MutexLock writing(&writing_mutex_);
  if (absl::Status status = BeginExtent(file_bytes); !status.ok()) return status;
  {
    absl::MutexLock lock(&mutex_);
    File& file = known_.at(writing_file_);
    ref.file = writing_file_;
    ref.offset = std::exchange(file.bytes, file.bytes + file_bytes);
  }
  if (absl::Status status = WriteExtent(ref, bytes); !status.ok()) {
    // Extents before this one are whole, and durable if they can be synced; if not, their
    // owners hear of it from Sync.
    SyncFile().IgnoreError();
    CloseFile();
    return status;
  }
  absl::MutexLock lock(&mutex_);
  File& file = known_.at(ref.file);
  ++file.references;
  ++file.undurable_references;
  written_bytes_ += file_bytes;
  return ref;
}

absl::Status ExtentStore::BeginExtent(int64_t file_bytes) {
  if (writing_ != nullptr) {
    {
      absl::MutexLock lock(&mutex_);
      const int64_t used = known_.at(writing_file_).bytes;
      if (used == 0 || used + file_bytes <= limits_.max_file_bytes) return absl::OkStatus();
    }
    const absl::Status status = SyncFile();
    CloseFile();
    if (!status.ok()) return status;
  }
  return BeginFile();
}

absl::Status ExtentStore::BeginFile() {
  uint64_t number = 0;
  {
    absl::MutexLock lock(&mutex_);
    // A manifest may name a file that is gone: its number is not used for another.
    while (known_.contains(next_file_)) ++next_file_;
    number = next_file_++;
  }
  auto created = files_->Create(PathOf(number));
  if (!created.ok()) return created.status();
  absl::Status named = files_->SyncFolder(folder_);
  {
    absl::MutexLock lock(&mutex_);
    known_[number].durable_end = 0;
    if (named.ok()) writing_file_ = number;
  }
  if (!named.ok()) {
    RemoveIfUnused(number);
    return named;
  }
  writing_ = *std::move(created);
  return absl::OkStatus();
}

absl::Status ExtentStore::WriteExtent(const ExtentRef& ref, std::span<const std::byte> bytes) {
  static constexpr std::array<std::byte, kExtentAlignment> kZeros{};
  if (absl::Status status = writing_->Append(AsBytes(ExtentHeader(ref))); !status.ok()) {
    return status;
  }
  FailPoint("extents.within_append");
  if (absl::Status status = writing_->Append(bytes); !status.ok()) return status;
  return writing_->Append(std::span(kZeros).first(ExtentPadding(ref.bytes)));
}

absl::Status ExtentStore::Sync() {
  absl::MutexLock writing(&writing_mutex_);
  if (absl::Status status = SyncFile(); !status.ok()) {
    CloseFile();
    return status;
  }
  absl::MutexLock lock(&mutex_);
  for (const auto& [number, file] : known_) {
    if (file.undurable_references > 0) return lost_;
  }
  return absl::OkStatus();
}

absl::Status ExtentStore::SyncFile() {
  if (writing_ == nullptr) return absl::OkStatus();
  {
    absl::MutexLock lock(&mutex_);
    const File& file = known_.at(writing_file_);
    if (file.durable_end == file.bytes) return absl::OkStatus();
  }
  FailPoint("extents.before_sync");
  if (absl::Status status = writing_->Sync(); !status.ok()) return lost_ = status;
  absl::MutexLock lock(&mutex_);
  File& file = known_.at(writing_file_);
  file.durable_end = file.bytes;
  file.undurable_references = 0;
  return absl::OkStatus();
}

absl::Status ExtentStore::Read(const ExtentRef& ref, std::span<std::byte> to) const {
  CHECK_EQ(static_cast<int64_t>(to.size()), ref.bytes);
  const absl::Status status = ReadChecked(ref, to);
  if (status.ok()) return status;
  const bool lost = absl::IsDataLoss(status) || absl::IsNotFound(status);
  return absl::Status(lost ? absl::StatusCode::kDataLoss : status.code(),
                      absl::StrCat("extent at ", ref.offset, " of ", PathOf(ref.file).string(),
                                   ": ", status.message()));
}

void ExtentStore::WillRead(const ExtentRef& ref) const {
  if (!IsPlausible(ref)) return;
  const absl::StatusOr<Reader> reader = ReaderOf(ref.file);
  if (reader.ok()) (*reader)->WillRead(ref.offset, ExtentFileBytes(ref.bytes));
}

absl::Status ExtentStore::ReadChecked(const ExtentRef& ref, std::span<std::byte> to) const {
  if (!IsPlausible(ref)) return absl::DataLossError("no extent can be there");
  absl::StatusOr<Reader> reader = ReaderOf(ref.file);
  if (!reader.ok()) return reader.status();

  std::array<char, kExtentHeaderBytes> header;
  absl::Status status = (*reader)->Read(ref.offset, std::as_writable_bytes(std::span(header)));
  if (!status.ok()) return status;
  const std::string fault = HeaderFault(std::string_view(header.data(), header.size()), ref);
  if (!fault.empty()) return absl::DataLossError(fault);

  const int64_t begin = ref.offset + kExtentHeaderBytes;
  if (status = (*reader)->Read(begin, to); !status.ok()) return status;
  if (Checksum(to) != ref.checksum) return absl::DataLossError("the content is damaged");

  std::array<std::byte, kExtentAlignment> rest{};
  status = (*reader)->Read(begin + ref.bytes, std::span(rest).first(ExtentPadding(ref.bytes)));
  if (!status.ok()) return status;
  const bool zeros =
      std::all_of(rest.begin(), rest.end(), [](std::byte b) { return b == std::byte{0}; });
  return zeros ? absl::OkStatus() : absl::DataLossError("the padding is damaged");
}

absl::StatusOr<ExtentStore::Reader> ExtentStore::ReaderOf(uint64_t file) const {
  {
    absl::MutexLock lock(&mutex_);
    if (auto open = readers_.find(file); open != readers_.end()) return open->second;
  }
  absl::StatusOr<Reader> reader = files_->Open(PathOf(file));
  if (!reader.ok()) return reader;
  absl::MutexLock lock(&mutex_);
  if (!known_.contains(file)) return reader;  // removed meanwhile: not kept
  if (readers_.size() >= kMaxOpenReaders) readers_.clear();
  readers_[file] = *reader;
  return reader;
}

int64_t ExtentStore::stored_bytes() const {
  absl::MutexLock lock(&mutex_);
  int64_t sum = 0;
  for (const auto& [number, file] : known_) sum += file.bytes;
  return sum;
}

int64_t ExtentStore::written_bytes() const {
  absl::MutexLock lock(&mutex_);
  return written_bytes_;
}

}  // namespace eidetic::memory
