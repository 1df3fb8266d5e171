// Keys and queries of the demo model on real text, for histories of other models.
//
// What: on random keys no index prunes anything, and figures would mean nothing. So the demo
//   model reads a book, and what its retrieving layer appends and asks is kept. A model with
//   heads of 128 channels gets two of its heads of 64 side by side, every head another part of
//   the book.
// Thread safety: none. Ownership: values. Preconditions: a backend in bf16.
#ifndef EIDETIC_TESTS_BENCH_REAL_KEYS_H_
#define EIDETIC_TESTS_BENCH_REAL_KEYS_H_

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "engine/backend/backend.h"
#include "memory/bf16.h"

namespace eidetic::bench {

struct RealKeys {
  static constexpr int32_t kKvHeads = 2, kQueryHeads = 6, kHeadDim = 64;
  std::vector<memory::Bf16> keys;     // [tokens][kKvHeads][kHeadDim], before RoPE
  std::vector<memory::Bf16> queries;  // [steps][kQueryHeads][kHeadDim], decoded after the text

  int64_t tokens() const { return static_cast<int64_t>(keys.size()) / (kKvHeads * kHeadDim); }
  int64_t steps() const { return static_cast<int64_t>(queries.size()) / (kQueryHeads * kHeadDim); }

  // Row of token `token` for `heads` heads of `head_dim` (64 or 128), each head a fixed number of
  // tokens further on than the one before.
  void KeyRow(int64_t token, int32_t heads, int32_t head_dim, memory::Bf16* row) const;
  // The same of queries of decode step `step`.
  void QueryRow(int64_t step, int32_t heads, int32_t head_dim, memory::Bf16* row) const;
};

// Lets the demo model of `folder` read `tokens` tokens of `text` (repeated when it is shorter)
// with the window alone, then decode `steps` tokens.
RealKeys ReadRealKeys(Backend* backend, const std::filesystem::path& folder,
                      const std::string& text, int64_t tokens, int32_t steps);

}  // namespace eidetic::bench

#endif  // EIDETIC_TESTS_BENCH_REAL_KEYS_H_
