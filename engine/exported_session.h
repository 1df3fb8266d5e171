// What of a session goes from one server to another: its settings and its log.
//
// Thread safety: plain value. Ownership: value. Preconditions: none.
#ifndef EIDETIC_ENGINE_EXPORTED_SESSION_H_
#define EIDETIC_ENGINE_EXPORTED_SESSION_H_

#include "memory/span_settings.h"
#include "memory/token_log.h"

namespace eidetic {

struct ExportedSession {
  memory::SpanSettings settings;
  memory::TokenLog log;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_EXPORTED_SESSION_H_
