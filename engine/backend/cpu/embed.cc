#include "engine/backend/cpu/embed.h"

#include "engine/backend/cpu/packed_matrix.h"
#include "engine/backend/cpu/row_items.h"

namespace eidetic::cpu {

void Embed(const EmbedParams& params, ThreadPool* pool) {
  const auto& table = static_cast<const PackedMatrix&>(*params.table);
  const int64_t dim = table.cols();
  ForEachRow(static_cast<int64_t>(params.ids.size()), dim, pool, [&](int64_t row) {
    float* out = static_cast<float*>(params.out) + row * dim;
    table.UnpackRow(params.ids[row], out);
    for (int64_t i = 0; i < dim; ++i) out[i] *= params.multiplier;
  });
}

}  // namespace eidetic::cpu
