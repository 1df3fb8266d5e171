// Flow: the output is cut into row blocks x panel groups, one item of work each,
// ordered so that threads that follow each other share a row block in cache. An
// item goes through its rows in tiles; a tile holds its accumulators in
// registers while it streams the panels, once, in ascending k.
#include "engine/backend/cpu/mat_mul.h"

#include <algorithm>

#include "engine/backend/cpu/packed_matrix.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/backend/cpu/mat_mul.cc"
#include "hwy/foreach_target.h"
// Must come after foreach_target.h.
#include "engine/backend/cpu/tile_kernel-inl.h"

HWY_BEFORE_NAMESPACE();
namespace eidetic::cpu::HWY_NAMESPACE {

// Tiles that one item goes through: its panel stays in L1 for all of them.
inline constexpr int kTilesPerItem = 8;

// Panels whose chains run side by side, so that few rows still hide the latency
// of a multiply-add (4 cycles, 2 a cycle: 8 chains; a row of a panel has 2).
constexpr int PanelsAtOnce(int tile_rows) { return tile_rows == 1 ? 4 : tile_rows <= 3 ? 2 : 1; }

struct Rows {
  const float* x;  // [count, depth]
  float* out;      // [count, columns]
  int64_t columns;
};

// out[c] = multiplier * (acc + bias[c]) (+ out[c]) for up to kLanes columns from `column`.
HWY_INLINE void Finish(const MatMulParams& params, FloatVector acc, float* out, int64_t column,
                       int64_t columns) {
  const int64_t count = columns - column;
  if (count <= 0) return;
  if (params.bias != nullptr) acc = hn::Add(acc, LoadUpTo(params.bias + column, count));
  acc = hn::Mul(acc, hn::Set(kFloat, params.multiplier));
  if (params.accumulate) acc = hn::Add(LoadUpTo(out + column, count), acc);
  StoreUpTo(acc, out + column, count);
}

HWY_INLINE Bf16Weights PanelWeights(const PackedMatrix& w, int64_t panel, int64_t offset,
                                    Bf16Weights) {
  return {w.Bf16Panel(panel) + offset};
}
HWY_INLINE F32Weights PanelWeights(const PackedMatrix& w, int64_t panel, int64_t offset,
                                   F32Weights) {
  return {w.F32Panel(panel) + offset, kPanelRows, kPanelRows / 2};
}

// R rows times panels [panel, panel + P). Not inlined: each shape gets its own
// register allocation.
template <class Weights, int R, int P>
HWY_NOINLINE void TileTimesPanels(const MatMulParams& params, const PackedMatrix& w, Rows rows,
                                  int64_t panel) {
  for (int64_t offset = 0; offset < kPanelRows / 2; offset += kLanes) {
    Weights weights[P];
    Accumulators<R, P> acc;
    for (int p = 0; p < P; ++p) {
      weights[p] = PanelWeights(w, panel + p, offset, Weights());
      for (int r = 0; r < R; ++r) acc.lo[p][r] = acc.hi[p][r] = hn::Zero(kFloat);
    }
    MultiplyTile(rows.x, w.cols(), w.cols(), weights, acc);
    for (int p = 0; p < P; ++p) {
      const int64_t column = (panel + p) * kPanelRows + offset;
      for (int r = 0; r < R; ++r) {
        float* out = rows.out + r * rows.columns;
        Finish(params, acc.lo[p][r], out, column, rows.columns);
        Finish(params, acc.hi[p][r], out, column + kPanelRows / 2, rows.columns);
      }
    }
  }
}

template <class Weights>
void TileTimesPanelRange(const MatMulParams& params, const PackedMatrix& w, Rows rows,
                         int tile_rows, int64_t begin, int64_t end) {
  WithTileRows(tile_rows, [&](auto rows_constant) {
    constexpr int R = rows_constant;
    constexpr int P = PanelsAtOnce(R);
    int64_t panel = begin;
    for (; panel + P <= end; panel += P) TileTimesPanels<Weights, R, P>(params, w, rows, panel);
    for (; panel < end; ++panel) TileTimesPanels<Weights, R, 1>(params, w, rows, panel);
  });
}

// Rows [begin, end) times panels [first, last), in tiles of nearly equal height.
void MultiplyItem(const MatMulParams& params, const PackedMatrix& w, int64_t begin, int64_t end,
                  int64_t first, int64_t last) {
  int64_t tiles = (end - begin + kMaxTileRows - 1) / kMaxTileRows;
  while (begin < end) {
    const int64_t tile_rows = (end - begin + tiles - 1) / tiles;
    const Rows rows{static_cast<const float*>(params.x) + begin * w.cols(),
                    static_cast<float*>(params.out) + begin * w.rows(), w.rows()};
    const int count = static_cast<int>(tile_rows);
    if (w.dtype() == DType::kBF16) {
      TileTimesPanelRange<Bf16Weights>(params, w, rows, count, first, last);
    } else {
      TileTimesPanelRange<F32Weights>(params, w, rows, count, first, last);
    }
    begin += tile_rows;
    --tiles;
  }
}

void MatMulOnTarget(const MatMulParams& params, ThreadPool* pool) {
  const auto& w = static_cast<const PackedMatrix&>(*params.w);
  const int64_t block_rows = kTilesPerItem * kMaxTileRows;
  const int64_t row_blocks = (params.rows + block_rows - 1) / block_rows;
  const int64_t group =
      PanelsAtOnce(static_cast<int>(std::min<int64_t>(params.rows, kMaxTileRows)));
  const int64_t groups = (w.panels() + group - 1) / group;
  pool->ParallelFor(row_blocks * groups, [&](int64_t item, int) {
    const int64_t begin = item / groups * block_rows;
    const int64_t first = item % groups * group;
    MultiplyItem(params, w, begin, std::min(begin + block_rows, params.rows), first,
                 std::min(first + group, w.panels()));
  });
}

}  // namespace eidetic::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace eidetic::cpu {
HWY_EXPORT(MatMulOnTarget);

void MatMul(const MatMulParams& params, ThreadPool* pool) {
  HWY_DYNAMIC_DISPATCH(MatMulOnTarget)(params, pool);
}

}  // namespace eidetic::cpu
#endif  // HWY_ONCE
