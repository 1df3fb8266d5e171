// Reads the fields of a config.json, each with its range.
//
// Thread safety: none. Ownership: none; the JSON tree and the status outlive
//   the reader. Preconditions: none; the tree is hostile input.
//
// The first error goes to the status that all readers of a tree share, and
// every getter returns something within its range even then: so a family reads
// all its fields in a row and looks at the status once.
#ifndef EIDETIC_ENGINE_MODEL_CONFIG_READER_H_
#define EIDETIC_ENGINE_MODEL_CONFIG_READER_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace eidetic {

class ConfigReader {
 public:
  // `object` may be null: then every field is absent. `file` is named in errors.
  ConfigReader(const nlohmann::json* object, absl::Status* status, std::string file = "config.json")
      : object_(object), status_(status), file_(std::move(file)) {}

  // An integer in [low, high]. Null counts as absent.
  int32_t Int(std::string_view key, int32_t low, int32_t high);
  int32_t IntOr(std::string_view key, int32_t low, int32_t high, int32_t fallback);
  // A finite number in [low, high].
  double NumberOr(std::string_view key, double low, double high, double fallback);
  bool BoolOr(std::string_view key, bool fallback);
  std::string StringOr(std::string_view key, std::string_view fallback);
  // Integers in [low, high], none twice, at most `max_count`; one bare integer
  // is a list of one; absent is empty.
  std::vector<int32_t> Ints(std::string_view key, int32_t low, int32_t high, int32_t max_count);
  // [first, second] of non-negative numbers, first <= second; second may be
  // {"__float__": "Infinity"}, as transformers writes it.
  std::pair<float, float> IntervalOr(std::string_view key, std::pair<float, float> fallback);
  // The object under `key`, or a reader of nothing.
  ConfigReader Object(std::string_view key);
  bool Has(std::string_view key) const { return Find(key) != nullptr; }

  // True if `key` holds the string `text`; never an error.
  bool IsString(std::string_view key, std::string_view text) const;

  // Unless `ok`, the error "<key>: <reason>".
  void Require(bool ok, std::string_view key, std::string_view reason);

 private:
  const nlohmann::json* Find(std::string_view key) const;
  int32_t ToInt(const nlohmann::json& value, std::string_view key, int32_t low, int32_t high);

  const nlohmann::json* object_;
  absl::Status* status_;
  std::string file_;
  std::string prefix_;  // "rope_parameters."
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_MODEL_CONFIG_READER_H_
