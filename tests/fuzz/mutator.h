// Draws inputs around given ones.
//
// What: bits flipped, bytes set, pieces cut, repeated or taken from another input, numbers replaced
//   by those at the ends of ranges. The same seed draws the same inputs, on every machine.
// Thread safety: thread-compatible. Ownership: owns its inputs. Preconditions: stated below.
#ifndef EIDETIC_TESTS_FUZZ_MUTATOR_H_
#define EIDETIC_TESTS_FUZZ_MUTATOR_H_

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace eidetic::fuzz {

class Mutator {
 public:
  // Precondition: `inputs` is not empty.
  Mutator(std::vector<std::string> inputs, uint64_t seed)
      : inputs_(std::move(inputs)), random_(seed) {}

  // One of the inputs after one to eight mutations; at most kMaxInputBytes.
  std::string Draw();

  static constexpr size_t kMaxInputBytes = 1 << 16;

 private:
  size_t Below(size_t end) { return end == 0 ? 0 : random_() % end; }
  void Mutate(std::string* input);
  void ReplaceNumber(std::string* input);
  // A piece of one of the inputs, at most `most` bytes.
  std::string Piece(size_t most);

  const std::vector<std::string> inputs_;
  std::mt19937_64 random_;
};

}  // namespace eidetic::fuzz

#endif  // EIDETIC_TESTS_FUZZ_MUTATOR_H_
