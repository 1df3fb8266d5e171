#include "server/fake_engine.h"

#include <glog/logging.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"

namespace eidetic {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(10);

}  // namespace

// The session's writer while an append is open.
class FakeEngine::Writer : public AppendStream {
 public:
  Writer(FakeEngine* engine, std::string name) : engine_(engine), name_(std::move(name)) {}
  ~Writer() override {
    absl::MutexLock lock(&engine_->mutex_);
    engine_->writer_taken_ = false;
    engine_->progress_ = nullptr;
  }

  void Append(std::vector<TokenId> tokens, std::optional<memory::Position> expected_position,
              std::function<void(absl::StatusOr<memory::Position>)> done) override {
    absl::StatusOr<memory::Position> position;
    {
      absl::MutexLock lock(&engine_->mutex_);
      SessionInfo& session = engine_->sessions_[name_];
      if (expected_position && *expected_position != session.position) {
        position = absl::FailedPreconditionError("the session stands elsewhere");
      } else if (!engine_->append_status.ok()) {
        position = engine_->append_status;
      } else {
        session.position += tokens.size();
        engine_->appended_.push_back(std::move(tokens));
        position = session.position;
      }
    }
    engine_->Post([done, position] { done(position); });
  }

  void Drain(std::function<void(absl::Status)> done) override {
    if (!engine_->hold_drain) engine_->Post([done] { done(absl::OkStatus()); });
  }

 private:
  FakeEngine* const engine_;
  const std::string name_;
};

FakeEngine::FakeEngine() : chat_(*ChatFormat::For(&tokenizer_)), loop_([this] { Run(); }) {}

FakeEngine::~FakeEngine() {
  {
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
  }
  loop_.join();
}

void FakeEngine::Run() {
  const auto awake = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stopped_ || !tasks_.empty();
  };
  while (true) {
    std::function<void()> task;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(&awake));
      if (tasks_.empty()) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    task();
  }
}

void FakeEngine::Post(std::function<void()> task) {
  absl::MutexLock lock(&mutex_);
  tasks_.push_back(std::move(task));
}

void FakeEngine::Settle() {
  absl::Notification done;
  Post([&done] { done.Notify(); });
  done.WaitForNotification();
}

bool FakeEngine::WaitFor(const std::function<bool()>& done) {
  const absl::Time end = absl::Now() + kPatience;
  while (!done()) {
    if (absl::Now() > end) return false;
    absl::SleepFor(absl::Milliseconds(2));
  }
  return true;
}

void FakeEngine::ReleaseGenerate() {
  absl::MutexLock lock(&mutex_);
  CHECK(held_generate_);
  tasks_.push_back(std::exchange(held_generate_, nullptr));
}

std::shared_ptr<GenerationRecord> FakeEngine::record() const {
  absl::MutexLock lock(&mutex_);
  return record_;
}

GenerateSpec FakeEngine::last_spec() const {
  absl::MutexLock lock(&mutex_);
  return spec_;
}

std::vector<std::vector<TokenId>> FakeEngine::appended() const {
  absl::MutexLock lock(&mutex_);
  return appended_;
}

void FakeEngine::Progress(memory::Position computed) {
  Post([this, computed] {
    std::function<void(memory::Position, memory::Position)> progress;
    {
      absl::MutexLock lock(&mutex_);
      progress = progress_;
    }
    if (progress) progress(computed, computed);
  });
}

bool FakeEngine::writer_taken() const {
  absl::MutexLock lock(&mutex_);
  return writer_taken_;
}

void FakeEngine::set_heartbeat(absl::Time time) {
  absl::MutexLock lock(&mutex_);
  heartbeat_ = time;
}

absl::StatusOr<SessionInfo> FakeEngine::Find(const SessionName& name) const {
  const auto found = sessions_.find(name.ToString());
  if (found != sessions_.end()) return found->second;
  return NoSuchSession(name);
}

void FakeEngine::CreateSession(SessionName name, memory::SpanSettings settings, std::string adapter,
                               std::optional<absl::Duration> expire_after, std::string, std::string,
                               Done<SessionInfo> done) {
  Post([this, name, settings, adapter, expire_after, done] {
    SessionInfo info{.name = name,
                     .settings = settings,
                     .create_time = absl::Now(),
                     .update_time = absl::Now(),
                     .expire_after = expire_after.value_or(engine_limits.expire_after),
                     .adapter = adapter};
    absl::StatusOr<SessionInfo> result = info;
    {
      absl::MutexLock lock(&mutex_);
      if (!sessions_.emplace(name.ToString(), info).second) {
        result = absl::AlreadyExistsError(absl::StrCat(name.ToString(), " exists"));
      }
    }
    done(result);
  });
}

