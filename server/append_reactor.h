// One AppendSession stream: parts in, acknowledgements out.
//
// What: each part becomes one append of the session's log; the next is read only when this one
//   is acknowledged. Responses are coalesced: with one write in flight, the next tells the
//   newest positions. When the client has written all, everything is computed, told, and done.
// Thread safety: gRPC's threads and the engine's loop call it at once; the mutex guards
//   everything, and neither the engine nor Finish is called under it.
// Ownership: keeps itself alive until gRPC is done; the engine's callbacks that come later hold
//   a reference of their own. Holds the session's writer. Borrows the served model.
// Preconditions: none.
#ifndef EIDETIC_SERVER_APPEND_REACTOR_H_
#define EIDETIC_SERVER_APPEND_REACTOR_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "engine/engine.h"
#include "server/identity/caller.h"
#include "server/served_model.h"

namespace eidetic {

class AppendReactor final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                            public std::enable_shared_from_this<AppendReactor> {
 public:
  static grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Start(
      grpc::CallbackServerContext* context, const ServedModel* served);

 private:
  struct Part {
    std::vector<TokenId> tokens;
    std::optional<memory::Position> expected_position;
  };

  AppendReactor(grpc::CallbackServerContext* context, const ServedModel* served)
      : context_(context), served_(served) {}

  // The part that was read: opens the session for the first, then appends.
  absl::Status TakePart();
  void Open(SessionName name, Part part);
  void Append(Part part);
  void OnAppended(const absl::StatusOr<memory::Position>& position);
  void OnProgress(memory::Position computed);
  // The client has written all.
  void Drain();
  // Ends the stream with `status` after what is to be told, unless it is ending already.
  void End(const absl::Status& status);
  // Does what can be done next: write the newest positions, or finish.
  void Advance();
  // Runs `call` on the stream, if it is still open. The reference that the call needs is gone
  // before Finish, so that a client that hears of the end finds the session free.
  void CallStream(const std::function<void(AppendStream&)>& call);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override { self_.reset(); }

  grpc::CallbackServerContext* const context_;
  const ServedModel* const served_;
  Caller caller_;
  std::shared_ptr<AppendReactor> self_;
  // Of the one read that is under way, or of the part that it brought.
  grpc::ByteBuffer received_;
  bool opened_ = false;

  absl::Mutex mutex_;
  std::shared_ptr<AppendStream> stream_ ABSL_GUARDED_BY(mutex_);
  grpc::ByteBuffer message_ ABSL_GUARDED_BY(mutex_);  // in flight
  memory::Position position_ ABSL_GUARDED_BY(mutex_) = 0;
  memory::Position computed_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t acknowledged_ ABSL_GUARDED_BY(mutex_) = 0;
  bool news_ ABSL_GUARDED_BY(mutex_) = false;  // positions that were not told yet
  int calls_ ABSL_GUARDED_BY(mutex_) = 0;      // of CallStream that run
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;  // nothing can be written any more
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace eidetic

#endif  // EIDETIC_SERVER_APPEND_REACTOR_H_
