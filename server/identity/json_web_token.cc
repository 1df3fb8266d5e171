#include "server/identity/json_web_token.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "absl/strings/str_cat.h"
#include "engine/session_name.h"
#include "server/identity/strict_json.h"

namespace eidetic {
namespace {

using nlohmann::json;

struct Parts {
  std::string_view signed_bytes;  // header and claims as they were sent, with the dot
  std::string header, claims, signature;
};

std::optional<Parts> Split(std::string_view token) {
  if (token.size() > kMaxTokenBytes || std::count(token.begin(), token.end(), '.') != 2) {
    return std::nullopt;
  }
  const size_t first = token.find('.'), second = token.rfind('.');
  const auto header = DecodeBase64Url(token.substr(0, first));
  const auto claims = DecodeBase64Url(token.substr(first + 1, second - first - 1));
  const auto signature = DecodeBase64Url(token.substr(second + 1));
  if (!header || !claims || !signature) return std::nullopt;
  return Parts{token.substr(0, second), *header, *claims, *signature};
}

// The object in `text`, or null.
json Object(const std::string& text) {
  auto parsed = ParseStrictJson(text);
  return parsed.ok() && parsed->is_object() ? *std::move(parsed) : json();
}

// The string member, or "".
std::string Text(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

// A time in seconds since 1970; none when it is absent or no number.
std::optional<double> Seconds(const json& claims, const char* name) {
  const auto found = claims.find(name);
  if (found == claims.end() || !found->is_number()) return std::nullopt;
  return found->get<double>();
}

bool NamesAudience(const json& claims, const std::string& audience) {
  const auto found = claims.find("aud");
  if (found == claims.end()) return false;
  const auto is_ours = [&](const json& name) { return name.is_string() && name == audience; };
  if (!found->is_array()) return is_ours(*found);
  return std::any_of(found->begin(), found->end(), is_ours);
}

bool IsPrintable(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

std::optional<AuthFailure> CheckSignature(const Parts& parts, const JsonWebKeys& keys) {
  const json header = Object(parts.header);
  if (header.is_null()) return AuthFailure::kTokenMalformed;
  // Extensions that must be understood; none is (RFC 7515, section 4.1.11).
  if (header.contains("crit")) return AuthFailure::kTokenMalformed;
  const JsonWebKey* key = keys.Find(Text(header, "kid"));
  if (key == nullptr) return AuthFailure::kTokenKey;
  const bool rs256 = key->algorithm() == JsonWebKey::Algorithm::kRs256;
  if (Text(header, "alg") != (rs256 ? "RS256" : "ES256")) return AuthFailure::kTokenKey;
  if (!key->Verifies(parts.signed_bytes, parts.signature)) return AuthFailure::kTokenSignature;
  return std::nullopt;
}

std::optional<AuthFailure> CheckTimes(const json& claims, absl::Time now) {
  const double seconds = absl::ToDoubleSeconds(now - absl::UnixEpoch());
  const double leeway = absl::ToDoubleSeconds(kClockLeeway);
  const std::optional<double> expiry = Seconds(claims, "exp");
  if (!expiry || seconds >= *expiry + leeway) return AuthFailure::kTokenExpired;
  if (!claims.contains("nbf")) return std::nullopt;
  const std::optional<double> begin = Seconds(claims, "nbf");
  if (!begin || seconds < *begin - leeway) return AuthFailure::kTokenNotYetValid;
  return std::nullopt;
}

Verdict CallerOf(const json& claims) {
  const std::string tenant = Text(claims, "tenant");
  const std::string subject = Text(claims, "sub");
  if (!SessionName::IsSegment(tenant)) return AuthFailure::kTokenClaims;
  if (subject.size() > kMaxSubjectBytes || !IsPrintable(subject)) return AuthFailure::kTokenClaims;
  Caller caller{.tenant = tenant, .role = Role::kUser, .id = absl::StrCat("token:", subject)};
  if (!claims.contains("role")) return caller;
  const std::string role = Text(claims, "role");
  if (role != "user" && role != "admin") return AuthFailure::kTokenClaims;
  if (role == "admin") caller.role = Role::kAdmin;
  return caller;
}

}  // namespace

Verdict CheckToken(std::string_view token, const JsonWebKeys& keys, const TokenRules& rules,
                   absl::Time now) {
  const std::optional<Parts> parts = Split(token);
  if (!parts) return AuthFailure::kTokenMalformed;
  if (const auto failure = CheckSignature(*parts, keys)) return *failure;
  const json claims = Object(parts->claims);
  if (claims.is_null()) return AuthFailure::kTokenMalformed;
  if (const auto failure = CheckTimes(claims, now)) return *failure;
  if (Text(claims, "iss") != rules.issuer) return AuthFailure::kTokenIssuer;
  if (!NamesAudience(claims, rules.audience)) return AuthFailure::kTokenAudience;
  return CallerOf(claims);
}

}  // namespace eidetic
