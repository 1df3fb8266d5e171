#include "server/json_log.h"

#include <glog/logging.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "absl/time/clock.h"

namespace eidetic {
namespace {

using Json = nlohmann::ordered_json;

// Sets "event" and "fields" of `line`, if the message is a word and a JSON object.
bool TakeEvent(std::string_view message, Json* line) {
  const size_t space = message.find(' ');
  if (space == std::string_view::npos || message.substr(space + 1, 1) != "{") return false;
  Json fields = Json::parse(message.substr(space + 1), nullptr, /*allow_exceptions=*/false);
  if (!fields.is_object()) return false;
  (*line)["event"] = message.substr(0, space);
  (*line)["fields"] = std::move(fields);
  return true;
}

class JsonSink final : public google::LogSink {
 public:
  void send(google::LogSeverity severity, const char*, const char* file, int line,
            const google::LogMessageTime&, const char* message, size_t size) override {
    const std::string text =
        LogJson(absl::Now(), google::GetLogSeverityName(severity), file, line, {message, size}) +
        "\n";
    std::fwrite(text.data(), 1, text.size(), stderr);
  }
};

}  // namespace

void LogAsJson() {
  static auto* const sink = new JsonSink;
  google::AddLogSink(sink);
  FLAGS_logtostderr = false;
  FLAGS_stderrthreshold = google::GLOG_FATAL;
  for (int severity = google::GLOG_INFO; severity <= google::GLOG_FATAL; ++severity) {
    google::SetLogDestination(severity, "");  // no files
  }
}

std::string LogJson(absl::Time time, std::string_view severity, std::string_view file, int line,
                    std::string_view message) {
  Json object = {
      {"time", absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", time, absl::UTCTimeZone())},
      {"severity", severity},
      {"file", file},
      {"line", line},
  };
  if (!TakeEvent(message, &object)) object["message"] = message;
  return object.dump(-1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace);
}

}  // namespace eidetic
