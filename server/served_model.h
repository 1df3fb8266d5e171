// The model behind the services, as its requests name it.
//
// Thread safety: immutable. Ownership: borrows engine and gate, which outlive it.
// Preconditions: `engine` is set.
#ifndef EIDETIC_SERVER_SERVED_MODEL_H_
#define EIDETIC_SERVER_SERVED_MODEL_H_

#include <string>

#include "engine/engine.h"

namespace eidetic {

class Gate;

struct ServedModel {
  Engine* engine = nullptr;
  std::string name;            // models/{model}
  std::string backend;         // Backend::name()
  const Gate* gate = nullptr;  // before the services; the server sets it
};

}  // namespace eidetic

#endif  // EIDETIC_SERVER_SERVED_MODEL_H_
