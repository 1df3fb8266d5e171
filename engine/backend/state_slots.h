// The state slots of a batch, for tests of the operations that advance them.
//
// What: one slot a sequence, or two when the new state stands apart. Which of them a sequence
//   has turns with `round`: a replayed step must look where it is told to. The last `ssm` numbers
//   of a slot are an SSM state, and stored as the backend stores one.
// Thread safety: none. Ownership: the OpRun owns the memory.
// Preconditions: offsets are multiples of 4.
#ifndef EIDETIC_ENGINE_BACKEND_STATE_SLOTS_H_
#define EIDETIC_ENGINE_BACKEND_STATE_SLOTS_H_

#include <cstdint>
#include <cstring>
#include <numeric>
#include <span>
#include <vector>

#include "engine/backend/backend_fixture.h"
#include "memory/bf16.h"

namespace eidetic {

inline int64_t CountRows(std::span<const int64_t> lengths) {
  return std::accumulate(lengths.begin(), lengths.end(), int64_t{0});
}

class StateSlots {
 public:
  // Slots of `offset` bytes that nobody may write, then `size` numbers.
  StateSlots(std::span<const int64_t> lengths, size_t offset, int64_t size, int64_t ssm,
             bool in_place, uint64_t round, OpRun& run)
      : run_(run),
        pad_(static_cast<int64_t>(offset / sizeof(float))),
        size_(size),
        narrow_(run->ssm_element_bytes() == sizeof(memory::Bf16) ? ssm : 0) {
    std::vector<void*> in, out;
    for (size_t i = 0; i < lengths.size(); ++i) {
      in.push_back(size == 0 ? nullptr : run.Zeros(pad_ + size));
      out.push_back(size == 0 || in_place ? in.back() : run.Zeros(pad_ + size));
    }
    for (size_t i = 0; i < lengths.size(); ++i) {
      const size_t slot = (i + round) % lengths.size();
      spans_.push_back({.row_begin = rows_,
                        .row_count = lengths[i],
                        .state_in = in[slot],
                        .state_out = out[slot]});
      rows_ += lengths[i];
    }
  }

  // The state of sequence i before the step, [size].
  void Set(size_t i, const std::vector<float>& state) {
    if (size_ == 0) return;
    std::vector<float> slot(pad_, kPad);
    slot.insert(slot.end(), state.begin(), state.end());
    auto* narrow = reinterpret_cast<memory::Bf16*>(slot.data() + slot.size() - narrow_);
    for (int64_t n = 0; n < narrow_; ++n) {
      const memory::Bf16 number = memory::RoundNearest(state[size_ - narrow_ + n]);
      std::memcpy(narrow + n, &number, sizeof(number));
    }
    const size_t bytes = slot.size() * sizeof(float);
    run_->arena()->CopyFromHost(const_cast<void*>(spans_[i].state_in), slot.data(), bytes);
    if (spans_[i].state_in == spans_[i].state_out) return;
    run_->arena()->CopyFromHost(spans_[i].state_out, slot.data(), pad_ * sizeof(float));
  }

  // Every sequence's state after the step; what stands before it must be as it was.
  void AppendStates(std::vector<float>* to) {
    for (const StateSpan& span : spans_) {
      std::vector<float> slot = run_.ReadFloats(span.state_out, size_ == 0 ? 0 : pad_ + size_);
      const std::vector<float> stored(slot.end() - narrow_, slot.end());
      const auto* narrow = reinterpret_cast<const memory::Bf16*>(stored.data());
      for (int64_t n = 0; n < narrow_; ++n) {
        memory::Bf16 number;
        std::memcpy(&number, narrow + n, sizeof(number));
        slot[slot.size() - narrow_ + n] = memory::Widen(number);
      }
      for (int64_t i = 0; i < static_cast<int64_t>(slot.size()); ++i) {
        if (i >= pad_) {
          to->push_back(slot[i]);
        } else {
          EXPECT_EQ(slot[i], kPad);
        }
      }
    }
  }

  std::span<const StateSpan> spans() const { return spans_; }
  int64_t rows() const { return rows_; }

 private:
  static constexpr float kPad = 7.5f;

  OpRun& run_;
  int64_t pad_, size_, narrow_, rows_ = 0;
  std::vector<StateSpan> spans_;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_BACKEND_STATE_SLOTS_H_
