// Reads hostile JSON as a stream of events, so that nothing of it is kept
// that the reader did not ask for.
//
// Thread safety: none; one reader per text. Ownership: values. Preconditions:
//   Read is called once.
#ifndef EIDETIC_ENGINE_MODEL_JSON_EVENTS_H_
#define EIDETIC_ENGINE_MODEL_JSON_EVENTS_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace eidetic {

// Derived classes override key, string, number_unsigned, start_* and end_*.
// A handler that returns Fail(...) stops the parser at once.
class JsonEvents : public nlohmann::json_sax<nlohmann::json> {
 public:
  // INVALID_ARGUMENT with the handler's reason or the position of the first
  // byte that is not JSON.
  absl::Status Read(std::string_view text);

  bool null() final { return OnOther(); }
  bool boolean(bool) final { return OnOther(); }
  bool number_integer(int64_t) final { return OnOther(); }
  bool number_float(double, const std::string&) final { return OnOther(); }
  bool binary(binary_t&) final { return OnOther(); }
  bool parse_error(size_t position, const std::string&, const nlohmann::json::exception&) final;

 protected:
  // A value of a kind that has no hook of its own: null, boolean, negative or
  // fractional number.
  virtual bool OnOther() = 0;
  // Records the first reason; returns false.
  bool Fail(std::string reason);

 private:
  absl::Status status_;
};

// True if brackets nest deeper than `max_depth`, strings left out. For texts
// that are to become a tree.
bool NestsDeeperThan(std::string_view json, int max_depth);

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_MODEL_JSON_EVENTS_H_
