#include "engine/model/families.h"

#include "absl/strings/str_cat.h"

namespace eidetic {

std::vector<LayerDescription> DescribeLayers(ConfigReader& config, std::string_view count_key,
                                             std::string_view attention_key,
                                             const ModelLimits& limits) {
  constexpr std::string_view kRetrieving = "eidetic_retrieving_layers";
  const int32_t count = config.Int(count_key, 1, limits.max_layers);
  std::vector<LayerDescription> layers(count);
  const bool all_retrieve = !config.Has(kRetrieving);
  for (const int32_t i : config.Ints(attention_key, 0, count - 1, count)) {
    layers[i] = {.mixer = MixerKind::kAttention, .retrieves = all_retrieve};
  }
  for (const int32_t i : config.Ints(kRetrieving, 0, count - 1, count)) {
    config.Require(layers[i].mixer == MixerKind::kAttention, kRetrieving,
                   absl::StrCat("layer ", i, " is not one of ", std::string(attention_key)));
    layers[i].retrieves = true;
  }
  return layers;
}

}  // namespace eidetic
