// recall_client ADDRESS: answers each line of standard input with a line on standard output
// (calls.h), until standard input ends.
#include <iostream>
#include <string>

#include "clients/cpp/client.h"
#include "tests/bench/recall_bench/calls.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: recall_client HOST:PORT\n";
    return 2;
  }
  using eidetic::client::Client;
  // A score or a fork may wait behind much reading.
  eidetic::bench::Calls calls(Client::Connect(argv[1], {.deadline = absl::Minutes(30)}));
  std::string line;
  while (std::getline(std::cin, line)) std::cout << calls.Serve(line) << std::endl;
}
