// What checkpoints and servers must have in common.
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "memory/durable/checkpoint_record.h"

namespace eidetic::memory {
namespace {

absl::Status Differs(std::string_view field, const std::string& theirs, const std::string& ours) {
  return absl::FailedPreconditionError(absl::StrCat(
      "the checkpoint was made with ", std::string(field), " '", theirs, "', this server has '",
      ours, "'; restore it where they are the same, or replay the session's tokens"));
}

}  // namespace

absl::StatusOr<BindingMatch> CompareBindings(const CheckpointBinding& theirs,
                                             const CheckpointBinding& ours) {
  struct Field {
    std::string_view name;
    std::string theirs, ours;
  };
  const auto number = [](std::string_view name, int64_t a, int64_t b) {
    return Field{name, absl::StrCat(a), absl::StrCat(b)};
  };
  for (const Field& field :
       {Field{"model_hash", theirs.model_hash, ours.model_hash},
        Field{"adapter", theirs.adapter, ours.adapter},
        number("block_tokens", theirs.block_tokens, ours.block_tokens),
        number("head_dim", theirs.head_dim, ours.head_dim),
        number("kv_heads", theirs.kv_heads, ours.kv_heads),
        number("attention_layers", theirs.attention_layers, ours.attention_layers),
        number("kv_element_bytes", theirs.kv_element_bytes, ours.kv_element_bytes),
        number("state_bytes", theirs.state_bytes, ours.state_bytes),
        number("summary_kind", theirs.summary_kind, ours.summary_kind),
        Field{"page_form", theirs.page_form, ours.page_form}}) {
    if (field.theirs != field.ours) return Differs(field.name, field.theirs, field.ours);
  }
  return theirs == ours ? BindingMatch::kEqual : BindingMatch::kUsable;
}

}  // namespace eidetic::memory
