#include "server/identity/api_keys.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <algorithm>
#include <cctype>
#include <utility>

#include "absl/strings/escaping.h"
#include "engine/session_name.h"
#include "server/identity/strict_json.h"

namespace eidetic {
namespace {

constexpr size_t kMaxNameChars = 64;

absl::StatusOr<Caller> ParseCaller(const JsonObject& object, std::string id) {
  auto tenant = object.Text("tenant", kMaxNameChars);
  if (!tenant.ok()) return tenant.status();
  if (!SessionName::IsSegment(*tenant)) {
    return object.Refuse("tenant", "is a letter, then letters, digits and '-', lower case");
  }
  const auto role = object.OptionalText("role", kMaxNameChars);
  if (!role.ok()) return role.status();
  Caller caller{.tenant = *std::move(tenant), .role = Role::kUser, .id = std::move(id)};
  if (*role == "admin") {
    caller.role = Role::kAdmin;
  } else if (*role && *role != "user") {
    return object.Refuse("role", "must be \"user\" or \"admin\"");
  }
  return caller;
}

bool IsHexDigest(const std::string& text) {
  return text.size() == 2 * SHA256_DIGEST_LENGTH &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isxdigit(c); });
}

}  // namespace

absl::StatusOr<ApiKeys> ApiKeys::Parse(std::string_view json) {
  const auto tree = ParseStrictJson(json);
  if (!tree.ok()) return tree.status();
  const auto file = JsonObject::Of(*tree, "");
  if (!file.ok()) return file.status();
  ApiKeys parsed;
  absl::Status status = file->CheckNames({"keys", "certificates"});
  if (!status.ok()) return status;
  status = file->ForEach("keys", [&](const JsonObject& entry) {
    if (absl::Status names = entry.CheckNames({"id", "sha256", "tenant", "role"}); !names.ok()) {
      return names;
    }
    const auto id = entry.Text("id", kMaxNameChars);
    if (!id.ok()) return id.status();
    if (!SessionName::IsSegment(*id)) {
      return entry.Refuse("id", "is a letter, then letters, digits and '-', lower case");
    }
    const auto sha256 = entry.Text("sha256", 2 * SHA256_DIGEST_LENGTH);
    if (!sha256.ok()) return sha256.status();
    if (!IsHexDigest(*sha256)) return entry.Refuse("sha256", "must be 64 hexadecimal digits");
    auto caller = ParseCaller(entry, "key:" + *id);
    if (!caller.ok()) return caller.status();
    Key key{.sha256 = {}, .caller = *std::move(caller)};
    const std::string bytes = absl::HexStringToBytes(*sha256);
    std::copy(bytes.begin(), bytes.end(), key.sha256.begin());
    if (parsed.keys_.emplace(*id, std::move(key)).second) return absl::OkStatus();
    return entry.Refuse("id", "is given twice");
  });
  if (!status.ok()) return status;
  status = file->ForEach("certificates", [&](const JsonObject& entry) {
    if (absl::Status names = entry.CheckNames({"common_name", "tenant", "role"}); !names.ok()) {
      return names;
    }
    const auto name = entry.Text("common_name", kMaxCommonNameBytes);
    if (!name.ok()) return name.status();
    auto caller = ParseCaller(entry, "certificate:" + *name);
    if (!caller.ok()) return caller.status();
    if (parsed.certificates_.emplace(*name, *std::move(caller)).second) return absl::OkStatus();
    return entry.Refuse("common_name", "is given twice");
  });
  if (!status.ok()) return status;
  return parsed;
}

std::optional<Caller> ApiKeys::FindKey(std::string_view key) const {
  if (key.size() > kMaxApiKeyBytes || !key.starts_with(kApiKeyPrefix)) return std::nullopt;
  const std::string_view rest = key.substr(kApiKeyPrefix.size());
  const size_t end = rest.find('_');
  if (end == std::string_view::npos) return std::nullopt;
  const auto found = keys_.find(rest.substr(0, end));
  Sha256Bytes digest;
  SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(), digest.data());
  // An unknown id takes as long as a wrong secret.
  static constexpr Sha256Bytes kNone = {};
  const Sha256Bytes& wanted = found == keys_.end() ? kNone : found->second.sha256;
  const bool same = CRYPTO_memcmp(digest.data(), wanted.data(), digest.size()) == 0;
  if (!same || found == keys_.end()) return std::nullopt;
  return found->second.caller;
}

std::optional<Caller> ApiKeys::FindCertificate(const std::string& common_name) const {
  const auto found = certificates_.find(common_name);
  if (found == certificates_.end()) return std::nullopt;
  return found->second;
}

}  // namespace eidetic
