// The server's gate: finds out who makes a call.
//
// What: a caller shows an API key or a token ("authorization: Bearer ...", or "x-api-key: ..."),
//   or, without either, a client certificate that the port's TLS has verified. The files behind
//   it are read again when they change. A gate without any files lets everyone in, as kAnonymous.
// Thread safety: thread-safe. Ownership: owns the thread that watches the files; borrows the
//   observer, which outlives it. Preconditions: CheckIdentityOptions passed.
#ifndef EIDETIC_SERVER_IDENTITY_GATE_H_
#define EIDETIC_SERVER_IDENTITY_GATE_H_

#include <grpcpp/server_context.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/identity/api_keys.h"
#include "server/identity/auth_failure.h"
#include "server/identity/file_watcher.h"
#include "server/identity/identity_observer.h"
#include "server/identity/identity_options.h"
#include "server/identity/json_web_keys.h"
#include "server/identity/json_web_token.h"

namespace eidetic {

// What a caller showed.
struct Credentials {
  std::vector<std::string> authorization;  // values of the header
  std::vector<std::string> api_key;        // values of x-api-key
  std::optional<std::string> common_name;  // of a certificate that was verified
};

class Gate {
 public:
  // INVALID_ARGUMENT naming the flag, the file and the place when a file can not be taken.
  static absl::StatusOr<std::unique_ptr<Gate>> Create(const IdentityOptions& options,
                                                      IdentityObserver* observer);

  // UNAUTHENTICATED, with the remedy.
  absl::StatusOr<Caller> Admit(const grpc::CallbackServerContext& context) const;

  // For Admit and tests.
  Verdict Identify(const Credentials& credentials, absl::Time now) const;
  FileWatcher& watcher() { return watcher_; }

 private:
  Gate(const IdentityOptions& options, IdentityObserver* observer);

  absl::Status TakeFiles();
  absl::Status TakeApiKeys(const std::string& bytes);
  absl::Status TakeTokenKeys(const std::string& bytes);
  void OnFileChanged(const std::string& flag, const absl::Status& status);
  Verdict IdentifyBearer(std::string_view bearer, absl::Time now) const;
  Verdict IdentifyKey(std::string_view key) const;
  Verdict IdentifyCertificate(const Credentials& credentials) const;

  std::shared_ptr<const ApiKeys> api_keys() const {
    absl::MutexLock lock(&mutex_);
    return api_keys_;
  }
  std::shared_ptr<const JsonWebKeys> token_keys() const {
    absl::MutexLock lock(&mutex_);
    return token_keys_;
  }

  const IdentityOptions options_;
  const TokenRules token_rules_;
  IdentityObserver* const observer_;
  mutable absl::Mutex mutex_;
  // Null when there is no such file.
  std::shared_ptr<const ApiKeys> api_keys_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<const JsonWebKeys> token_keys_ ABSL_GUARDED_BY(mutex_);
  FileWatcher watcher_;  // last: its thread uses the rest
};

}  // namespace eidetic

#endif  // EIDETIC_SERVER_IDENTITY_GATE_H_
