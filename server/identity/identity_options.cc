#include "server/identity/identity_options.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cctype>
#include <string_view>

#include "absl/strings/str_cat.h"

namespace eidetic {
namespace {

absl::Status Refuse(const char* flag, const char* what) {
  return absl::InvalidArgumentError(absl::StrCat("--", flag, ": ", what));
}

absl::Status CheckTls(const IdentityOptions& options) {
  if (options.tls_certificate.empty() && !options.tls_key.empty()) {
    return Refuse("tls_certificate", "is empty; --tls_key needs the certificate of that key");
  }
  if (options.tls_key.empty() && !options.tls_certificate.empty()) {
    return Refuse("tls_key", "is empty; --tls_certificate needs the private key of it");
  }
  if (options.tls_client_ca.empty()) return absl::OkStatus();
  if (options.tls_certificate.empty()) {
    return Refuse("tls_client_ca", "needs --tls_certificate and --tls_key");
  }
  if (options.asks()) return absl::OkStatus();
  return Refuse("tls_client_ca",
                "needs --api_keys, whose 'certificates' tell which tenant a client's certificate "
                "stands for, or --jwks");
}

absl::Status CheckTokens(const IdentityOptions& options) {
  const bool rules = !options.jwt_issuer.empty() || !options.jwt_audience.empty();
  if (options.jwks.empty() && rules) {
    return Refuse("jwks",
                  "is empty; --jwt_issuer and --jwt_audience are about tokens that its "
                  "keys sign");
  }
  if (options.jwks.empty()) return absl::OkStatus();
  if (options.jwt_issuer.empty()) {
    return Refuse("jwt_issuer", "is empty; --jwks needs the 'iss' that tokens must have");
  }
  if (options.jwt_audience.empty()) {
    return Refuse("jwt_audience",
                  "is empty; --jwks needs the 'aud' that tokens must have, lest those for other "
                  "services open this one");
  }
  return absl::OkStatus();
}

}  // namespace

bool IsLoopback(const std::string& address) {
  if (address.starts_with("unix:") || address.starts_with("unix-abstract:")) return true;
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) return false;
  const std::string host = address.substr(0, colon);
  const std::string_view port = std::string_view(address).substr(colon + 1);
  if (!std::all_of(port.begin(), port.end(), [](unsigned char c) { return std::isdigit(c); })) {
    return false;
  }
  if (host == "localhost" || host == "[::1]") return true;
  in_addr ip = {};
  return inet_pton(AF_INET, host.c_str(), &ip) == 1 && ntohl(ip.s_addr) >> 24 == 127;
}

absl::Status CheckIdentityOptions(const IdentityOptions& options, const std::string& address) {
  if (absl::Status status = CheckTls(options); !status.ok()) return status;
  if (absl::Status status = CheckTokens(options); !status.ok()) return status;
  if (options.asks()) {
    if (!options.allow_anonymous) return absl::OkStatus();
    return Refuse("allow_anonymous", "contradicts --api_keys and --jwks; leave it out");
  }
  if (options.allow_anonymous || IsLoopback(address)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "--address: ", address,
      " is not loopback, and nobody is asked who they are; give --api_keys or --jwks, or serve "
      "everyone who reaches the port with --allow_anonymous"));
}

}  // namespace eidetic
