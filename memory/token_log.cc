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
  const Position run_end = RunEnd(position);
  const Position border = (position / query_chunk_tokens + 1) * query_chunk_tokens;
  return {.begin = position, .end = std::min(run_end, border), .kind = TokenKind::kAppended};
}

Position TokenLog::ChunkBegin(Position position, int32_t query_chunk_tokens) const {
  if (position == size()) return position;
  const Run& run = runs_[RunAt(position)];
  if (run.kind == TokenKind::kGenerated) return position;
  return std::max(run.begin, position / query_chunk_tokens * query_chunk_tokens);
}

Position TokenLog::RunEnd(Position position) const {
  const size_t next = RunAt(position) + 1;
  return next < runs_.size() ? runs_[next].begin : size();
}

TokenLog TokenLog::Prefix(Position end) const {
  const std::span<const TokenId> kept = Slice(0, end);
  TokenLog prefix;
  prefix.tokens_.assign(kept.begin(), kept.end());
  for (const Run& run : runs_) {
    if (run.begin < end) prefix.runs_.push_back(run);
  }
  return prefix;
}

Position TokenLog::CommonPrefix(const TokenLog& other) const {
  const auto differs =
      std::mismatch(tokens_.begin(), tokens_.end(), other.tokens_.begin(), other.tokens_.end());
  auto common = static_cast<Position>(differs.first - tokens_.begin());
  for (size_t i = 0; i < std::max(runs_.size(), other.runs_.size()); ++i) {
    const bool both = i < runs_.size() && i < other.runs_.size();
    if (both && runs_[i].begin == other.runs_[i].begin && runs_[i].kind == other.runs_[i].kind) {
      continue;
    }
    if (i < runs_.size()) common = std::min(common, runs_[i].begin);
    if (i < other.runs_.size()) common = std::min(common, other.runs_[i].begin);
    break;
  }
  return common;
}

}  // namespace eidetic::memory
