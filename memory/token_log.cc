#include "memory/token_log.h"

#include <glog/logging.h>

#include <algorithm>

namespace eidetic::memory {

void TokenLog::Append(std::span<const TokenId> tokens) {
  if (tokens.empty()) return;
  runs_.push_back({size(), TokenKind::kAppended});
  tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
}

void TokenLog::AppendGenerated(TokenId token) {
  if (runs_.empty() || runs_.back().kind != TokenKind::kGenerated) {
    runs_.push_back({size(), TokenKind::kGenerated});
  }
  tokens_.push_back(token);
}

std::span<const TokenId> TokenLog::Slice(Position begin, Position end) const {
  CHECK(0 <= begin && begin <= end && end <= size()) << "[" << begin << ", " << end << ")";
  return tokens().subspan(begin, end - begin);
}

size_t TokenLog::RunAt(Position position) const {
  CHECK(0 <= position && position < size()) << "position " << position;
  auto after = std::upper_bound(runs_.begin(), runs_.end(), position,
                                [](Position p, const Run& run) { return p < run.begin; });
  return after - runs_.begin() - 1;
}

TokenKind TokenLog::KindAt(Position position) const { return runs_[RunAt(position)].kind; }

Chunk TokenLog::ChunkAt(Position position, int32_t query_chunk_tokens) const {
  CHECK_GT(query_chunk_tokens, 0);
  if (position == size()) return {.begin = position, .end = position};
  const size_t run = RunAt(position);
  if (runs_[run].kind == TokenKind::kGenerated) {
    return {.begin = position, .end = position + 1, .kind = TokenKind::kGenerated};
  }
  CHECK(position == runs_[run].begin || position % query_chunk_tokens == 0)
      << "no chunk begins at " << position;
  const Position run_end = run + 1 < runs_.size() ? runs_[run + 1].begin : size();
  const Position border = (position / query_chunk_tokens + 1) * query_chunk_tokens;
  return {.begin = position, .end = std::min(run_end, border), .kind = TokenKind::kAppended};
}

}  // namespace eidetic::memory
