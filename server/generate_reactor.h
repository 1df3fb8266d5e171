// One Generate stream: events out of a GenerationReader, one write in flight.
//
// What: takes the next event only when the previous one was written, so a slow reader slows
//   nobody: the engine sees the reader's lag and pauses the sequence. Tokens that had to wait
//   for that go into one message, if the request allows it. When the stream dies the
//   reader is dropped, and the work stops at the next step.
// Thread safety: gRPC's threads and the engine's loop call it at once; the mutex guards
//   everything, and neither Finish nor a write is called under it: both may send at once.
// Ownership: keeps itself alive until gRPC is done; the engine's callbacks that come later hold
//   a reference of their own. Borrows the served model.
// Preconditions: none.
#ifndef EIDETIC_SERVER_GENERATE_REACTOR_H_
#define EIDETIC_SERVER_GENERATE_REACTOR_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "eidetic/v1/generation_service.pb.h"
#include "engine/engine.h"
#include "server/call_log.h"
#include "server/metrics.h"
#include "server/served_model.h"
#include "server/slow_readers.h"
#include "server/stream_threads.h"

namespace eidetic {

// How a server streams.
struct Streaming {
  // Shared, for the engine may call back while the server that owns them goes.
  std::shared_ptr<StreamThreads> threads;
  int32_t max_message_tokens = 1;       // whatever a request allows
  SlowReaders* slow_readers = nullptr;  // not null; outlives the gRPC server
  Metrics* metrics = nullptr;           // not null; outlives the gRPC server
};

class GenerateReactor final : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                              public SlowReaders::Stream,
                              public std::enable_shared_from_this<GenerateReactor> {
 public:
  static grpc::ServerWriteReactor<grpc::ByteBuffer>* Start(grpc::CallbackServerContext* context,
                                                           const grpc::ByteBuffer& request,
                                                           const ServedModel* served,
                                                           const Streaming& streaming);

  int64_t WriteInFlight() const override { return write_in_flight_; }
  bool Cut(int64_t write) override;

 private:
  // A message that has reached it takes no further token: clients refuse large messages.
  static constexpr size_t kFullMessageBytes = 64 << 10;

  GenerateReactor(grpc::CallbackServerContext* context, const ServedModel* served,
                  const Streaming& streaming)
      : context_(context),
        served_(served),
        threads_(streaming.threads),
        metrics_(streaming.metrics),
        message_tokens_(streaming.max_message_tokens) {}

  absl::Status Submit(const grpc::ByteBuffer& bytes);
  void OnOpened(absl::StatusOr<std::shared_ptr<GenerationReader>> reader);
  // Ends the stream with `status` after the write in flight, unless it is ending already.
  void End(const absl::Status& status);
  // Does what can be done next: write, wait for the engine, or finish.
  void Advance();
  // The same on a stream thread: the engine's loop is not to wait for gRPC.
  void AdvanceElsewhere();
  void WaitFor(GenerationReader& reader);
  // The event after the last one taken, or none yet.
  std::optional<GenerationEvent> NextEvent() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Makes `event` the message to write, or the stream's end.
  void Take(const GenerationEvent& event) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Puts `first` and the tokens that wait behind it into `response`.
  void GatherTokens(const TokenEvent& first, v1::GenerateResponse* response)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // The stream ends: into metrics and log.
  void Count(const absl::Status& end);

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override { self_.reset(); }

  grpc::CallbackServerContext* const context_;
  const ServedModel* const served_;
  const std::shared_ptr<StreamThreads> threads_;
  Metrics* const metrics_;
  const absl::Time begin_ = absl::Now();
  CallFacts facts_;  // as `message_`, then whoever finishes
  bool logprobs_ = false;
  int32_t message_tokens_;  // of one message, at most
  std::shared_ptr<GenerateReactor> self_;

  absl::Mutex mutex_;
  std::shared_ptr<GenerationReader> reader_ ABSL_GUARDED_BY(mutex_);
  std::optional<GenerationEvent> ahead_ ABSL_GUARDED_BY(mutex_);  // taken, not yet to be told
  grpc::ByteBuffer message_;  // in flight while writing_; set under mutex_ before
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool cutting_ ABSL_GUARDED_BY(mutex_) = false;  // the context is in use: no Finish meanwhile
  int64_t writes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::atomic<int64_t> write_in_flight_ = 0;      // set under mutex_
  bool waiting_ ABSL_GUARDED_BY(mutex_) = false;  // for the reader's notification
  bool last_written_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace eidetic

#endif  // EIDETIC_SERVER_GENERATE_REACTOR_H_
