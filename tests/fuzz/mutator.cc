#include "tests/fuzz/mutator.h"

#include <algorithm>
#include <cctype>
#include <cstring>

namespace eidetic::fuzz {
namespace {

constexpr const char* kNumbers[] = {"0",          "-1",         "1e999",
                                    "4294967296", "2147483648", "9223372036854775807",
                                    "-0.0",       "1e-320",     "18446744073709551616"};
constexpr uint64_t kWords[] = {0,          1,          0x7f,       0x80,     0x7fffffff,
                               0x80000000, 0xffffffff, UINT64_MAX, INT64_MAX};
constexpr size_t kMaxPieceBytes = 64;
constexpr size_t kMaxMutations = 8;

}  // namespace

std::string Mutator::Piece(size_t most) {
  const std::string& from = inputs_[Below(inputs_.size())];
  const size_t begin = Below(from.size());
  return from.substr(begin, 1 + Below(most));
}

// Decimal digits if there are some from a place on, else eight bytes of it.
void Mutator::ReplaceNumber(std::string* input) {
  const auto is_digit = [](unsigned char c) { return std::isdigit(c) != 0; };
  const auto from = input->begin() + static_cast<std::ptrdiff_t>(Below(input->size()));
  const auto digits = std::find_if(from, input->end(), is_digit);
  if (digits != input->end() && Below(4) > 0) {
    const auto end = std::find_if_not(digits, input->end(), is_digit);
    input->replace(digits, end, kNumbers[Below(std::size(kNumbers))]);
    return;
  }
  const uint64_t word = kWords[Below(std::size(kWords))];
  const size_t bytes = std::min<size_t>(size_t{1} << Below(4), input->end() - from);
  std::memcpy(&*from, &word, bytes);
}

void Mutator::Mutate(std::string* input) {
  if (input->empty()) *input = Piece(kMaxPieceBytes);
  if (input->empty()) input->push_back(static_cast<char>(random_()));
  const size_t place = Below(input->size());
  switch (Below(8)) {
    case 0:
    case 1:
      (*input)[place] ^= static_cast<char>(1 << Below(8));
      return;
    case 2:
      (*input)[place] = static_cast<char>(random_());
      return;
    case 3:
      input->erase(place, 1 + Below(Below(2) == 0 ? 4 : input->size()));
      return;
    case 4:
      input->insert(place, input->substr(place, 1 + Below(kMaxPieceBytes)));
      return;
    case 5:
      input->insert(place, Piece(kMaxPieceBytes));
      return;
    case 6:
      input->replace(place, std::string::npos, Piece(kMaxInputBytes));
      return;
    default:
      ReplaceNumber(input);
  }
}

std::string Mutator::Draw() {
  std::string input = inputs_[Below(inputs_.size())];
  for (size_t left = 1 + Below(kMaxMutations); left > 0; --left) Mutate(&input);
  input.resize(std::min(input.size(), kMaxInputBytes));
  return input;
}

}  // namespace eidetic::fuzz
