// What the metrics are told about callers and the files that tell who they are.
//
// Thread safety: called from any thread. Ownership: none. Preconditions: none.
#ifndef EIDETIC_SERVER_IDENTITY_IDENTITY_OBSERVER_H_
#define EIDETIC_SERVER_IDENTITY_IDENTITY_OBSERVER_H_

#include <string>

namespace eidetic {

class IdentityObserver {
 public:
  virtual ~IdentityObserver() = default;

  // A call was answered UNAUTHENTICATED; `reason` is one of ReasonOf's.
  virtual void OnAuthFailure(const char* reason) = 0;
  // A file changed; `flag` names it, such as "api_keys". Not taken: what it held before stays.
  virtual void OnFileChanged(const std::string& flag, bool taken) = 0;
};

}  // namespace eidetic

#endif  // EIDETIC_SERVER_IDENTITY_IDENTITY_OBSERVER_H_
