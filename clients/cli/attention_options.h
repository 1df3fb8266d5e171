// The flags that choose how a session attends, shared by the commands that make one.
//
// Thread safety: thread-compatible. Ownership: pointees outlive the app's parsing.
// Preconditions: none.
#ifndef EIDETIC_CLIENTS_CLI_ATTENTION_OPTIONS_H_
#define EIDETIC_CLIENTS_CLI_ATTENTION_OPTIONS_H_

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "eidetic/v1/session_service.pb.h"

namespace eidetic::cli {

// --policy se_attn|full|window of a new session; unset: the server's default (at a fork:
// the parent's).
CLI::Option* AddPolicyOption(CLI::App* command, v1::AttentionSettings* settings);

// --rules LIST, separated by commas, of two-stage, exact, bound, mean and pooled (or
// two_stage), each once; stays as it is when the option is not given.
CLI::Option* AddRulesOption(CLI::App* command, std::vector<v1::RetrievalRule>* rules,
                            const std::string& description);

// "se_attn", "full", "window"; "unknown" for a policy of a later version.
std::string PolicyName(v1::AttentionPolicy policy);

// "two_stage", "exact", ...; "unknown" for a rule of a later version.
std::string RuleName(v1::RetrievalRule rule);

}  // namespace eidetic::cli

#endif  // EIDETIC_CLIENTS_CLI_ATTENTION_OPTIONS_H_
