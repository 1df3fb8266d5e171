// One ExportSession stream: the parts of an export, one write at a time.
//
// What: the engine gives a copy of the log; it is encoded on one of gRPC's threads, not on the
//   engine's, and written in parts.
// Thread safety: gRPC and the engine call it one after the other. Ownership: deletes itself when
//   gRPC is done. Preconditions: `served` outlives it.
#ifndef EIDETIC_SERVER_EXPORT_REACTOR_H_
#define EIDETIC_SERVER_EXPORT_REACTOR_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <string>

#include "absl/status/statusor.h"
#include "engine/durable/session_export.h"
#include "server/served_model.h"

namespace eidetic {

// What exports of this server say, and what those that it takes must say.
ExportBinding BindingOf(const Engine& engine);

class ExportReactor final : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  static grpc::ServerWriteReactor<grpc::ByteBuffer>* Start(grpc::CallbackServerContext* context,
                                                           const grpc::ByteBuffer& request,
                                                           const ServedModel* served);

 private:
  ExportReactor(grpc::CallbackServerContext* context, const ServedModel* served)
      : context_(context), served_(served) {}

  absl::Status Begin(const grpc::ByteBuffer& bytes);
  void WriteNext();

  void OnSendInitialMetadataDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone() override { delete this; }

  grpc::CallbackServerContext* const context_;
  const ServedModel* const served_;
  ExportedSession session_;
  std::string bytes_;
  size_t written_ = 0;
  grpc::ByteBuffer message_;  // in flight
};

}  // namespace eidetic

#endif  // EIDETIC_SERVER_EXPORT_REACTOR_H_
