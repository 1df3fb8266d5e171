// The command line client.
#include <unistd.h>

#include <iostream>
#include <string>
#include <vector>

#include "clients/cli/run.h"

int main(int argc, char** argv) {
  using eidetic::cli::Interrupt;
  // Never destroyed: its thread listens until the process ends.
  static Interrupt& interrupt = *new Interrupt;
  interrupt.Listen();
  eidetic::cli::Streams streams{std::cin, std::cout, std::cerr, isatty(STDIN_FILENO) == 1,
                                isatty(STDERR_FILENO) == 1};
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  return static_cast<int>(eidetic::cli::Run(arguments, streams, interrupt));
}
