// The flag that chooses how a new session attends, shared by the commands that make one.
//
// Thread safety: thread-compatible. Ownership: `settings` outlives the app's parsing.
// Preconditions: none.
#ifndef EIDETIC_CLIENTS_CLI_ATTENTION_OPTIONS_H_
#define EIDETIC_CLIENTS_CLI_ATTENTION_OPTIONS_H_

#include <CLI/CLI.hpp>
#include <string>

#include "eidetic/v1/session_service.pb.h"

namespace eidetic::cli {

// --policy se_attn|full|window of a new session; unset: the server's default (at a fork:
// the parent's).
CLI::Option* AddPolicyOption(CLI::App* command, v1::AttentionSettings* settings);

// "se_attn", "full", "window"; "unknown" for a policy of a later version.
std::string PolicyName(v1::AttentionPolicy policy);

}  // namespace eidetic::cli

#endif  // EIDETIC_CLIENTS_CLI_ATTENTION_OPTIONS_H_
