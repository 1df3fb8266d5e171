#include "clients/cli/attention_options.h"

#include <algorithm>
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

const std::map<std::string, v1::RetrievalRule>& Rules() {
  static const auto& rules = *new std::map<std::string, v1::RetrievalRule>{
      {"two_stage", v1::RETRIEVAL_RULE_TWO_STAGE}, {"exact", v1::RETRIEVAL_RULE_EXACT},
      {"bound", v1::RETRIEVAL_RULE_BOUND},         {"mean", v1::RETRIEVAL_RULE_MEAN},
      {"pooled", v1::RETRIEVAL_RULE_POOLED},
  };
  return rules;
}

template <typename Value>
std::vector<std::string> Names(const std::map<std::string, Value>& values) {
  std::vector<std::string> names;
  for (const auto& [name, value] : values) names.push_back(name);
  return names;
}

template <typename Value>
std::string NameOf(const std::map<std::string, Value>& values, Value value) {
  for (const auto& [name, known] : values) {
    if (known == value) return name;
  }
  return "unknown";
}

}  // namespace

CLI::Option* AddPolicyOption(CLI::App* command, v1::AttentionSettings* settings) {
  return command
      ->add_option_function<std::string>(
          "--policy",
          [settings](const std::string& name) { settings->set_policy(Policies().at(name)); },
          "How a new session attends to its past")
      ->check(CLI::IsMember(Names(Policies())));
}

CLI::Option* AddRulesOption(CLI::App* command, std::vector<v1::RetrievalRule>* rules,
                            const std::string& description) {
  const auto underscores = [](std::string name) {
    std::replace(name.begin(), name.end(), '-', '_');
    return name;
  };
  return command
      ->add_option_function<std::vector<std::string>>(
          "--rules",
          [rules](const std::vector<std::string>& names) {
            for (const std::string& name : names) {
              const v1::RetrievalRule rule = Rules().at(name);
              if (std::find(rules->begin(), rules->end(), rule) != rules->end()) {
                throw CLI::ValidationError("--rules", name + " is named twice");
              }
              rules->push_back(rule);
            }
          },
          description)
      ->delimiter(',')
      ->transform(CLI::IsMember(Names(Rules()), underscores));
}

std::string PolicyName(v1::AttentionPolicy policy) { return NameOf(Policies(), policy); }

std::string RuleName(v1::RetrievalRule rule) { return NameOf(Rules(), rule); }

}  // namespace eidetic::cli
