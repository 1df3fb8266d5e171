// The gRPC server: the four services, health and reflection on one address.
//
// Thread safety: Shutdown may be called from any thread; the rest is const. Ownership: owns
//   services and threads; borrows engine and metrics, which outlive it.
// Preconditions: none: options are checked.
#ifndef EIDETIC_SERVER_SERVER_H_
#define EIDETIC_SERVER_SERVER_H_

#include <grpcpp/server.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/generation_service.h"
#include "server/health.h"
#include "server/identity/file_watcher.h"
#include "server/identity/gate.h"
#include "server/identity/identity_options.h"
#include "server/metrics.h"
#include "server/model_service.h"
#include "server/operation_service.h"
#include "server/served_model.h"
#include "server/session_service.h"
#include "server/slow_readers.h"
#include "server/stream_threads.h"

namespace eidetic {

struct ServerOptions {
  std::string address = "127.0.0.1:50051";  // port 0: the system chooses
  int32_t max_request_bytes = 4 << 20;
  int32_t max_streams_per_connection = 1024;
  int32_t max_message_tokens = 64;                       // of those that a request allows
  int32_t stream_threads = 2;                            // that write to streams
  absl::Duration keepalive_time = absl::Seconds(30);     // silence before a peer is pinged
  absl::Duration heartbeat_timeout = absl::Seconds(10);  // see HealthWatcher
  absl::Duration shutdown_grace = absl::Seconds(30);
  absl::Duration slow_reader_timeout = absl::Seconds(60);  // see SlowReaders
  bool enable_reflection = true;
  IdentityOptions identity = {};
  int64_t max_import_bytes = int64_t{256} << 20;
  std::string tenant_quotas = "";  // see tenant_quotas_file.h; empty: none
};

class EideticServer {
 public:
  // INVALID_ARGUMENT when it can not listen on the address, or would serve there whoever comes, or
  // can not take a file that tells who may.
  static absl::StatusOr<std::unique_ptr<EideticServer>> Start(ServedModel served, Metrics* metrics,
                                                              const ServerOptions& options);
  ~EideticServer();

  // The port that it listens on.
  int port() const { return port_; }

  // Health says NOT_SERVING, new RPCs are refused, running ones get `grace` to end, then they are
  // cancelled. Returns when the last has ended.
  void Shutdown(absl::Duration grace);

 private:
  // Gives the engine what the file says, now and whenever it changes.
  absl::Status WatchQuotas(const std::string& path);

  EideticServer(ServedModel served, std::unique_ptr<Gate> gate, Metrics* metrics,
                const ServerOptions& options)
      : gate_(std::move(gate)),
        served_{served.engine, std::move(served.name), std::move(served.backend), gate_.get()},
        operations_(served_.engine),
        sessions_(&served_, &operations_, options.max_import_bytes),
        stream_threads_(std::make_shared<StreamThreads>(options.stream_threads)),
        slow_readers_(options.slow_reader_timeout, [metrics] { metrics->OnSlowReaderCut(); }),
        generation_(&served_,
                    {stream_threads_, options.max_message_tokens, &slow_readers_, metrics}),
        metrics_(metrics) {}

  const std::unique_ptr<Gate> gate_;
  const ServedModel served_;
  Operations operations_;
  SessionServiceImpl sessions_;
  OperationServiceImpl operation_service_{&operations_, gate_.get()};
  const std::shared_ptr<StreamThreads> stream_threads_;
  SlowReaders slow_readers_;
  GenerationServiceImpl generation_;
  ModelServiceImpl models_{&served_};
  Metrics* const metrics_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<HealthWatcher> health_;
  std::unique_ptr<FileWatcher> quotas_;  // null: no file
};

}  // namespace eidetic

#endif  // EIDETIC_SERVER_SERVER_H_
