#include "server/identity/resource_check.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/session_name.h"
#include "server/identity/audit.h"

namespace eidetic {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr std::array<std::string_view, 5> kResourceFields = {"name", "parent", "session",
                                                             "snapshot", "adapter"};
constexpr std::string_view kTenants = "tenants/";

// What stands between "tenants/" and the next '/', of whatever form.
std::string_view TenantOf(std::string_view resource) {
  const std::string_view rest = resource.substr(kTenants.size());
  return rest.substr(0, rest.find('/'));
}

// As if there were nothing of that name.
absl::Status Absent(const Message& request, const std::string& field, const std::string& resource) {
  // To requests about operations every other name is an operation that is not there.
  const bool operation = request.GetDescriptor()->name().ends_with("OperationRequest");
  if (operation) return NoSuchOperation();
  if (const auto session = SessionName::Parse(resource, field); session.ok()) {
    return NoSuchSession(*session);
  }
  if (const auto snapshot = SnapshotName::Parse(resource, field); snapshot.ok()) {
    return NoSuchSession(snapshot->session);
  }
  if (const auto adapter = AdapterName::Parse(resource, field); adapter.ok()) {
    return NoSuchAdapter(*adapter);
  }
  return absl::NotFoundError(absl::StrCat(field, ": there is no such resource"));
}

// Fields that name something of a tenant, with what they name.
std::vector<std::pair<const FieldDescriptor*, std::string>> Resources(const Message& request) {
  std::vector<std::pair<const FieldDescriptor*, std::string>> found;
  for (int i = 0; i < request.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor* field = request.GetDescriptor()->field(i);
    if (!NamesResource(*field)) continue;
    std::string resource = request.GetReflection()->GetString(request, field);
    if (resource.starts_with(kTenants)) found.emplace_back(field, std::move(resource));
  }
  return found;
}

// "DeleteSession" of a DeleteSessionRequest.
std::string ActOf(const Message& request) {
  std::string act = request.GetDescriptor()->name();
  constexpr std::string_view kRequest = "Request";
  if (act.ends_with(kRequest)) act.resize(act.size() - kRequest.size());
  return act;
}

}  // namespace

bool NamesResource(const FieldDescriptor& field) {
  return field.type() == FieldDescriptor::TYPE_STRING && !field.is_repeated() &&
         std::find(kResourceFields.begin(), kResourceFields.end(), field.name()) !=
             kResourceFields.end();
}

absl::Status NoSuchOperation() {
  return absl::NotFoundError(
      "name: there is no operation of that name (any more); operations end with the server's "
      "process");
}

absl::Status CheckResources(const Caller& caller, const Message& request) {
  if (caller.role == Role::kAnonymous) return absl::OkStatus();
  for (const auto& [field, resource] : Resources(request)) {
    const bool own = TenantOf(resource) == caller.tenant;
    if (caller.role != Role::kAdmin) {
      if (!own) return Absent(request, field->name(), resource);
      continue;
    }
    const std::string act = ActOf(request);
    const bool administers =
        act.starts_with("Delete") || act == "LoadAdapter" || act == "UnloadAdapter";
    if (!own || administers) AuditCall(caller, act, resource);
  }
  return absl::OkStatus();
}

}  // namespace eidetic
