// What of a session goes from one server to another: its settings and its log.
//
// Thread safety: plain value. Ownership: value. Preconditions: none.
#ifndef EIDETIC_ENGINE_EXPORTED_SESSION_H_
#define EIDETIC_ENGINE_EXPORTED_SESSION_H_

#include "engine/session_name.h"
#include "memory/settings_history.h"
#include "memory/token_log.h"

namespace eidetic {

struct ExportedSession {
  memory::SettingsHistory settings;
  memory::TokenLog log;
  AdapterBinding adapter = {};
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_EXPORTED_SESSION_H_
