#include "engine/text/tokenizer_json.h"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/text/quoted.h"

namespace eidetic {
namespace {

using nlohmann::json;

constexpr size_t kMaxBareBytes = 64;  // a number, true, false or null

// The parser buffers a string twice before it hands it over, so overlong ones
// are found beforehand. At worst a token's byte is six characters ("\u0120").
absl::Status CheckScalarLengths(std::string_view text, const TokenizerLimits& limits) {
  const size_t max_string = 6 * static_cast<size_t>(limits.max_token_bytes) + 16;
  bool in_string = false;
  size_t length = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    const bool separator = c == ',' || c == ':' || (c >= 0 && c <= ' ');
    if (c == '"' || (!in_string && separator)) {
      in_string = c == '"' && !in_string;
      length = 0;
      continue;
    }
    if (in_string && c == '\\') ++at;
    if (++length > (in_string ? max_string : kMaxBareBytes)) {
      return absl::InvalidArgumentError(absl::StrCat("tokenizer.json: the ",
                                                     in_string ? "string" : "value",
                                                     " that ends after byte ", at, " is too long"));
    }
  }
  return absl::OkStatus();
}

// Events in, tables out. Every event returns whether to go on.
class Reader {
 public:
  explicit Reader(const TokenizerLimits& limits)
      : limits_(limits), file_{json(), Vocabulary(limits), {}} {}

  absl::StatusOr<TokenizerJson> Finish() {
    if (!status_.ok()) return status_;
    return std::move(file_);
  }

  bool null() { return Scalar(nullptr); }
  bool boolean(bool value) { return Scalar(value); }
  bool number_integer(int64_t value) { return Scalar(value); }
  bool number_float(double value, const std::string&) { return Scalar(value); }
  bool binary(json::binary_t&) { return Fail("binary value"); }

  bool number_unsigned(uint64_t value) {
    if (section_ != Section::kVocab) return Scalar(value);
    if (value > INT32_MAX) return Fail("model.vocab: an id is above 2^31");
    return Take("model.vocab: ", file_.vocabulary.Add(key_, static_cast<int64_t>(value)));
  }

  bool string(std::string& value) {
    if (section_ != Section::kMerges) return Scalar(std::move(value));
    if (depth_ == kPairDepth) {
      if (pair_.size() == 2) return FailMerge("more than two tokens");
      pair_.push_back(std::move(value));
      return true;
    }
    const size_t space = value.find(' ');
    if (space == std::string::npos) return FailMerge("no space between two tokens");
    return AddMerge(std::string_view(value).substr(0, space),
                    std::string_view(value).substr(space + 1));
  }

  bool key(std::string& value) {
    if (depth_ == 1) top_key_ = value;
    if (depth_ <= 2) model_key_ = depth_ == 2 ? value : "";
    key_ = std::move(value);
    return true;
  }

  bool start_object(size_t) {
    if (section_ != Section::kSettings) return Fail("model: an object inside vocab or merges");
    if (!Deeper()) return false;
    if (depth_ == kTableDepth && InModel("vocab")) {
      section_ = Section::kVocab;
      return Place(json::object()) != nullptr;
    }
    return Open(json::object());
  }

  bool start_array(size_t) {
    if (section_ == Section::kVocab) return Fail("model.vocab: an id is an array");
    if (!Deeper()) return false;
    if (section_ == Section::kMerges) {
      return depth_ == kPairDepth || FailMerge("an array inside a pair");
    }
    if (depth_ == kTableDepth && InModel("merges")) {
      // A merge names its tokens, and they are looked up as it is read.
      if (file_.vocabulary.size() == 0) return Fail("model.merges: must come after model.vocab");
      section_ = Section::kMerges;
      return Place(json::array()) != nullptr;
    }
    return Open(json::array());
  }

  bool end_object() { return Close(); }

  bool end_array() {
    if (section_ == Section::kMerges && depth_ == kPairDepth) {
      --depth_;
      if (pair_.size() != 2) return FailMerge("fewer than two tokens");
      const bool ok = AddMerge(pair_[0], pair_[1]);
      pair_.clear();
      return ok;
    }
    return Close();
  }

