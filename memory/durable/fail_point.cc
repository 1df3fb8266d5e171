#include "memory/durable/fail_point.h"

#include <glog/logging.h>
#include <signal.h>

#include <atomic>
#include <cstdlib>
#include <string>

namespace eidetic::memory {
namespace {

struct Armed {
  std::string name;
  std::atomic<int64_t> passes_left;

  Armed() : passes_left(0) {
    const char* wanted = std::getenv("EIDETIC_FAIL_POINT");
    if (wanted == nullptr) return;
    const std::string text = wanted;
    const size_t colon = text.rfind(':');
    CHECK(colon != text.npos) << "EIDETIC_FAIL_POINT is '" << text << "'; it must be name:n";
    name = text.substr(0, colon);
    passes_left = std::atoll(text.c_str() + colon + 1);
    LOG(WARNING) << "the process will be killed at " << text << ": EIDETIC_FAIL_POINT is set";
  }
};

}  // namespace

void FailPoint(std::string_view name) {
  static Armed& armed = *new Armed;
  if (armed.name.empty() || armed.name != name) return;
  if (armed.passes_left.fetch_sub(1) == 1) raise(SIGKILL);
}

}  // namespace eidetic::memory
