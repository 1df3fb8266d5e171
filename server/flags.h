// The command line of eidetic-server: every limit of the engine and of the edge is a flag.
//
// Thread safety: reads flags, which are set once, before threads start. Ownership: values.
// Preconditions: absl::ParseCommandLine has run.
#ifndef EIDETIC_SERVER_FLAGS_H_
#define EIDETIC_SERVER_FLAGS_H_

#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "engine/backend/create_backend.h"
#include "engine/engine.h"
#include "server/server.h"

namespace eidetic {

struct CommandLine {
  std::string model_folder;   // "": look for the demo model
  std::string model_name;     // "": the folder's name
  std::string random_config;  // config file that gets random weights; "": the folder's model
  std::string metrics_address;
  std::set<std::string> metrics_tenants;
  bool log_as_json = false;
  std::string port_file;
  std::string data_folder;     // "": sessions end with the process
  std::string adapter_folder;  // "": no adapter can be loaded
  BackendOptions backend;
  EngineLimits limits;
  ServerOptions server;
};

// INVALID_ARGUMENT naming the flag and its range.
absl::StatusOr<CommandLine> CommandLineFromFlags();

}  // namespace eidetic

#endif  // EIDETIC_SERVER_FLAGS_H_
