// One ImportSession stream: collects an export, checks it whole, then makes the session.
//
// Thread safety: gRPC and the engine call it one after the other. Ownership: deletes itself when
//   gRPC is done; holds one of the server's few places for imports meanwhile.
// Preconditions: `served` and the limits outlive it.
#ifndef EIDETIC_SERVER_IMPORT_REACTOR_H_
#define EIDETIC_SERVER_IMPORT_REACTOR_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "engine/session_name.h"
#include "server/identity/caller.h"
#include "server/served_model.h"

namespace eidetic {

// Imports at once: they wait in memory until they are whole.
inline constexpr int kMaxImports = 4;

struct ImportLimits {
  int64_t max_bytes = 0;  // of one import
  std::atomic<int> running = 0;
};

class ImportReactor final : public grpc::ServerReadReactor<grpc::ByteBuffer> {
 public:
  static grpc::ServerReadReactor<grpc::ByteBuffer>* Start(grpc::CallbackServerContext* context,
                                                          grpc::ByteBuffer* out,
                                                          const ServedModel* served,
                                                          ImportLimits* limits);

 private:
  ImportReactor(grpc::CallbackServerContext* context, grpc::ByteBuffer* out,
                const ServedModel* served, ImportLimits* limits)
      : context_(context), out_(out), served_(served), limits_(limits) {}
  ~ImportReactor() override { --limits_->running; }

  absl::Status TakePart();
  absl::Status Import();

  void OnReadDone(bool ok) override;
  void OnDone() override { delete this; }

  grpc::CallbackServerContext* const context_;
  grpc::ByteBuffer* const out_;
  const ServedModel* const served_;
  ImportLimits* const limits_;
  Caller caller_;
  grpc::ByteBuffer received_;
  std::optional<SessionName> name_;
  std::string bytes_;
};

}  // namespace eidetic

#endif  // EIDETIC_SERVER_IMPORT_REACTOR_H_
