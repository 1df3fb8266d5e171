#include "server/operations.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/identity/resource_check.h"

namespace eidetic {

WarmOperation::WarmOperation(std::string name, const SessionName& session) {
  state_.set_name(std::move(name));
  state_.mutable_metadata()->set_session(session.ToString());
}

v1::Operation WarmOperation::ToProto() const {
  absl::MutexLock lock(&mutex_);
  return state_;
}

bool WarmOperation::done() const {
  absl::MutexLock lock(&mutex_);
  return state_.done();
}

void WarmOperation::Cancel() {
  std::shared_ptr<AppendStream> released;
  absl::MutexLock lock(&mutex_);
  if (state_.done()) return;
  cancelled_ = true;
  released = std::move(stream_);
}

void WarmOperation::OnProgress(memory::Position position, memory::Position computed) {
  absl::MutexLock lock(&mutex_);
  state_.mutable_metadata()->set_position(position);
  state_.mutable_metadata()->set_computed_position(computed);
}

void WarmOperation::OnStarted(std::shared_ptr<AppendStream> stream) {
  absl::MutexLock lock(&mutex_);
  if (!cancelled_ && !state_.done()) stream_ = std::move(stream);
}

void WarmOperation::OnDone(const absl::Status& status) {
  std::shared_ptr<AppendStream> released;
  {
    absl::MutexLock lock(&mutex_);
    released = std::move(stream_);
  }
  released.reset();  // before anyone hears of the end: the session's writer is free then
  absl::MutexLock lock(&mutex_);
  state_.set_done(true);
  if (status.ok()) {
    v1::WarmMetadata* metadata = state_.mutable_metadata();
    metadata->set_computed_position(metadata->position());
    return;
  }
  state_.mutable_error()->set_code(static_cast<int>(status.code()));
  state_.mutable_error()->set_message(cancelled_
                                          ? "the operation was cancelled; what it computed stays"
                                          : std::string(status.message()));
}

std::shared_ptr<WarmOperation> Operations::Add(const SessionName& session) {
  absl::MutexLock lock(&mutex_);
  for (auto it = operations_.begin();
       it != operations_.end() && operations_.size() >= kMaxRememberedOperations;) {
    it = it->second->done() ? operations_.erase(it) : std::next(it);
  }
  const int64_t number = ++begun_;
  return operations_[number] = std::make_shared<WarmOperation>(
             absl::StrCat("tenants/", session.tenant, "/operations/warm-", number), session);
}

void Operations::Remove(const std::string& name) {
  absl::MutexLock lock(&mutex_);
  std::erase_if(operations_, [&](const auto& e) { return e.second->ToProto().name() == name; });
}

void Operations::Warm(SessionName session,
                      std::function<void(absl::StatusOr<v1::Operation>)> done) {
  auto begin = [this, session, done](const absl::StatusOr<SessionInfo>& info) {
    if (!info.ok()) return done(info.status());
    const std::shared_ptr<WarmOperation> operation = Add(session);
    operation->OnProgress(info->position, info->computed);
    auto opened = [this, operation, done](absl::StatusOr<std::shared_ptr<AppendStream>> stream) {
      if (!stream.ok()) {
        Remove(operation->ToProto().name());
        return done(stream.status());
      }
      operation->OnStarted(*stream);
      done(operation->ToProto());
      (*stream)->Drain([operation](const absl::Status& status) { operation->OnDone(status); });
    };
    engine_->OpenAppend(
        session,
        [operation](memory::Position position, memory::Position computed) {
          operation->OnProgress(position, computed);
        },
        std::move(opened));
  };
  engine_->GetSession(session, std::move(begin));
}

absl::StatusOr<std::shared_ptr<WarmOperation>> Operations::Find(const std::string& name) const {
  absl::MutexLock lock(&mutex_);
  for (const auto& [number, operation] : operations_) {
    if (operation->ToProto().name() == name) return operation;
  }
  return NoSuchOperation();
}

std::vector<v1::Operation> Operations::List(const std::string& tenant) const {
  const std::string prefix = absl::StrCat("tenants/", tenant, "/");
  std::vector<v1::Operation> found;
  absl::MutexLock lock(&mutex_);
  for (const auto& [number, operation] : operations_) {
    v1::Operation state = operation->ToProto();
    if (absl::StartsWith(state.name(), prefix)) found.push_back(std::move(state));
  }
  return found;
}

}  // namespace eidetic
