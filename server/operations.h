// Operations that outlive the call that began them, kept in memory.
//
// What: warming a session is one append stream that appends nothing: it computes what is
//   pending, tells how far it is, and lets the session go when it is through or cancelled.
// Thread safety: thread-safe. Ownership: Operations shares each operation with the engine's
//   callbacks, which may come later; borrows the engine, which outlives Operations.
// Preconditions: names were parsed.
#ifndef EIDETIC_SERVER_OPERATIONS_H_
#define EIDETIC_SERVER_OPERATIONS_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "eidetic/v1/operation_service.pb.h"
#include "engine/engine.h"

namespace eidetic {

class WarmOperation {
 public:
  WarmOperation(std::string name, const SessionName& session);

  v1::Operation ToProto() const;
  bool done() const;
  // Lets the session go; it is done once the engine has told so.
  void Cancel();

  // For Operations.
  void OnProgress(memory::Position position, memory::Position computed);
  void OnStarted(std::shared_ptr<AppendStream> stream);
  void OnDone(const absl::Status& status);

 private:
  mutable absl::Mutex mutex_;
  v1::Operation state_ ABSL_GUARDED_BY(mutex_);
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  std::shared_ptr<AppendStream> stream_ ABSL_GUARDED_BY(mutex_);
};

// Operations that are remembered; beyond that the oldest that are done are forgotten.
inline constexpr size_t kMaxRememberedOperations = 1024;

class Operations {
 public:
  explicit Operations(Engine* engine) : engine_(engine) {}

  // Starts to compute what is pending in `session`; NOT_FOUND, ABORTED, RESOURCE_EXHAUSTED.
  void Warm(SessionName session, std::function<void(absl::StatusOr<v1::Operation>)> done);

  // `name` is tenants/{tenant}/operations/{operation}. NOT_FOUND.
  absl::StatusOr<std::shared_ptr<WarmOperation>> Find(const std::string& name) const;
  std::vector<v1::Operation> List(const std::string& tenant) const;

 private:
  std::shared_ptr<WarmOperation> Add(const SessionName& session);
  void Remove(const std::string& name);

  Engine* const engine_;
  mutable absl::Mutex mutex_;
  int64_t begun_ ABSL_GUARDED_BY(mutex_) = 0;
  // By the order in which they began.
  std::map<int64_t, std::shared_ptr<WarmOperation>> operations_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace eidetic

#endif  // EIDETIC_SERVER_OPERATIONS_H_
