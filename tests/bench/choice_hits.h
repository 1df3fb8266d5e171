// How many of the truly best blocks a choice of spans holds.
//
// What: asks the backend the same queries again with the exact rule (the maximum of q.k over
//   every distant token) and counts the blocks that both choices have.
// Thread safety: none. Ownership: owns a buffer, borrows the backend. Preconditions: none.
#ifndef EIDETIC_TESTS_BENCH_CHOICE_HITS_H_
#define EIDETIC_TESTS_BENCH_CHOICE_HITS_H_

#include <algorithm>
#include <cstdint>

#include "engine/backend/backend.h"

namespace eidetic::bench {

class ChoiceHits {
 public:
  explicit ChoiceHits(Backend* backend) : backend_(backend) {}
  ~ChoiceHits() { Drop(); }
  ChoiceHits(const ChoiceHits&) = delete;
  ChoiceHits& operator=(const ChoiceHits&) = delete;

  // Of a RetrieveSpan that the backend has been given: waits for it.
  void Count(const RetrieveSpanParams& params);
  // Of the blocks that the exact rule chose; 0 when it chose none.
  double share() const {
    return static_cast<double>(found_) / static_cast<double>(std::max<int64_t>(1, wanted_));
  }

 private:
  void Drop();

  Backend* const backend_;
  void* blocks_ = nullptr;  // as RetrieveSpanParams::blocks
  size_t bytes_ = 0;
  int64_t wanted_ = 0, found_ = 0;
};

}  // namespace eidetic::bench

#endif  // EIDETIC_TESTS_BENCH_CHOICE_HITS_H_
