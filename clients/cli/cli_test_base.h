// Runs `eidetic` within the test's process against a fake server.
//
// Thread safety: thread-compatible. Ownership: owns server and streams.
// Preconditions: none.
#ifndef EIDETIC_CLIENTS_CLI_CLI_TEST_BASE_H_
#define EIDETIC_CLIENTS_CLI_CLI_TEST_BASE_H_

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "clients/cli/run.h"
#include "clients/cpp/testing/fake_server.h"

namespace eidetic::cli {

class CliTestBase : public ::testing::Test {
 protected:
  // What the command said is in `out_` and `err_`.
  ExitCode RunCli(std::vector<std::string> arguments, const std::string& input = "") {
    arguments.insert(arguments.begin(), {"--server", server_.address()});
    std::istringstream in(input);
    std::ostringstream out, err;
    Streams streams{in, out, err};
    const ExitCode code = cli::Run(arguments, streams, interrupt_);
    out_ = out.str();
    err_ = err.str();
    return code;
  }

  std::string WriteFile(const std::string& text) {
    const std::string path = ::testing::TempDir() + "/cli_test_input.txt";
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }

  client::testing::FakeServer server_;
  Interrupt interrupt_;
  std::string out_, err_;
};

}  // namespace eidetic::cli

#endif  // EIDETIC_CLIENTS_CLI_CLI_TEST_BASE_H_
