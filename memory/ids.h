// Strong integer types for everything that is counted in memory/.
//
// Thread safety: plain values. Ownership: none. Preconditions: none.
//
// A PageId can not be passed where a BlockIndex is wanted: mixing the two is
// the kind of mistake that hands one tenant another's memory.
#ifndef EIDETIC_MEMORY_IDS_H_
#define EIDETIC_MEMORY_IDS_H_

#include <compare>
#include <cstdint>
#include <utility>

namespace eidetic::memory {

template <typename Tag, typename Rep>
class StrongInt {
 public:
  constexpr StrongInt() = default;
  constexpr explicit StrongInt(Rep value) : value_(value) {}
  constexpr Rep value() const { return value_; }
  constexpr auto operator<=>(const StrongInt&) const = default;

  template <typename H>
  friend H AbslHashValue(H h, StrongInt id) {
    return H::combine(std::move(h), id.value_);
  }

 private:
  Rep value_ = -1;
};

// A page in the PageStore; -1 names none.
using PageId = StrongInt<struct PageIdTag, int32_t>;
// A state slot in the StateStore; -1 names none.
using SlotIndex = StrongInt<struct SlotIndexTag, int32_t>;

// A block's number within its session: block b holds the tokens
// [b * S, (b + 1) * S). A plain integer, since it is arithmetic on positions.
using BlockIndex = int32_t;
// A token's position within its session.
using Position = int64_t;
// A token of the model's vocabulary.
using TokenId = int32_t;

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_IDS_H_
