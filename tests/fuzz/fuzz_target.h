// What a fuzz target is: bytes from outside go into one parser, and nothing may break.
//
// What: every file in this folder that is named after a parser defines both functions. A target
//   ends the process (CHECK, a sanitizer, a signal) when the parser breaks a promise of its
//   header; a Status that is not OK is no such thing.
// Thread safety: called by one thread. Ownership: none. Preconditions: none on the bytes.
#ifndef EIDETIC_TESTS_FUZZ_FUZZ_TARGET_H_
#define EIDETIC_TESTS_FUZZ_FUZZ_TARGET_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

// The name and the form that libFuzzer asks for. Gives 0.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace eidetic::fuzz {

// Good inputs, made by our own encoders: what is found by mutation lies around them.
std::vector<std::string> Seeds();

inline std::string_view View(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

}  // namespace eidetic::fuzz

#endif  // EIDETIC_TESTS_FUZZ_FUZZ_TARGET_H_
