#include "engine/layers/state_layout.h"

namespace eidetic {
namespace {

constexpr size_t kAlignment = 64;

size_t AlignUp(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

size_t ConvFloats(const ModelDescription& description, MixerKind mixer) {
  if (mixer == MixerKind::kMamba2) {
    const Mamba2Description& m = description.mamba2;
    return static_cast<size_t>(m.conv_width - 1) * m.conv_channels();
  }
  const AttentionDescription& a = description.attention;
  if (a.conv_width == 0) return 0;
  return static_cast<size_t>(a.conv_width - 1) * (a.q_heads + 2 * a.kv_heads) * a.head_dim;
}

size_t SsmNumbers(const ModelDescription& description, MixerKind mixer) {
  if (mixer != MixerKind::kMamba2) return 0;
  const Mamba2Description& m = description.mamba2;
  return static_cast<size_t>(m.heads) * m.head_dim * m.d_state;
}

}  // namespace

StateLayout::StateLayout(const ModelDescription& description, size_t ssm_element_bytes) {
  size_t offset = 0;
  for (const LayerDescription& layer : description.layers) {
    conv_.push_back(offset);
    offset = AlignUp(offset + sizeof(float) * ConvFloats(description, layer.mixer));
    ssm_.push_back(offset);
    offset = AlignUp(offset + ssm_element_bytes * SsmNumbers(description, layer.mixer));
  }
  hidden_ = offset;
  slot_bytes_ = AlignUp(offset + sizeof(float) * description.d_model);
}

}  // namespace eidetic
