#include "server/sampling_convert.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "server/content_tokens.h"
#include "server/convert.h"
#include "server/field_check.h"

namespace eidetic {
namespace {

constexpr FloatRange kBiasRange = {.low = -100, .high = 100};

// One optional number: its name, whether it is set, its value, its range, where it goes.
struct FloatField {
  const char* name;
  bool set;
  float value;
  FloatRange range;
  float* to;
};

absl::Status TakeFloats(const v1::SamplingParameters& from, const std::string& field,
                        SamplingParams* to) {
  const FloatField fields[] = {
      {"temperature", from.has_temperature(), from.temperature(), {0, 100}, &to->temperature},
      {"top_p", from.has_top_p(), from.top_p(), {0, 1, true}, &to->top_p},
      {"min_p", from.has_min_p(), from.min_p(), {0, 1}, &to->min_p},
      {"repetition_penalty",
       from.has_repetition_penalty(),
       from.repetition_penalty(),
       {0, 100, true},
       &to->repetition_penalty},
      {"presence_penalty",
       from.has_presence_penalty(),
       from.presence_penalty(),
       {-100, 100},
       &to->presence_penalty},
      {"frequency_penalty",
       from.has_frequency_penalty(),
       from.frequency_penalty(),
       {-100, 100},
       &to->frequency_penalty},
  };
  for (const FloatField& f : fields) {
    if (!f.set) continue;
    const absl::Status status = CheckRange(absl::StrCat(field, ".", f.name), f.value, f.range);
    if (!status.ok()) return status;
    *f.to = f.value;
  }
  return absl::OkStatus();
}

absl::Status TakeLogitBias(const v1::SamplingParameters& from, const std::string& field,
                           const Engine& engine, SamplingParams* to) {
  if (from.logit_bias_size() > kMaxLogitBias) {
    return InvalidField(field, absl::StrCat("has ", from.logit_bias_size(), " entries; at most ",
                                            kMaxLogitBias, " are allowed"));
  }
  const int32_t vocabulary = VocabularySize(engine);
  for (const auto& [token, bias] : from.logit_bias()) {
    const std::string entry = absl::StrCat(field, "[", token, "]");
    if (token < 0 || token >= vocabulary) {
      return InvalidField(
          entry, absl::StrCat("is no token of the model; ids go from 0 to ", vocabulary - 1));
    }
    const absl::Status status = CheckRange(entry, bias, kBiasRange);
    if (!status.ok()) return status;
    to->logit_bias.emplace_back(token, bias);
  }
  std::sort(to->logit_bias.begin(), to->logit_bias.end());  // a protobuf map has no order
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SamplingParams> ToSamplingParams(const v1::SamplingParameters& from,
                                                const std::string& field, const Engine& engine) {
  SamplingParams to;
  absl::Status status = TakeFloats(from, field, &to);
  if (!status.ok()) return status;
  if (from.top_k() < 0) {
    return InvalidField(field + ".top_k", "is negative; use 0 to turn it off");
  }
  const int32_t vocabulary = engine.model().description().vocab_size;
  to.top_k = from.top_k() < vocabulary ? from.top_k() : 0;  // all tokens: the same as off
  status = TakeLogitBias(from, field + ".logit_bias", engine, &to);
  if (!status.ok()) return status;
  return to;
}

}  // namespace eidetic
