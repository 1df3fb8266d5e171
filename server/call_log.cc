#include "server/call_log.h"

#include <glog/logging.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"

namespace eidetic {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxRequestIdBytes = 128;

bool IsLowerHex(std::string_view text) {
  return text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

bool IsZero(std::string_view text) { return text.find_first_not_of('0') == std::string_view::npos; }

// Whoever calls a thousand times a second must not fill the disk.
class LineBudget {
 public:
  static constexpr int kLinesPerSecond = 1000;

  // Whether one more line may be written; *left_out: how many were not, since the last that was.
  bool Take(absl::Time now, int64_t* left_out) {
    absl::MutexLock lock(&mutex_);
    if (now - second_ >= absl::Seconds(1)) {
      second_ = now;
      lines_ = 0;
    }
    if (lines_ >= kLinesPerSecond) {
      ++left_out_;
      return false;
    }
    ++lines_;
    *left_out = std::exchange(left_out_, 0);
    return true;
  }

 private:
  absl::Mutex mutex_;
  absl::Time second_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  int lines_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t left_out_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace

std::string TraceId(std::string_view traceparent) {
  // version "-" trace-id "-" parent-id "-" flags; a later version may go on behind another "-".
  constexpr size_t kTrace = 3, kParent = 36, kFlags = 53, kSize = 55;
  if (traceparent.size() < kSize) return "";
  const std::string_view version = traceparent.substr(0, 2);
  const std::string_view trace = traceparent.substr(kTrace, 32);
  const std::string_view parent = traceparent.substr(kParent, 16);
  const bool separated =
      traceparent[2] == '-' && traceparent[kParent - 1] == '-' && traceparent[kFlags - 1] == '-' &&
      (traceparent.size() == kSize || (version != "00" && traceparent[kSize] == '-'));
  const bool hex = IsLowerHex(version) && IsLowerHex(trace) && IsLowerHex(parent) &&
                   IsLowerHex(traceparent.substr(kFlags, 2));
  const bool valid = separated && hex && version != "ff" && !IsZero(trace) && !IsZero(parent);
  return valid ? std::string(trace) : "";
}

std::string TraceIdOf(const std::multimap<grpc::string_ref, grpc::string_ref>& metadata) {
  const auto header = metadata.find("traceparent");
  if (header == metadata.end()) return "";
  return TraceId({header->second.data(), header->second.size()});
}

std::string CallJson(const CallFacts& call) {
  Json line = {{"method", call.method},
               {"code", std::string(absl::StatusCodeToString(call.code))},
               {"seconds", absl::ToDoubleSeconds(call.time)}};
  const auto add = [&line](const char* name, const std::string& value) {
    if (!value.empty()) line[name] = value;
  };
  add("request_id", call.request_id.substr(0, kMaxRequestIdBytes));
  add("trace_id", call.trace_id);
  add("tenant", call.tenant);
  if (call.prompt_tokens > 0) line["prompt_tokens"] = call.prompt_tokens;
  if (call.generated_tokens > 0) line["generated_tokens"] = call.generated_tokens;
  return line.dump(-1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace);
}

void LogCall(const CallFacts& call) {
  static auto* const budget = new LineBudget;  // of the process' one log
  int64_t left_out = 0;
  if (!budget->Take(absl::Now(), &left_out)) return;
  if (left_out > 0) LOG(WARNING) << left_out << " calls are not in the log: too many a second";
  LOG(INFO) << "call " << CallJson(call);
}

}  // namespace eidetic
