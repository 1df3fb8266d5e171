// Numbers the items of work of several chunks, each with its own count.
//
// What: worked example: counts 2, 3, 4 give offsets [0, 2, 5, 9]; item 4 is
//   part 2 of chunk 1.
// Thread safety: immutable. Ownership: values. Preconditions: counts >= 1.
#ifndef EIDETIC_ENGINE_BACKEND_CPU_CHUNK_ITEMS_H_
#define EIDETIC_ENGINE_BACKEND_CPU_CHUNK_ITEMS_H_

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

namespace eidetic::cpu {

class ChunkItems {
 public:
  // count_of(i): the items of chunk i.
  template <class CountOf>
  ChunkItems(size_t chunks, CountOf count_of) {
    offsets_.reserve(chunks + 1);
    offsets_.push_back(0);
    for (size_t i = 0; i < chunks; ++i) offsets_.push_back(offsets_.back() + count_of(i));
  }

  int64_t count() const { return offsets_.back(); }
  // The number of the first item of `chunk`.
  int64_t begin(size_t chunk) const { return offsets_[chunk]; }
  // {chunk, part within it} of an item.
  std::pair<size_t, int64_t> Locate(int64_t item) const {
    const auto above = std::upper_bound(offsets_.begin(), offsets_.end(), item);
    const size_t chunk = static_cast<size_t>(above - offsets_.begin()) - 1;
    return {chunk, item - offsets_[chunk]};
  }

 private:
  std::vector<int64_t> offsets_;
};

}  // namespace eidetic::cpu

#endif  // EIDETIC_ENGINE_BACKEND_CPU_CHUNK_ITEMS_H_
