// The real server as a child process.
//
// What: starts eidetic-server on free ports of the loopback, waits until its health is SERVING,
//   reads its metrics over HTTP and stops it as an orchestrator would.
// Thread safety: thread-compatible; Metrics() and health() may be called from any thread.
// Ownership: owns the process and kills it at destruction.
// Preconditions: runs under Bazel with //server:eidetic-server and the demo model as data.
#ifndef EIDETIC_TESTS_END_TO_END_SERVER_PROCESS_H_
#define EIDETIC_TESTS_END_TO_END_SERVER_PROCESS_H_

#include <grpcpp/channel.h>
#include <grpcpp/security/credentials.h>
#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace eidetic::testing {

// The folder of the demo model in the test's runfiles.
std::filesystem::path DemoModel();

// How a server ended that was run to its end.
struct ServerRun {
  int exit_code = -1;  // -1: a signal ended it, or we did because it took too long
  std::string errors;  // what it wrote on standard error
  absl::Duration time;
  int64_t peak_bytes = 0;  // resident memory at its highest
};
// Runs it with `flags` beside free ports; killed after `limit`.
ServerRun RunServerToItsEnd(const std::vector<std::string>& flags, absl::Duration limit);

class ServerProcess {
 public:
  // Serves the demo model; returns once health says SERVING. Dies (CHECK) when that takes too long.
  // `environment`: NAME=value, beside our own. When it may kill itself (a fail point), Ended()
  // may be true at once. `credentials`: of our channel; none: plain TCP.
  explicit ServerProcess(const std::vector<std::string>& flags = {},
                         const std::vector<std::string>& environment = {},
                         const std::shared_ptr<grpc::ChannelCredentials>& credentials = nullptr);
  ~ServerProcess();
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  const std::string& address() const { return address_; }
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  // grpc.health.v1's answer for the whole server: 1 SERVING, 2 NOT_SERVING; -1: no answer.
  int health() const;
  // The metrics page: `eidetic_pages_used{kind="kv"}` to its value.
  std::map<std::string, double> Metrics() const;
  // What the metrics say is held: pages, index tiles, state slots, requests, sessions. Zeros are
  // left out. A stream that was left goes at the engine's next turn: waits a while for nothing.
  std::map<std::string, double> StillHeld() const;
  // Its resident memory at its highest.
  int64_t PeakBytes() const;
  // What it has logged so far.
  std::string Log() const;
  // SIGKILL, unless it is dead already.
  void Kill();
  // Whether it has ended by itself.
  bool Ended();
  void Signal(int signal);
  // Waits for its end; gives the exit code, -1 when a signal ended it.
  int AwaitEnd();
  // SIGTERM; gives the exit code, -1 when a signal ended it.
  int Stop();

 private:
  std::string errors_path_;
  std::string address_;
  int metrics_port_ = 0;
  pid_t pid_ = -1;
  std::shared_ptr<grpc::Channel> channel_;
};

}  // namespace eidetic::testing

#endif  // EIDETIC_TESTS_END_TO_END_SERVER_PROCESS_H_
