// Runs a fuzz target without libFuzzer: over its seeds, its corpus, and inputs drawn around both.
//
//   TARGET_test INPUTS [FILE_OR_FOLDER...]   runs the files, then INPUTS drawn ones
//
// An input at which the target ends the process, or is still at work when it is told to end, is
// kept as crash-input in $TEST_UNDECLARED_OUTPUTS_DIR, or here; running that file shows it again.
#include <fcntl.h>
#include <glog/logging.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz_target.h"
#include "tests/fuzz/mutator.h"

namespace eidetic::fuzz {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kSeed = 20240501;
// No input of 64 KiB may make a parser take more.
constexpr rlim_t kMaxMemoryBytes = rlim_t{2} << 30;

// For the signal handler alone: it can be handed nothing.
std::string g_input;
std::string g_crash_path;

void KeepInput(int signal) {
  const int file = open(g_crash_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  const bool kept = file >= 0 && write(file, g_input.data(), g_input.size()) ==
                                     static_cast<ssize_t>(g_input.size());
  for (const char* text :
       {"the input is kept as ", kept ? g_crash_path.c_str() : "nothing", "\n"}) {
    [[maybe_unused]] const auto written = write(STDERR_FILENO, text, std::strlen(text));
  }
  raise(signal);  // the handler was for once
}

void CatchSignals() {
  const char* folder = std::getenv("TEST_UNDECLARED_OUTPUTS_DIR");
  g_crash_path = (fs::path(folder == nullptr ? "." : folder) / "crash-input").string();
  struct sigaction action = {};
  action.sa_handler = KeepInput;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_NODEFER);
  for (int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTERM}) {
    sigaction(signal, &action, nullptr);
  }
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  const rlimit limit = {kMaxMemoryBytes, kMaxMemoryBytes};
  PCHECK(setrlimit(RLIMIT_AS, &limit) == 0);
#endif
}

void RunOne(const std::string& input) {
  g_input = input;
  CHECK_EQ(LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(g_input.data()), g_input.size()),
           0);
}

std::string ReadFile(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  CHECK(in) << "can not read " << path;
  return {std::istreambuf_iterator<char>(in), {}};
}

void AddFiles(const fs::path& path, std::vector<std::string>* inputs) {
  if (!fs::is_directory(path)) {
    inputs->push_back(ReadFile(path));
    return;
  }
  std::vector<fs::path> files(fs::directory_iterator(path), {});
  std::sort(files.begin(), files.end());
  for (const fs::path& file : files) inputs->push_back(ReadFile(file));
}

int Main(int argc, char** argv) {
  CHECK_GE(argc, 2) << "usage: " << argv[0] << " INPUTS [FILE_OR_FOLDER...]";
  const int64_t draws = std::stoll(argv[1]);
  std::vector<std::string> inputs = Seeds();
  CHECK(!inputs.empty());
  for (int i = 2; i < argc; ++i) AddFiles(argv[i], &inputs);
  CatchSignals();
  const auto start = std::chrono::steady_clock::now();
  for (size_t i = 0; i < inputs.size(); ++i) RunOne(inputs[i]);
  Mutator mutator(inputs, kSeed);
  for (int64_t i = 0; i < draws; ++i) RunOne(mutator.Draw());
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::cout << "inputs=" << inputs.size() << " drawn=" << draws << " seconds=" << took.count()
            << std::endl;
  return 0;
}

}  // namespace
}  // namespace eidetic::fuzz

int main(int argc, char** argv) { return eidetic::fuzz::Main(argc, argv); }
