// Writes and reads checkpoints on threads of its own; the loop never waits for the disk.
//
// What: jobs in, answers out. The loop calls RunDone, which calls what ended. One thread writes,
//   others load, in the order of asking: a request waits for a load, which never waits for a
//   checkpoint that is being written. A checkpoint that nobody has any more gives its extents
//   back, on the thread that writes; what is left when the process ends stays on the disk.
// Thread safety: thread-safe; RunDone on the loop's thread alone. Answers are called there.
// Ownership: owns jobs until they are answered; borrows the store. Checkpoints may outlive it.
// Preconditions: after Stop nothing is answered any more, and RunDone is not called.
#ifndef EIDETIC_ENGINE_DURABLE_CHECKPOINTER_H_
#define EIDETIC_ENGINE_DURABLE_CHECKPOINTER_H_

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "engine/durable/checkpoint.h"
#include "engine/durable/checkpoint_io.h"

namespace eidetic {

class Checkpointer {
 public:
  using Answer = absl::AnyInvocable<void()>;

  // `loaders`: sessions that are loaded at once. `on_answer`: called on any thread when there is
  // something for RunDone.
  Checkpointer(memory::ExtentStore* store, int32_t loaders, std::function<void()> on_answer);
  ~Checkpointer() { Stop(); }

  struct WriteJob {
    std::unique_ptr<memory::SessionImage> image;
    std::shared_ptr<const Checkpoint> base;  // with `shared`: as CheckpointBase; may be null
    memory::Position shared = 0;
    size_t max_points = 0;
    memory::CheckpointBinding binding;
    std::vector<LogSegment> segments;  // of the image's past
    std::function<void(absl::StatusOr<std::shared_ptr<Checkpoint>>)> done;
  };
  void Write(WriteJob job);

  struct LoadJob {
    std::shared_ptr<const Checkpoint> from;  // has a state of the load's position
    std::unique_ptr<memory::SessionLoad> into;
    std::function<void(absl::StatusOr<std::unique_ptr<memory::SessionMemory>>)> done;
    // Called after `done` gave a memory whose pages are late: when all have come that are wanted,
    // or with why they will not.
    std::function<void(std::shared_ptr<memory::LatePages>, absl::Status)> late_done;
  };
  void Load(LoadJob job);

  // A checkpoint that the journal has: its extents are referenced from now on.
  std::shared_ptr<Checkpoint> Adopt(CheckpointRecord record);

  // Has `answer` called by RunDone.
  void Post(Answer answer);
  // Whether there was any.
  bool RunDone();
  // Of the checkpoints that were loaded.
  int64_t loaded_bytes() const { return loaded_bytes_; }
  // Ends the threads; jobs under way are given up. Jobs that wait are forgotten.
  void Stop();

 private:
  // What checkpoints that outlive us still find.
  struct Shared {
    absl::Mutex mutex;
    bool stopped ABSL_GUARDED_BY(mutex) = false;
    std::deque<LoadJob> loads ABSL_GUARDED_BY(mutex);
    std::deque<WriteJob> writes ABSL_GUARDED_BY(mutex);
    std::deque<memory::CheckpointManifest> dropped ABSL_GUARDED_BY(mutex);
    bool HasLoad() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) { return stopped || !loads.empty(); }
    bool HasWrite() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
      return stopped || !writes.empty() || !dropped.empty();
    }
  };

  std::shared_ptr<Checkpoint> Own(CheckpointRecord record);
  void RunWrites();
  void RunLoads();
  void Do(WriteJob job);
  void Do(LoadJob job);
  void Do(const memory::CheckpointManifest& dropped);

  memory::ExtentStore* const store_;
  const std::function<void()> on_answer_;
  const std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
  std::atomic<bool> stop_ = false;
  std::atomic<int64_t> loaded_bytes_ = 0;

  absl::Mutex mutex_;
  std::vector<Answer> answers_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::thread> threads_;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_DURABLE_CHECKPOINTER_H_
