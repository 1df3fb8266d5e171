// Flags that shape an answer, shared by the commands that generate.
//
// Thread safety: thread-compatible. Ownership: plain value; outlives the app's parsing.
// Preconditions: none; the server checks the values.
#ifndef EIDETIC_CLIENTS_CLI_GENERATION_OPTIONS_H_
#define EIDETIC_CLIENTS_CLI_GENERATION_OPTIONS_H_

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "eidetic/v1/generation_service.pb.h"

namespace eidetic::cli {

// Unset fields take the server's defaults.
struct GenerationOptions {
  std::optional<int32_t> max_tokens;
  std::optional<float> temperature;  // 0 is greedy
  std::optional<float> top_p;
  std::optional<int32_t> top_k;
  std::optional<uint64_t> seed;
  std::vector<std::string> stop;
  bool passages = false;  // tell on `err` which passages the answer drew on
};

void AddGenerationOptions(CLI::App* command, GenerationOptions* options);

// A request with these options and nothing else.
v1::GenerateRequest ToRequest(const GenerationOptions& options);

}  // namespace eidetic::cli

#endif  // EIDETIC_CLIENTS_CLI_GENERATION_OPTIONS_H_
