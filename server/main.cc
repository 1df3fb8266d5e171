// eidetic-server: loads a model and serves it until SIGTERM or SIGINT.
#include <glog/logging.h>
#include <google/protobuf/stubs/logging.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/flags/usage_config.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "engine/backend/create_backend.h"
#include "engine/engine.h"
#include "server/flags.h"
#include "server/json_log.h"
#include "server/metrics.h"
#include "server/metrics_server.h"
#include "server/model_folder.h"
#include "server/server.h"
#include "server/version.h"

namespace eidetic {
namespace {

// Any number will do: a measurement wants the same weights each time.
constexpr uint64_t kRandomSeed = 1;

// Every thread inherits the mask, so that the signals wait for sigwait alone.
sigset_t BlockEndSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &signals, nullptr), 0);
  return signals;
}

// Once the first signal came: another one ends the process at once, with the code that shells
// give for it. Nothing acknowledged is lost: it was durable before it was acknowledged.
void LeaveAtNextSignal(sigset_t signals) {
  std::thread([signals] {
    int signal = 0;
    CHECK_EQ(sigwait(&signals, &signal), 0);
    LOG(WARNING) << "leaving at once after signal " << signal;
    _exit(128 + signal);
  }).detach();
}

void DescribeUsage() {
  absl::SetProgramUsageMessage("Serves a hybrid language model with a memory that does not end.");
  absl::FlagsUsageConfig config;
  // --help lists our flags alone, not those of the libraries.
  config.contains_help_flags = config.contains_helpshort_flags = [](absl::string_view file) {
    return absl::EndsWith(file, "server/flags.cc");
  };
  config.version_string = [] { return absl::StrCat("eidetic-server ", kVersion, "\n"); };
  absl::SetFlagsUsageConfig(config);
}

// Whole or not at all: who waits for the file must not read half a number.
absl::Status WritePortFile(const std::string& path, int port) {
  if (path.empty()) return absl::OkStatus();
  const std::string part = path + ".part";
  std::ofstream(part) << port << "\n";
  std::error_code error;
  std::filesystem::rename(part, path, error);
  if (!error) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--port_file: can not write ", path, ": ", error.message()));
}

absl::StatusOr<std::string> NameModel(const CommandLine& line,
                                      const std::filesystem::path& folder) {
  const bool by_config = line.model_name.empty() && !line.random_config.empty();
  return ModelName(
      by_config ? std::filesystem::path(line.random_config).stem().string() : line.model_name,
      folder);
}

absl::StatusOr<std::unique_ptr<Engine>> CreateEngine(const CommandLine& line,
                                                     const std::filesystem::path& folder,
                                                     Backend* backend, EngineObserver* observer) {
  const Engine::Options options = {.limits = line.limits,
                                   .observer = observer,
                                   .data_folder = line.data_folder,
                                   .adapter_folder = line.adapter_folder};
  if (line.random_config.empty()) return Engine::Create(folder, backend, options);
  return Engine::CreateRandom(line.random_config, kRandomSeed, folder, backend, options);
}

// What is not on the disk at the deadline is computed again from the journal.
void CheckpointSessions(Engine* engine, absl::Time deadline) {
  const auto done = std::make_shared<absl::Notification>();
  engine->CheckpointAll(deadline, [done](const absl::Status& status) {
    if (!status.ok()) LOG(WARNING) << status;
    done->Notify();
  });
  // A device that is lost meanwhile tells nobody.
  constexpr absl::Duration kLastTurn = absl::Seconds(1);
  done->WaitForNotificationWithDeadline(deadline + kLastTurn);
}

absl::Status Serve(const CommandLine& line, const std::string& argv0, const sigset_t& signals) {
  const auto folder = FindModelFolder(line.model_folder, argv0);
  if (!folder.ok()) return folder.status();
  const auto name = NameModel(line, *folder);
  if (!name.ok()) return name.status();

  std::string why_no_gpu;
  const auto created = CreateBackend(line.backend, &why_no_gpu);
  if (!created.ok()) return created.status();
  Backend* const backend = created->get();
  const auto metrics = std::make_shared<Metrics>(
      *name, backend->name(),
      MetricsOptions{line.metrics_tenants, line.data_folder, line.server.heartbeat_timeout});
  std::unique_ptr<MetricsServer> metrics_server;
  if (!line.metrics_address.empty()) {
    auto started = MetricsServer::Start(line.metrics_address, metrics);
    if (!started.ok()) return started.status();
    metrics_server = *std::move(started);
  }
  const auto engine = CreateEngine(line, *folder, backend, metrics.get());
  if (!engine.ok()) return engine.status();
  metrics->Watch(engine->get());

  const auto server =
      EideticServer::Start({engine->get(), *name, backend->name()}, metrics.get(), line.server);
  absl::Status status = server.status();
  if (status.ok()) status = WritePortFile(line.port_file, (*server)->port());
  if (status.ok()) {
    LOG(INFO) << "eidetic-server " << kVersion << " serves " << *name << " on port "
              << (*server)->port() << " (" << line.server.address << "), " << backend->name();
    if (!why_no_gpu.empty()) LOG(INFO) << "the CPU computes, no GPU does: " << why_no_gpu;
    int signal = 0;
    CHECK_EQ(sigwait(&signals, &signal), 0);
    LOG(INFO) << "ending after signal " << signal;
    LeaveAtNextSignal(signals);
    const absl::Time deadline = absl::Now() + line.server.shutdown_grace;
    (*server)->Shutdown(line.server.shutdown_grace);
    CheckpointSessions(engine->get(), deadline);
  }
  metrics->Watch(nullptr);
  return status;
}

}  // namespace
}  // namespace eidetic

int main(int argc, char** argv) {
  // A refused start is one line of ours; gRPC would add its own.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  // Debian's absl looks for deadlocks whenever a mutex is taken, under one lock for all threads.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  FLAGS_logtostderr = true;
  google::InitGoogleLogging(argv[0]);
  // A request that does not parse is refused and counted; a line for each bad string, as many as a
  // client likes to send, has no place in the log.
  google::protobuf::SetLogHandler(nullptr);
  const sigset_t signals = eidetic::BlockEndSignals();
  eidetic::DescribeUsage();
  const std::vector<char*> words = absl::ParseCommandLine(argc, argv);
  absl::Status status;
  if (words.size() > 1) {
    status = absl::InvalidArgumentError(absl::StrCat("'", words[1], "' is no flag; see --help"));
  } else {
    const auto line = eidetic::CommandLineFromFlags();
    if (line.ok() && line->log_as_json) eidetic::LogAsJson();
    status = line.ok() ? eidetic::Serve(*line, argv[0], signals) : line.status();
  }
  if (status.ok()) return 0;
  std::fprintf(stderr, "eidetic-server: %s\n", std::string(status.message()).c_str());
  return 1;
}
