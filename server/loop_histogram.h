// A histogram that one thread fills without a lock, and hands on in one go.
//
// What: what happens for every token must cost next to nothing; prometheus::Histogram takes a lock
//   and an atomic addition for each value.
// Thread safety: one thread. Ownership: borrows the histogram.
// Preconditions: `bounds` are the histogram's, rising.
#ifndef EIDETIC_SERVER_LOOP_HISTOGRAM_H_
#define EIDETIC_SERVER_LOOP_HISTOGRAM_H_

#include <prometheus/histogram.h>

#include <algorithm>
#include <vector>

namespace eidetic {

class LoopHistogram {
 public:
  LoopHistogram(prometheus::Histogram* to, std::vector<double> bounds)
      : to_(to), bounds_(std::move(bounds)), counts_(bounds_.size() + 1) {}

  void Observe(double value) {
    const auto bound = std::lower_bound(bounds_.begin(), bounds_.end(), value);
    counts_[bound - bounds_.begin()] += 1;
    sum_ += value;
    empty_ = false;
  }

  // Into the histogram.
  void Flush() {
    if (empty_) return;
    to_->ObserveMultiple(counts_, sum_);
    std::fill(counts_.begin(), counts_.end(), 0);
    sum_ = 0;
    empty_ = true;
  }

 private:
  prometheus::Histogram* const to_;
  const std::vector<double> bounds_;
  std::vector<double> counts_;  // values of each bucket; the last one is beyond all bounds
  double sum_ = 0;
  bool empty_ = true;
};

}  // namespace eidetic

#endif  // EIDETIC_SERVER_LOOP_HISTOGRAM_H_
