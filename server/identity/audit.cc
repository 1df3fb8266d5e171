#include "server/identity/audit.h"

#include <glog/logging.h>

#include <nlohmann/json.hpp>

#include "engine/session_name.h"

namespace eidetic {
namespace {

using Json = nlohmann::ordered_json;

// A name of ours has lower-case letters, digits, '-' and '/', and is no longer than this.
constexpr size_t kMaxResourceChars = 256;

std::string CleanResource(const std::string& resource) {
  const bool clean =
      resource.size() <= kMaxResourceChars &&
      resource.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-/") == std::string::npos;
  return clean ? resource : "(malformed)";
}

}  // namespace

std::string AuditJson(const Caller& caller, const std::string& act, const std::string& resource) {
  const Json line = {{"act", act},
                     {"caller", caller.id},
                     {"tenant", caller.tenant},
                     {"resource", CleanResource(resource)}};
  return line.dump(-1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace);
}

void AuditCall(const Caller& caller, const std::string& act, const std::string& resource) {
  LOG(INFO) << "audit " << AuditJson(caller, act, resource);
}

void AuditFile(const std::string& flag, bool taken) {
  const Json line = {{"act", "FileChanged"}, {"file", flag}, {"taken", taken}};
  LOG(INFO) << "audit " << line.dump();
}

}  // namespace eidetic
