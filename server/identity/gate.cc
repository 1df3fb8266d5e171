#include "server/identity/gate.h"

#include <glog/logging.h>
#include <grpc/grpc_security_constants.h>
#include <grpcpp/security/auth_context.h>

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "server/identity/audit.h"
#include "server/identity/tls.h"

namespace eidetic {
namespace {

const Caller kAnyone = {.tenant = "", .role = Role::kAnonymous, .id = ""};

// A key that was taken back works no longer than this.
constexpr absl::Duration kLookPeriod = absl::Seconds(1);
constexpr std::string_view kBearer = "Bearer ";

std::vector<std::string> Values(const grpc::CallbackServerContext& context, const char* header) {
  const auto [begin, end] = context.client_metadata().equal_range(header);
  std::vector<std::string> values;
  for (auto it = begin; it != end; ++it) values.emplace_back(it->second.data(), it->second.size());
  return values;
}

std::optional<std::string> CommonName(const grpc::CallbackServerContext& context) {
  const std::shared_ptr<const grpc::AuthContext> peer = context.auth_context();
  if (peer == nullptr || !peer->IsPeerAuthenticated()) return std::nullopt;
  const auto names = peer->FindPropertyValues(GRPC_X509_CN_PROPERTY_NAME);
  if (names.size() != 1) return std::nullopt;
  return std::string(names[0].data(), names[0].size());
}

Credentials CredentialsOf(const grpc::CallbackServerContext& context) {
  return {.authorization = Values(context, "authorization"),
          .api_key = Values(context, "x-api-key"),
          .common_name = CommonName(context)};
}

absl::Status CheckPairOf(const IdentityOptions& options) {
  const auto certificate = ReadWatchedFile(options.tls_certificate);
  if (!certificate.ok()) return certificate.status();
  const auto key = ReadWatchedFile(options.tls_key);
  if (!key.ok()) return key.status();
  return CheckKeyPair(*certificate, *key);
}

}  // namespace

Gate::Gate(const IdentityOptions& options, IdentityObserver* observer)
    : options_(options),
      token_rules_{options.jwt_issuer, options.jwt_audience},
      observer_(observer),
      watcher_([this](const std::string& flag, const absl::Status& status) {
        OnFileChanged(flag, status);
      }) {}

absl::StatusOr<std::unique_ptr<Gate>> Gate::Create(const IdentityOptions& options,
                                                   IdentityObserver* observer) {
  std::unique_ptr<Gate> gate(new Gate(options, observer));
  if (absl::Status status = gate->TakeFiles(); !status.ok()) return status;
  gate->watcher_.Start(kLookPeriod);
  return gate;
}

absl::Status Gate::TakeFiles() {
  struct Watched {
    const char* flag;
    const std::string& path;
    FileWatcher::Take take;
  };
  // gRPC takes the files of TLS by itself: they are watched to tell what is wrong with them.
  const auto pair = [this](const std::string&) { return CheckPairOf(options_); };
  const Watched files[] = {
      {"tls_certificate", options_.tls_certificate, pair},
      {"tls_key", options_.tls_key, pair},
      {"tls_client_ca", options_.tls_client_ca, CheckCertificates},
      {"api_keys", options_.api_keys, [this](const auto& bytes) { return TakeApiKeys(bytes); }},
      {"jwks", options_.jwks, [this](const auto& bytes) { return TakeTokenKeys(bytes); }},
  };
  for (const Watched& file : files) {
    if (file.path.empty()) continue;
    absl::Status status = watcher_.Watch(file.flag, file.path, file.take);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Gate::TakeApiKeys(const std::string& bytes) {
  auto parsed = ApiKeys::Parse(bytes);
  if (!parsed.ok()) return parsed.status();
  auto taken = std::make_shared<const ApiKeys>(*std::move(parsed));
  absl::MutexLock lock(&mutex_);
  api_keys_ = std::move(taken);
  return absl::OkStatus();
}

absl::Status Gate::TakeTokenKeys(const std::string& bytes) {
  auto parsed = JsonWebKeys::Parse(bytes);
  if (!parsed.ok()) return parsed.status();
  auto taken = std::make_shared<const JsonWebKeys>(*std::move(parsed));
  absl::MutexLock lock(&mutex_);
  token_keys_ = std::move(taken);
  return absl::OkStatus();
}

void Gate::OnFileChanged(const std::string& flag, const absl::Status& status) {
  if (!status.ok()) {
    LOG(ERROR) << status.message()
               << (absl::StartsWith(flag, "tls_") ? "; new connections fail until it is mended"
                                                  : "; what it held before stays");
  }
  AuditFile(flag, status.ok());
  observer_->OnFileChanged(flag, status.ok());
}

absl::StatusOr<Caller> Gate::Admit(const grpc::CallbackServerContext& context) const {
  if (!options_.asks()) return kAnyone;
  const Verdict verdict = Identify(CredentialsOf(context), absl::Now());
  if (const auto* caller = std::get_if<Caller>(&verdict)) return *caller;
  const AuthFailure failure = std::get<AuthFailure>(verdict);
  observer_->OnAuthFailure(ReasonOf(failure));
  return ToStatus(failure);
}

Verdict Gate::Identify(const Credentials& credentials, absl::Time now) const {
  if (!options_.asks()) return kAnyone;
  const size_t shown = credentials.authorization.size() + credentials.api_key.size();
  if (shown > 1) return AuthFailure::kAmbiguous;
  if (shown == 0) return IdentifyCertificate(credentials);
  if (!credentials.api_key.empty()) return IdentifyKey(credentials.api_key[0]);
  const std::string& header = credentials.authorization[0];
  if (!absl::StartsWithIgnoreCase(header, absl::string_view(kBearer.data(), kBearer.size()))) {
    return AuthFailure::kNotTaken;
  }
  return IdentifyBearer(std::string_view(header).substr(kBearer.size()), now);
}

Verdict Gate::IdentifyBearer(std::string_view bearer, absl::Time now) const {
  if (bearer.starts_with(kApiKeyPrefix)) return IdentifyKey(bearer);
  const auto keys = token_keys();
  if (keys == nullptr) return AuthFailure::kNotTaken;
  return CheckToken(bearer, *keys, token_rules_, now);
}

Verdict Gate::IdentifyKey(std::string_view key) const {
  const auto keys = api_keys();
  if (keys == nullptr) return AuthFailure::kNotTaken;
  if (std::optional<Caller> caller = keys->FindKey(key)) return *std::move(caller);
  return AuthFailure::kUnknownKey;
}

Verdict Gate::IdentifyCertificate(const Credentials& credentials) const {
  if (!credentials.common_name) return AuthFailure::kMissing;
  const auto keys = api_keys();
  if (keys == nullptr) return AuthFailure::kMissing;
  if (std::optional<Caller> caller = keys->FindCertificate(*credentials.common_name)) {
    return *std::move(caller);
  }
  return AuthFailure::kUnknownCertificate;
}

}  // namespace eidetic
