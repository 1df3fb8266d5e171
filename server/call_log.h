// One line of the log for a call that ended.
//
// What: facts about the call and no user's text. A line is "call " and one JSON object.
// Thread safety: thread-safe. Ownership: none. Preconditions: none.
#ifndef EIDETIC_SERVER_CALL_LOG_H_
#define EIDETIC_SERVER_CALL_LOG_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "grpcpp/support/string_ref.h"

namespace eidetic {

// What is empty or 0 is left out.
struct CallFacts {
  std::string method = {};
  absl::StatusCode code = absl::StatusCode::kOk;
  absl::Duration time = absl::ZeroDuration();
  std::string request_id = {};  // the client's; cut when it is long
  std::string trace_id = {};
  std::string tenant = {};
  int64_t prompt_tokens = 0, generated_tokens = 0;
};

// The trace-id of a W3C traceparent header, 32 hexadecimal digits; "" when it is not well formed
// (https://www.w3.org/TR/trace-context/).
std::string TraceId(std::string_view traceparent);
// Of the call's header, if there is one.
std::string TraceIdOf(const std::multimap<grpc::string_ref, grpc::string_ref>& metadata);

std::string CallJson(const CallFacts& call);
// At most 1,000 lines a second; what is left out is told in number.
void LogCall(const CallFacts& call);

}  // namespace eidetic

#endif  // EIDETIC_SERVER_CALL_LOG_H_
