// What this process runs, in its bits.
//
// Thread safety: thread-safe. Ownership: values. Preconditions: what computes is loaded already.
#ifndef EIDETIC_ENGINE_DURABLE_BUILD_ID_H_
#define EIDETIC_ENGINE_DURABLE_BUILD_ID_H_

#include <string>

namespace eidetic {

// Sixteen hexadecimal digits over the build ids that the linker gave the program and every
// library that it has loaded: other code, other digits.
std::string BuildId();

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_DURABLE_BUILD_ID_H_
