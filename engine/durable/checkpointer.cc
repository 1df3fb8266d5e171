#include "engine/durable/checkpointer.h"

#include <optional>
#include <utility>

namespace eidetic {
namespace {

template <typename Job>
std::optional<Job> TakeFirst(std::deque<Job>* jobs) {
  if (jobs->empty()) return std::nullopt;
  std::optional<Job> job(std::move(jobs->front()));
  jobs->pop_front();
  return job;
}

}  // namespace

Checkpointer::Checkpointer(memory::ExtentStore* store, int32_t loaders,
                           std::function<void()> on_answer)
    : store_(store), on_answer_(std::move(on_answer)) {
  threads_.emplace_back([this] { RunWrites(); });
  for (int32_t i = 0; i < loaders; ++i) threads_.emplace_back([this] { RunLoads(); });
}

void Checkpointer::Write(WriteJob job) {
  absl::MutexLock lock(&shared_->mutex);
  shared_->writes.push_back(std::move(job));
}

void Checkpointer::Load(LoadJob job) {
  absl::MutexLock lock(&shared_->mutex);
  shared_->loads.push_back(std::move(job));
}

std::shared_ptr<Checkpoint> Checkpointer::Own(CheckpointRecord record) {
  int64_t bytes = 0;
  ForEachExtent(record.manifest, [&](const auto& ref) { bytes += ref.bytes; });
  return std::shared_ptr<Checkpoint>(
      new Checkpoint{.record = std::move(record), .bytes = bytes},
      [shared = shared_](Checkpoint* checkpoint) {
        {
          absl::MutexLock lock(&shared->mutex);
          if (!shared->stopped) shared->dropped.push_back(std::move(checkpoint->record.manifest));
        }
        delete checkpoint;
      });
}

std::shared_ptr<Checkpoint> Checkpointer::Adopt(CheckpointRecord record) {
  ForEachExtent(record.manifest, [this](const auto& ref) { store_->AddReference(ref); });
  return Own(std::move(record));
}

void Checkpointer::Post(Answer answer) {
  {
    absl::MutexLock lock(&mutex_);
    answers_.push_back(std::move(answer));
  }
  on_answer_();
}

bool Checkpointer::RunDone() {
  std::vector<Answer> answers;
  {
    absl::MutexLock lock(&mutex_);
    answers.swap(answers_);
  }
  for (Answer& answer : answers) answer();
  return !answers.empty();
}

void Checkpointer::Stop() {
  stop_ = true;
  {
    absl::MutexLock lock(&shared_->mutex);
    shared_->stopped = true;
  }
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  // They hold pages of the engine's memory, which may go now.
  std::deque<LoadJob> loads;
  std::deque<WriteJob> writes;
  {
    absl::MutexLock lock(&shared_->mutex);
    loads.swap(shared_->loads);
    writes.swap(shared_->writes);
  }
  std::vector<Answer> answers;
  absl::MutexLock lock(&mutex_);
  answers.swap(answers_);
}

void Checkpointer::RunLoads() {
  for (;;) {
    std::optional<LoadJob> load;
    {
      absl::MutexLock lock(&shared_->mutex);
      shared_->mutex.Await(absl::Condition(shared_.get(), &Shared::HasLoad));
      if (shared_->stopped) return;
      load = TakeFirst(&shared_->loads);
    }
    Do(*std::move(load));
  }
}

void Checkpointer::RunWrites() {
  for (;;) {
    std::optional<memory::CheckpointManifest> dropped;
    std::optional<WriteJob> write;
    {
      absl::MutexLock lock(&shared_->mutex);
      shared_->mutex.Await(absl::Condition(shared_.get(), &Shared::HasWrite));
      if (shared_->stopped) return;
      dropped = TakeFirst(&shared_->dropped);
      if (!dropped) write = TakeFirst(&shared_->writes);
    }
    if (dropped) Do(*dropped);
    if (write) Do(*std::move(write));
  }
}

void Checkpointer::Do(const memory::CheckpointManifest& dropped) {
  ForEachExtent(dropped, [this](const auto& ref) { store_->Release(ref); });
}

void Checkpointer::Do(WriteJob job) {
  const CheckpointBase base = {
      .manifest = job.base == nullptr ? nullptr : &job.base->record.manifest,
      .shared = job.shared,
      .max_points = job.max_points};
  absl::StatusOr<std::shared_ptr<Checkpoint>> made;
  auto manifest = WriteExtents(store_, *job.image, base, std::move(job.binding), stop_);
  if (manifest.ok()) {
    made = Own({.segments = std::move(job.segments), .manifest = *std::move(manifest)});
  } else {
    made = manifest.status();
  }
  // The image goes with the answer, on the loop's thread.
  Post(
      [image = std::move(job.image), done = std::move(job.done), made = std::move(made)]() mutable {
        image.reset();
        done(std::move(made));
      });
}

void Checkpointer::Do(LoadJob job) {
  const absl::Status status =
      ReadExtents(*store_, job.from->record.manifest, job.from->StateAt(job.into->position()),
                  job.into.get(), stop_);
  if (status.ok()) loaded_bytes_ += job.from->bytes;
  std::shared_ptr<memory::LatePages> late = job.into->late();
  Post([into = std::move(job.into), done = std::move(job.done), status]() mutable {
    if (status.ok()) return done(into->Finish());
    into.reset();
    done(status);
  });
  if (late == nullptr) return;
  const absl::Status all =
      status.ok() ? ReadLatePages(*store_, job.from->record.manifest, late.get(), on_answer_, stop_)
                  : status;
  // The pages' references go with the answer, on the loop's thread.
  Post([late = std::move(late), done = std::move(job.late_done), status, all]() mutable {
    if (status.ok()) done(std::move(late), all);
  });
}

}  // namespace eidetic
