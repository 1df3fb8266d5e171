// Where each layer's recurrent state lies within a state slot.
//
// Thread safety: immutable value. Ownership: none. Preconditions: a validated description.
//
// A slot holds, in layer order, each layer's convolution state and then its SSM state
// (attention layers with a convolution have one too), and last the hidden state of the
// session's newest token: from it the next token can be drawn without computing anything
// anew. All is float32, but an SSM state's numbers take what the backend says. Every part begins at
// a multiple of 64 bytes.
#ifndef EIDETIC_ENGINE_LAYERS_STATE_LAYOUT_H_
#define EIDETIC_ENGINE_LAYERS_STATE_LAYOUT_H_

#include <cstddef>
#include <vector>

#include "engine/model/model_description.h"

namespace eidetic {

class StateLayout {
 public:
  StateLayout(const ModelDescription& description, size_t ssm_element_bytes);

  // Byte offsets. A layer without the part has an offset that nobody reads.
  size_t conv(int32_t layer) const { return conv_[layer]; }
  size_t ssm(int32_t layer) const { return ssm_[layer]; }
  size_t hidden() const { return hidden_; }
  size_t slot_bytes() const { return slot_bytes_; }

 private:
  std::vector<size_t> conv_, ssm_;
  size_t hidden_ = 0;
  size_t slot_bytes_ = 0;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_LAYERS_STATE_LAYOUT_H_
