// The model behind the services, as its requests name it.
//
// Thread safety: immutable. Ownership: borrows the engine, which outlives it.
// Preconditions: `engine` is set.
#ifndef EIDETIC_SERVER_SERVED_MODEL_H_
#define EIDETIC_SERVER_SERVED_MODEL_H_

#include <string>

#include "engine/engine.h"

namespace eidetic {

struct ServedModel {
  Engine* engine = nullptr;
  std::string name;     // models/{model}
  std::string backend;  // Backend::name()
};

}  // namespace eidetic

#endif  // EIDETIC_SERVER_SERVED_MODEL_H_
