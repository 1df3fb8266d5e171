// Places where tests end the process at once, as a crash would.
//
// What: EIDETIC_FAIL_POINT=name:n in the environment kills the process (SIGKILL) when it passes
//   the named point for the n-th time. Without it a point costs one comparison.
// Thread safety: thread-safe. Ownership: none. Preconditions: the environment does not change.
#ifndef EIDETIC_MEMORY_DURABLE_FAIL_POINT_H_
#define EIDETIC_MEMORY_DURABLE_FAIL_POINT_H_

#include <string_view>

namespace eidetic::memory {

void FailPoint(std::string_view name);

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_DURABLE_FAIL_POINT_H_
