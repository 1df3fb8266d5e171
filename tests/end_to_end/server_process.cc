#include "tests/end_to_end/server_process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <glog/logging.h>
#include <grpcpp/create_channel.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/end_to_end/raw_call.h"

extern char** environ;

namespace eidetic::testing {
namespace {

namespace fs = std::filesystem;

constexpr absl::Duration kPoll = absl::Milliseconds(20);
constexpr absl::Duration kPatience = absl::Seconds(60);  // a loaded machine starts slowly

fs::path Runfile(const std::string& path) {
  const char* root = std::getenv("TEST_SRCDIR");
  const char* workspace = std::getenv("TEST_WORKSPACE");
  CHECK(root != nullptr && workspace != nullptr) << "run me with bazel test";
  return fs::path(root) / workspace / path;
}

std::string NewPath(const std::string& name) {
  static std::atomic<int> count = 0;
  const char* folder = std::getenv("TEST_TMPDIR");
  CHECK(folder != nullptr) << "run me with bazel test";
  return absl::StrCat(folder, "/", name, ".", getpid(), ".", ++count);
}

// Of several test runs at once each may have a loopback address of its own, so that no client of
// one takes another's server for its own that died and left its port.
std::string Host() {
  const char* wanted = std::getenv("EIDETIC_TEST_HOST");
  return wanted == nullptr ? "127.0.0.1" : wanted;
}

sockaddr_in Loopback(int port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  CHECK_EQ(inet_pton(AF_INET, Host().c_str(), &address.sin_addr), 1) << "EIDETIC_TEST_HOST";
  return address;
}

int FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof(address);
  CHECK_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
  CHECK_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  close(fd);
  return ntohs(address.sin_port);
}

std::string ReadAll(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

pid_t Spawn(const std::vector<std::string>& flags, const std::string& errors_path,
            const std::vector<std::string>& environment = {}) {
  std::vector<std::string> words = {Runfile("server/eidetic-server").string()};
  words.insert(words.end(), flags.begin(), flags.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  std::vector<std::string> more = environment;
  std::vector<char*> variables;
  for (char** variable = environ; *variable != nullptr; ++variable) variables.push_back(*variable);
  for (std::string& variable : more) variables.push_back(variable.data());
  variables.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, errors_path.c_str(),
                                   O_WRONLY | O_CREAT | O_TRUNC, 0600);
  pid_t pid = -1;
  CHECK_EQ(posix_spawn(&pid, argv[0], &actions, nullptr, argv.data(), variables.data()), 0)
      << argv[0];
  posix_spawn_file_actions_destroy(&actions);
  return pid;
}

// Waits for the child at most `limit`; false: it still runs.
bool WaitFor(pid_t pid, absl::Duration limit, int* status, rusage* usage) {
  for (const absl::Time end = absl::Now() + limit;; absl::SleepFor(kPoll)) {
    const pid_t ended = wait4(pid, status, WNOHANG, usage);
    CHECK_GE(ended, 0);
    if (ended == pid) return true;
    if (absl::Now() > end) return false;
  }
}

int ExitCode(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : -1; }

}  // namespace

fs::path DemoModel() { return Runfile("engine/model/demo"); }

ServerRun RunServerToItsEnd(const std::vector<std::string>& flags, absl::Duration limit) {
  std::vector<std::string> all = {"--address=" + Host() + ":0", "--metrics_address="};
  all.insert(all.end(), flags.begin(), flags.end());  // of a flag given twice the last counts
  const std::string errors = NewPath("errors");
  const absl::Time begin = absl::Now();
  const pid_t pid = Spawn(all, errors);
  ServerRun run;
  int status = 0;
  rusage usage = {};
  if (WaitFor(pid, limit, &status, &usage)) {
    run.exit_code = ExitCode(status);
  } else {
    kill(pid, SIGKILL);
    wait4(pid, &status, 0, &usage);
  }
  run.time = absl::Now() - begin;
  run.peak_bytes = int64_t{usage.ru_maxrss} * 1024;  // Linux tells KiB
  run.errors = ReadAll(errors);
  return run;
}

ServerProcess::ServerProcess(const std::vector<std::string>& flags,
                             const std::vector<std::string>& environment,
                             const std::shared_ptr<grpc::ChannelCredentials>& credentials)
    : errors_path_(NewPath("server_log")), metrics_port_(FreePort()) {
  const std::string port_file = NewPath("port");
  std::vector<std::string> all = {"--model=" + DemoModel().string(), "--address=" + Host() + ":0",
                                  absl::StrCat("--metrics_address=", Host(), ":", metrics_port_),
                                  "--port_file=" + port_file};
  all.insert(all.end(), flags.begin(), flags.end());
  pid_ = Spawn(all, errors_path_, environment);
  const absl::Time end = absl::Now() + kPatience;
  while (!fs::exists(port_file)) {
    if (Ended()) {
      CHECK(!environment.empty()) << "it ended: " << ReadAll(errors_path_);
      return;
    }
    absl::SleepFor(kPoll);
    CHECK(absl::Now() < end) << "no port yet: " << ReadAll(errors_path_);
  }
  int port = 0;
  CHECK(absl::SimpleAtoi(ReadAll(port_file), &port));
  address_ = absl::StrCat(Host(), ":", port);
  channel_ = grpc::CreateChannel(
      address_, credentials == nullptr ? grpc::InsecureChannelCredentials() : credentials);
  while (health() != 1 && !Ended()) {
    CHECK(absl::Now() < end) << "not SERVING: " << ReadAll(errors_path_);
    absl::SleepFor(kPoll);
  }
}

int64_t ServerProcess::PeakBytes() const {
  std::ifstream lines(absl::StrCat("/proc/", pid_, "/status"));
  for (std::string name; lines >> name;) {
    int64_t kib = 0;
    if (name == "VmHWM:" && lines >> kib) return kib * 1024;
  }
  LOG(FATAL) << "no VmHWM of process " << pid_;
}

std::string ServerProcess::Log() const { return ReadAll(errors_path_); }

void ServerProcess::Kill() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

bool ServerProcess::Ended() {
  int status = 0;
  if (pid_ >= 0 && waitpid(pid_, &status, WNOHANG) == pid_) pid_ = -1;
  return pid_ < 0;
}

ServerProcess::~ServerProcess() { Kill(); }

int ServerProcess::health() const {
  std::string answer;
  const grpc::Status status = RawCall(channel_, "/grpc.health.v1.Health/Check", "", &answer);
  // One field, `status`, by hand: the proto is not among ours.
  return status.ok() && answer.size() == 2 ? answer[1] : -1;
}

std::map<std::string, double> ServerProcess::Metrics() const {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  const sockaddr_in address = Loopback(metrics_port_);
  CHECK_EQ(connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  const std::string get = "GET /metrics HTTP/1.0\r\n\r\n";
  CHECK_EQ(write(fd, get.data(), get.size()), static_cast<ssize_t>(get.size()));
  std::string page;
  char part[4096];
  for (ssize_t n; (n = read(fd, part, sizeof(part))) > 0;) page.append(part, n);
  close(fd);
  CHECK_EQ(page.compare(9, 3, "200"), 0) << page;

  std::map<std::string, double> metrics;
  std::istringstream lines(page);
  for (std::string line; std::getline(lines, line);) {
    const size_t space = line.rfind(' ');
    double value = 0;
    if (line.rfind("eidetic_", 0) != 0 || space == std::string::npos) continue;
    if (absl::SimpleAtod(line.substr(space + 1), &value)) metrics[line.substr(0, space)] = value;
  }
  return metrics;
}

std::map<std::string, double> ServerProcess::StillHeld() const {
  std::map<std::string, double> held;
  for (const absl::Time end = absl::Now() + kPatience; absl::Now() < end; absl::SleepFor(kPoll)) {
    held.clear();
    const std::map<std::string, double> metrics = Metrics();
    for (const char* name : {"eidetic_requests_running", "eidetic_requests_queued",
                             "eidetic_sessions", "eidetic_pages_used{kind=\"kv\"}",
                             "eidetic_pages_used{kind=\"index\"}", "eidetic_state_slots_used"}) {
      if (const double value = metrics.at(name); value != 0) held[name] = value;
    }
    if (held.empty()) break;
  }
  return held;
}

void ServerProcess::Signal(int signal) { CHECK_EQ(kill(pid_, signal), 0); }

int ServerProcess::AwaitEnd() {
  int status = 0;
  CHECK(WaitFor(pid_, kPatience, &status, nullptr)) << "it does not end: " << ReadAll(errors_path_);
  pid_ = -1;
  return ExitCode(status);
}

int ServerProcess::Stop() {
  Signal(SIGTERM);
  const int code = AwaitEnd();
  if (code != 0) LOG(ERROR) << "the server said: " << ReadAll(errors_path_);
  return code;
}

}  // namespace eidetic::testing
