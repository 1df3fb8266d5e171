#include "memory/page_store.h"

#include <glog/logging.h>

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace eidetic::memory {
namespace {

constexpr size_t kAlignment = 64;
// Large enough that slabs are few, small enough that an idle server holds little.
constexpr size_t kSlabBytes = size_t{16} << 20;

size_t Stride(size_t page_bytes) {
  return std::max(kAlignment, (page_bytes + kAlignment - 1) / kAlignment * kAlignment);
}

}  // namespace

PageStore::PageStore(Arena* arena, size_t page_bytes, int32_t capacity)
    : arena_(arena),
      page_bytes_(page_bytes),
      stride_(Stride(page_bytes)),
      pages_per_slab_(static_cast<int32_t>(std::max<size_t>(1, kSlabBytes / stride_))),
      allocator_(capacity),
      slabs_((size_t(capacity) + pages_per_slab_ - 1) / pages_per_slab_, nullptr),
      dirty_(capacity, false) {}

PageStore::~PageStore() {
  for (size_t slab = 0; slab < slabs_.size(); ++slab) {
    if (slabs_[slab] != nullptr) arena_->Free(slabs_[slab], SlabBytes(slab));
  }
}

size_t PageStore::SlabBytes(size_t slab) const {
  const int32_t first = static_cast<int32_t>(slab) * pages_per_slab_;
  return stride_ * std::min(pages_per_slab_, capacity() - first);
}

absl::Status PageStore::EnsureSlab(PageId page) {
  const size_t slab = page.value() / pages_per_slab_;
  if (slabs_[slab] != nullptr) return absl::OkStatus();
  absl::StatusOr<void*> memory = arena_->Allocate(SlabBytes(slab));
  if (!memory.ok()) return memory.status();
  slabs_[slab] = *memory;
  return absl::OkStatus();
}

absl::StatusOr<std::vector<PageId>> PageStore::Allocate(int32_t count, Fill fill) {
  absl::StatusOr<std::vector<PageId>> pages = allocator_.Allocate(count);
  if (!pages.ok()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("pages of ", page_bytes_, " bytes: ", std::string(pages.status().message()),
                     "; raise the limit or end sessions"));
  }
  for (PageId page : *pages) {
    if (absl::Status status = EnsureSlab(page); !status.ok()) {
      // Backwards, so that the free pages keep their order.
      std::for_each(pages->rbegin(), pages->rend(), [this](PageId p) { Release(p); });
      return status;
    }
  }
  for (PageId page : *pages) {
    if (fill == Fill::kZero && dirty_[page.value()]) arena_->Zero(Address(page), stride_);
    dirty_[page.value()] = true;
  }
  return pages;
}

absl::StatusOr<PageId> PageStore::Clone(PageId page) {
  absl::StatusOr<std::vector<PageId>> copy = Allocate(1);
  if (!copy.ok()) return copy.status();
  arena_->Copy(Address(copy->front()), Address(page), stride_);
  return copy->front();
}

void* PageStore::Address(PageId page) const {
  CHECK_GT(allocator_.references(page), 0) << "page " << page.value() << " is not held";
  return static_cast<char*>(slabs_[page.value() / pages_per_slab_]) +
         stride_ * (page.value() % pages_per_slab_);
}

}  // namespace eidetic::memory
