// Retrieval by double loop: what ChooseSpan must agree with, for tests alone.
//
// Thread safety: pure functions. Ownership: borrows everything.
// Preconditions: those of ChooseSpan.
#ifndef EIDETIC_MEMORY_SPAN_RETRIEVAL_ORACLE_H_
#define EIDETIC_MEMORY_SPAN_RETRIEVAL_ORACLE_H_

#include <vector>

#include "memory/span_retrieval.h"

namespace eidetic::memory {

// Exact relevance of block first + i at [i]; the same bits as ChooseSpan's on a
// CPU with FMA. NaN counts as -inf.
std::vector<float> OracleScores(const PageLayout& layout, const SpanQuery& query);

// Upper bound of block first + i at [i], from the tiles; NaN counts as +inf.
std::vector<float> OracleBounds(const PageLayout& layout, const SpanQuery& query);

// The exact rule's choice, ascending, by a full sort of `scores`, [last - first].
std::vector<BlockIndex> OracleChoice(const SpanQuery& query, const std::vector<float>& scores);

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_SPAN_RETRIEVAL_ORACLE_H_
