// An arena whose copies beside the work take time, and may fail: for tests.
//
// Thread safety: none for CopyBeside and Poll. Ownership: as HostArena.
// Preconditions: CHECKed; among them that nobody touches a copy's sides while it runs.
#ifndef EIDETIC_MEMORY_SLOW_ARENA_H_
#define EIDETIC_MEMORY_SLOW_ARENA_H_

#include <glog/logging.h>

#include <cstring>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "memory/host_arena.h"

namespace eidetic::memory {

class SlowArena : public HostArena {
 public:
  using HostArena::HostArena;

  // How a copy is getting on, each time that it is asked for.
  std::function<Progress()> progress = [] { return Progress::kDone; };

  Ticket CopyBeside(std::span<const Transfer> transfers) override {
    std::vector<Running>& batch = running_[++last_];
    for (const Transfer& t : transfers) {
      const char* from = static_cast<const char*>(t.from);
      batch.push_back({t, std::string(from, t.bytes)});
      std::memset(t.to, kGarbage, t.bytes);
    }
    return last_;
  }
  Progress Poll(Ticket ticket) override {
    const auto batch = running_.find(ticket);
    CHECK(batch != running_.end()) << "there is no such copy";
    const Progress now = progress();
    if (now == Progress::kRunning) return now;
    for (const auto& [t, source] : batch->second) {
      CHECK_EQ(std::memcmp(t.from, source.data(), t.bytes), 0) << "the source was written";
      CHECK(std::string(static_cast<char*>(t.to), t.bytes) == std::string(t.bytes, kGarbage))
          << "the target was written";
      if (now == Progress::kDone) std::memcpy(t.to, t.from, t.bytes);
    }
    running_.erase(batch);
    return now;
  }

 private:
  static constexpr char kGarbage = 0x5a;
  struct Running {
    Transfer transfer;
    std::string source;  // its bytes at the start
  };
  std::map<Ticket, std::vector<Running>> running_;
  Ticket last_ = 0;
};

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_SLOW_ARENA_H_