void FakeEngine::GetSession(SessionName name, Done<SessionInfo> done) {
  Post([this, name, done] {
    absl::StatusOr<SessionInfo> result;
    {
      absl::MutexLock lock(&mutex_);
      result = Find(name);
    }
    done(result);
  });
}

void FakeEngine::ListSessions(std::string tenant, std::string after, int32_t limit,
                              Done<std::vector<SessionInfo>> done) {
  Post([this, tenant, after, limit, done] {
    std::vector<SessionInfo> found;
    {
      absl::MutexLock lock(&mutex_);
      for (const auto& [name, info] : sessions_) {
        if (info.name.tenant != tenant || info.name.session <= after) continue;
        if (static_cast<int32_t>(found.size()) < limit) found.push_back(info);
      }
    }
    done(found);
  });
}

void FakeEngine::DeleteSession(SessionName name, std::optional<memory::Position>,
                               std::function<void(absl::Status)> done) {
  Post([this, name, done] {
    absl::Status status;
    {
      absl::MutexLock lock(&mutex_);
      status = Find(name).status();
      sessions_.erase(name.ToString());
    }
    done(status);
  });
}

void FakeEngine::ForkSession(SessionName parent, SessionName child,
                             std::function<void(memory::SpanSettings*)> edit,
                             std::optional<AdapterChange> adapter, std::string, std::string,
                             std::optional<memory::Position>, Done<SessionInfo> done) {
  Post([this, parent, child, edit, adapter, done] {
    absl::StatusOr<SessionInfo> result;
    {
      absl::MutexLock lock(&mutex_);
      result = Find(parent);
      if (result.ok()) {
        result->name = child;
        edit(&result->settings);
        if (adapter) result->adapter = adapter->adapter;
        sessions_[child.ToString()] = *result;
      }
    }
    done(result);
  });
}

void FakeEngine::OpenAppend(SessionName name,
                            std::function<void(memory::Position, memory::Position)> progress,
                            Done<std::shared_ptr<AppendStream>> done) {
  Post([this, name, progress, done] {
    absl::Status status;
    {
      absl::MutexLock lock(&mutex_);
      status = Find(name).status();
      if (status.ok() && writer_taken_) status = absl::AbortedError("the session has a writer");
      if (status.ok()) {
        writer_taken_ = true;
        progress_ = progress;
      }
    }
    if (!status.ok()) return done(status);
    done(std::make_shared<Writer>(this, name.ToString()));
  });
}

void FakeEngine::Generate(GenerateSpec spec, Done<std::shared_ptr<GenerationReader>> done) {
  auto record = std::make_shared<GenerationRecord>([] {});
  auto answer = [this, record, done, after = spec.resume_from] {
    if (!generate_status.ok()) return done(generate_status);
    done(std::shared_ptr<GenerationReader>(record->Attach(after)));
  };
  absl::MutexLock lock(&mutex_);
  spec_ = std::move(spec);
  record_ = record;
  if (hold_generate) {
    held_generate_ = std::move(answer);
  } else {
    tasks_.push_back(std::move(answer));
  }
}

void FakeEngine::Score(std::optional<SessionName>, memory::SpanSettings, std::string,
                       std::vector<TokenId>, int32_t, std::shared_ptr<std::atomic<bool>> cancelled,
                       Done<std::vector<SampledToken>> done) {
  Post([this, cancelled, done] {
    if (!hold_score) return done(score_result);
    CHECK(WaitFor([&] { return cancelled->load(); }));
    done(absl::CancelledError("cancelled"));
  });
}

void FakeEngine::Search(SessionName, std::vector<TokenId>, int32_t,
                        std::shared_ptr<std::atomic<bool>>, Done<SearchResult> done) {
  Post([this, done] { done(search_result); });
}

void FakeEngine::CheckpointAll(absl::Time, std::function<void(absl::Status)> done) {
  Post([done = std::move(done)] { done(absl::OkStatus()); });
}

EngineStats FakeEngine::Stats() const {
  absl::MutexLock lock(&mutex_);
  EngineStats stats;
  stats.running = 3;
  stats.pages_used = 40;
  stats.tiles_used = 5;
  stats.promoted_pages = 7;
  stats.host_choices = 11;
  stats.heartbeat = heartbeat_.value_or(absl::Now());
  return stats;
}

}  // namespace eidetic
