// The log as JSON: one object a line, on standard error.
//
// What: {"time", "severity", "file", "line", "message"}. A message that is a word and a JSON object
//   ("audit {...}", "call {...}") becomes "event" and "fields" instead of "message".
// Thread safety: thread-safe. Ownership: none. Preconditions: glog is initialised.
#ifndef EIDETIC_SERVER_JSON_LOG_H_
#define EIDETIC_SERVER_JSON_LOG_H_

#include <string>
#include <string_view>

#include "absl/time/time.h"

namespace eidetic {

// From now on all of glog's lines are written so; the end of a process that fails a check also
// comes as text.
void LogAsJson();

// One line without its end, for tests.
std::string LogJson(absl::Time time, std::string_view severity, std::string_view file, int line,
                    std::string_view message);

}  // namespace eidetic

#endif  // EIDETIC_SERVER_JSON_LOG_H_
