// Cuts rows into items of work for a thread pool.
//
// Thread safety: one call at a time per pool. Ownership: none.
// Preconditions: rows >= 0, row_cost >= 1.
#ifndef EIDETIC_ENGINE_BACKEND_CPU_ROW_ITEMS_H_
#define EIDETIC_ENGINE_BACKEND_CPU_ROW_ITEMS_H_

#include <algorithm>
#include <cstdint>

#include "engine/backend/cpu/thread_pool.h"

namespace eidetic::cpu {

// An item below this cost (elements touched, about) is not worth handing over.
inline constexpr int64_t kItemCost = 8192;

// Calls fn(row) for every row in [0, rows), rows of one item in order.
template <class Fn>
void ForEachRow(int64_t rows, int64_t row_cost, ThreadPool* pool, Fn fn) {
  const int64_t item_rows = std::max<int64_t>(1, kItemCost / row_cost);
  pool->ParallelFor((rows + item_rows - 1) / item_rows, [&](int64_t item, int) {
    const int64_t end = std::min(rows, (item + 1) * item_rows);
    for (int64_t row = item * item_rows; row < end; ++row) fn(row);
  });
}

}  // namespace eidetic::cpu

#endif  // EIDETIC_ENGINE_BACKEND_CPU_ROW_ITEMS_H_
