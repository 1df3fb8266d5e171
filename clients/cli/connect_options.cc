#include "clients/cli/connect_options.h"

#include <algorithm>
#include <istream>
#include <optional>
#include <sstream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "clients/cli/input.h"

namespace eidetic::cli {
namespace {

// Servers take no longer header.
constexpr size_t kMaxCredentialBytes = 8192;

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  if (path.empty()) return std::string();
  std::istringstream none;
  return ReadText(path, none);
}

absl::StatusOr<std::string> Credential(const ConnectOptions& options) {
  std::string source = "EIDETIC_API_KEY", text = options.api_key;
  if (!options.api_key_file.empty()) {
    source = options.api_key_file;
    auto read = ReadFile(options.api_key_file);
    if (!read.ok()) return read.status();
    text = *std::move(read);
  }
  const std::string key(absl::StripAsciiWhitespace(text));
  const bool sendable =
      key.size() <= kMaxCredentialBytes &&
      std::all_of(key.begin(), key.end(), [](char c) { return c > ' ' && c < 127; });
  if (sendable && (!key.empty() || options.api_key_file.empty())) return key;
  return absl::InvalidArgumentError(
      absl::StrCat(source, ": holds no API key or token; it must be one word of ASCII"));
}

absl::StatusOr<std::optional<client::TlsOptions>> Tls(const ConnectOptions& options) {
  if (options.tls_certificate.empty() != options.tls_key.empty()) {
    return absl::InvalidArgumentError("--tls-certificate and --tls-key: give both, or none");
  }
  if (!options.tls && options.tls_ca.empty() && options.tls_key.empty()) {
    return std::optional<client::TlsOptions>();
  }
  client::TlsOptions tls;
  for (const auto& [path, text] :
       {std::pair(&options.tls_ca, &tls.ca), std::pair(&options.tls_certificate, &tls.certificate),
        std::pair(&options.tls_key, &tls.key)}) {
    auto read = ReadFile(*path);
    if (!read.ok()) return read.status();
    *text = *std::move(read);
  }
  return std::optional<client::TlsOptions>(std::move(tls));
}

}  // namespace

void AddConnectOptions(CLI::App* app, ConnectOptions* options) {
  app->add_option("--server", options->server, "host:port of the server")
      ->envname("EIDETIC_SERVER")
      ->capture_default_str();
  app->add_option("--tenant", options->tenant, "whose sessions are meant")->capture_default_str();
  // Not on the command line itself, which others on the machine can read.
  app->add_option("--api-key-file", options->api_key_file,
                  "File with the API key or token; without it $EIDETIC_API_KEY is the key");
  app->add_flag("--tls", options->tls, "Connect by TLS, trusting the CAs of the system");
  app->add_option("--tls-ca", options->tls_ca, "Connect by TLS, trusting the CAs of this PEM file");
  app->add_option("--tls-certificate", options->tls_certificate,
                  "PEM file with the certificate to show the server");
  app->add_option("--tls-key", options->tls_key, "PEM file with that certificate's private key");
}

absl::StatusOr<client::Client> Connect(const ConnectOptions& options) {
  client::ClientOptions to;
  to.tenant = options.tenant;
  auto credential = Credential(options);
  if (!credential.ok()) return credential.status();
  to.credential = *std::move(credential);
  auto tls = Tls(options);
  if (!tls.ok()) return tls.status();
  to.tls = *std::move(tls);
  return client::Client::Connect(options.server, std::move(to));
}

}  // namespace eidetic::cli
