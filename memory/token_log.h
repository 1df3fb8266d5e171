// Every token of a session, with what fixes how it is computed.
//
// What: tokens, their kind, and the borders of appends. The query chunks follow
//   from the log alone, never from the scheduler.
// Thread safety: none; the engine's thread owns it. Ownership: owns its tokens.
// Preconditions: CHECKed.
// Worked example, C = 4: Append(6 tokens), Append(3), Generated(1), Generated(1)
//   has the chunks [0,4) [4,6) [6,8) [8,9) [9,10) [10,11).
#ifndef EIDETIC_MEMORY_TOKEN_LOG_H_
#define EIDETIC_MEMORY_TOKEN_LOG_H_

#include <span>
#include <vector>

#include "memory/ids.h"

namespace eidetic::memory {

enum class TokenKind : uint8_t { kAppended, kGenerated };

// A query chunk [begin, end): the tokens that share one choice of span.
struct Chunk {
  Position begin = 0;
  Position end = 0;
  TokenKind kind = TokenKind::kAppended;
  bool empty() const { return begin == end; }
};

class TokenLog {
 public:
  void Append(std::span<const TokenId> tokens);  // one append: its borders cut chunks
  void AppendGenerated(TokenId token);

  Position size() const { return static_cast<Position>(tokens_.size()); }
  std::span<const TokenId> tokens() const { return tokens_; }
  std::span<const TokenId> Slice(Position begin, Position end) const;
  TokenKind KindAt(Position position) const;
  // The chunk that begins at `position`; empty at the end of the log.
  // Precondition: `position` is a chunk's begin or size().
  Chunk ChunkAt(Position position, int32_t query_chunk_tokens) const;
  // Where the chunk that holds `position` begins; size() at the end of the log.
  Position ChunkBegin(Position position, int32_t query_chunk_tokens) const;

  // Its first `end` tokens. An append that is cut there keeps its beginning.
  TokenLog Prefix(Position end) const;
  // How many tokens both begin with, of the same kinds and in the same appends.
  Position CommonPrefix(const TokenLog& other) const;
  // Where the append, or the generated tokens, that hold `position` end.
  Position RunEnd(Position position) const;

 private:
  // A run of tokens of one kind; an append is a run of its own, consecutive
  // generated tokens share one.
  struct Run {
    Position begin;
    TokenKind kind;
  };
  size_t RunAt(Position position) const;

  std::vector<TokenId> tokens_;
  std::vector<Run> runs_;
};

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_TOKEN_LOG_H_
