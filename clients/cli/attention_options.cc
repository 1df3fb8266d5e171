#include "clients/cli/attention_options.h"

#include <map>

namespace eidetic::cli {
namespace {

const std::map<std::string, v1::AttentionPolicy>& Policies() {
  static const auto& policies = *new std::map<std::string, v1::AttentionPolicy>{
      {"se_attn", v1::ATTENTION_POLICY_SE_ATTN},
      {"full", v1::ATTENTION_POLICY_FULL},
      {"window", v1::ATTENTION_POLICY_WINDOW},
  };
  return policies;
}

}  // namespace

CLI::Option* AddPolicyOption(CLI::App* command, v1::AttentionSettings* settings) {
  std::vector<std::string> names;
  for (const auto& [name, policy] : Policies()) names.push_back(name);
  return command
      ->add_option_function<std::string>(
          "--policy",
          [settings](const std::string& name) { settings->set_policy(Policies().at(name)); },
          "How a new session attends to its past")
      ->check(CLI::IsMember(names));
}

std::string PolicyName(v1::AttentionPolicy policy) {
  for (const auto& [name, known] : Policies()) {
    if (known == policy) return name;
  }
  return "unknown";
}

}  // namespace eidetic::cli
