// Where the server is, and what the client shows it.
//
// Thread safety: thread-compatible. Ownership: `options` outlives the parsing of `app`.
// Preconditions: none; files are checked.
#ifndef EIDETIC_CLIENTS_CLI_CONNECT_OPTIONS_H_
#define EIDETIC_CLIENTS_CLI_CONNECT_OPTIONS_H_

#include <CLI/CLI.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "clients/cpp/client.h"

namespace eidetic::cli {

struct ConnectOptions {
  std::string server = "127.0.0.1:50051";
  std::string tenant = "default";
  std::string api_key;       // or a token
  std::string api_key_file;  // comes before `api_key`
  bool tls = false;
  std::string tls_ca, tls_certificate, tls_key;  // paths; each means TLS
};

void AddConnectOptions(CLI::App* app, ConnectOptions* options);

// NOT_FOUND: no such file; INVALID_ARGUMENT: a file that holds no key, half of a pair.
absl::StatusOr<client::Client> Connect(const ConnectOptions& options);

}  // namespace eidetic::cli

#endif  // EIDETIC_CLIENTS_CLI_CONNECT_OPTIONS_H_