  bool parse_error(size_t position, const std::string&, const json::exception&) {
    return Fail(absl::StrCat("not JSON at byte ", position, " (truncated?)"));
  }

 private:
  enum class Section { kSettings, kVocab, kMerges };
  // Containers open within model.vocab or model.merges, and within a pair.
  static constexpr int kTableDepth = 3;
  static constexpr int kPairDepth = 4;

  bool Fail(std::string_view why) {
    status_ = absl::InvalidArgumentError(
        absl::StrCat("tokenizer.json: ", absl::string_view(why.data(), why.size())));
    return false;
  }

  bool Take(const char* where, const absl::Status& status) {
    return status.ok() || Fail(absl::StrCat(where, status.message()));
  }

  bool InModel(std::string_view key) const { return top_key_ == "model" && model_key_ == key; }

  bool Deeper() {
    return ++depth_ <= limits_.max_json_depth ||
           Fail(absl::StrCat("nested deeper than ", limits_.max_json_depth));
  }

  bool AddMerge(std::string_view left, std::string_view right) {
    if (file_.merges.size() == kMaxMerges) return FailMerge("too many merges");
    std::string both(left);
    both.append(right);
    const auto left_id = file_.vocabulary.FindSpelling(left);
    const auto right_id = file_.vocabulary.FindSpelling(right);
    const auto result = file_.vocabulary.FindSpelling(both);
    if (!left_id || !right_id || !result) {
      const std::string_view missing = !left_id ? left : !right_id ? right : both;
      return FailMerge(absl::StrCat("token ", Quoted(missing), " is not in model.vocab"));
    }
    file_.merges.push_back({*left_id, *right_id, *result});
    return true;
  }

  bool FailMerge(std::string_view why) {
    return Fail(absl::StrCat("model.merges[", file_.merges.size(),
                             "]: ", absl::string_view(why.data(), why.size())));
  }

  // Puts a settings value where it belongs; the result is nullptr over the limit.
  json* Place(json value) {
    if (++values_ > kMaxSettingsValues) {
      Fail(absl::StrCat("over ", kMaxSettingsValues,
                        " values outside model.vocab and model.merges"));
      return nullptr;
    }
    if (open_.empty()) return &(file_.settings = std::move(value));
    json& parent = *open_.back();
    if (parent.is_object()) return &(parent[key_] = std::move(value));
    parent.push_back(std::move(value));
    return &parent.back();
  }

  bool Scalar(json value) {
    if (section_ == Section::kVocab) {
      return Fail(absl::StrCat("model.vocab: the id of ", Quoted(key_), " is not a whole number"));
    }
    if (section_ == Section::kMerges) return FailMerge("neither a string nor a pair of strings");
    return Place(std::move(value)) != nullptr;
  }

  bool Open(json container) {
    json* placed = Place(std::move(container));
    if (placed != nullptr) open_.push_back(placed);
    return placed != nullptr;
  }

  bool Close() {
    --depth_;
    if (section_ == Section::kSettings) {
      open_.pop_back();
    } else {
      section_ = Section::kSettings;
    }
    return true;
  }

  const TokenizerLimits limits_;
  TokenizerJson file_;
  absl::Status status_;
  Section section_ = Section::kSettings;
  int depth_ = 0;  // containers open, tables and pairs included
  int values_ = 0;
  std::string top_key_, model_key_, key_;  // latest at depth 1, at depth 2, at any
  std::vector<json*> open_;                // the settings containers that are open
  std::vector<std::string> pair_;
};

}  // namespace

absl::StatusOr<TokenizerJson> ParseTokenizerJson(std::string_view text,
                                                 const TokenizerLimits& limits) {
  if (absl::Status status = CheckScalarLengths(text, limits); !status.ok()) return status;
  Reader reader(limits);
  json::sax_parse(text.begin(), text.end(), &reader);
  return reader.Finish();
}

}  // namespace eidetic
