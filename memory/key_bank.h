// Blocks of keys in host pages, with their index: what retrieval tests ask.
//
// Thread safety: none. Ownership: owns pages and tiles. Preconditions: trusted.
#ifndef EIDETIC_MEMORY_KEY_BANK_H_
#define EIDETIC_MEMORY_KEY_BANK_H_

#include <cmath>
#include <random>
#include <vector>

#include "memory/span_retrieval.h"

namespace eidetic::memory {

// Families of keys and queries, from harmless to hostile.
enum class Family {
  kGaussian,
  kZero,
  kTies,       // -1, 0 or 1: many equal scores
  kHuge,       // up to 3e38: sums overflow
  kDenormal,   // around 1e-40
  kOneHot,     // one channel alone
  kMixedNorm,  // norms from 1e-6 to 1e6
  kBroken,     // gaussian with NaN and infinities strewn in
};
inline constexpr int kFamilies = 8;

class KeyBank {
 public:
  using Random = std::mt19937_64;

  KeyBank(const PageLayout& layout, int32_t blocks)
      : layout_(layout),
        pages_(blocks, std::vector<float>(layout.page_bytes() / sizeof(float))),
        tiles_((blocks + kTileBlocks - 1) / kTileBlocks,
               std::vector<Bf16>(layout.tile_bytes(SummaryKind::kBounds) / sizeof(Bf16))) {}

  static void Fill(Family family, Random& random, float* values, int32_t count) {
    std::normal_distribution<float> gauss;
    const int64_t hot = std::uniform_int_distribution<int64_t>(0, count - 1)(random);
    const float norm = std::pow(10.0f, std::uniform_real_distribution<float>(-6, 6)(random));
    for (int64_t i = 0; i < count; ++i) {
      const float g = gauss(random);
      switch (family) {
        case Family::kGaussian:
          values[i] = g;
          break;
        case Family::kZero:
          values[i] = g < 0 ? -0.0f : 0.0f;
          break;
        case Family::kTies:
          values[i] = std::trunc(g);
          break;
        case Family::kHuge:
          values[i] = std::copysign(std::pow(10.0f, 18 + 20 * std::tanh(std::fabs(g))), g);
          break;
        case Family::kDenormal:
          values[i] = g * 1e-40f;
          break;
        case Family::kOneHot:
          values[i] = i == hot ? g : 0.0f;
          break;
        case Family::kMixedNorm:
          values[i] = g * norm;
          break;
        case Family::kBroken:
          values[i] = g > 2.2f ? NAN : std::fabs(g) > 1.9f ? g * INFINITY : g;
          break;
      }
    }
  }

  // Every token of every block anew; with `clustered`, tokens of one block lie
  // close together, so that bounds are tight and proofs come early.
  void FillKeys(Family family, bool clustered, Random& random) {
    std::vector<float> centre(layout_.head_dim), token(layout_.head_dim);
    for (size_t block = 0; block < pages_.size(); ++block) {
      for (int32_t g = 0; g < layout_.kv_heads; ++g) {
        Fill(family, random, centre.data(), layout_.head_dim);
        for (int32_t t = 0; t < layout_.block_size; ++t) {
          Fill(family, random, token.data(), layout_.head_dim);
          for (int32_t d = 0; d < layout_.head_dim; ++d) {
            *Key(block, g, d, t) = clustered ? centre[d] + 0.05f * token[d] : token[d];
          }
        }
      }
    }
  }

  void CopyBlock(BlockIndex from, BlockIndex to) { pages_[to] = pages_[from]; }

  void Summarize(SummaryKind kind) {
    summary_ = kind;
    for (size_t b = 0; b < pages_.size(); ++b) {
      SummarizeBlock(layout_, kind, pages_[b].data(), b, tiles_[b / kTileBlocks].data());
    }
  }

  float* Key(BlockIndex block, int32_t kv_head, int32_t channel, int32_t token) {
    return layout_.Keys(static_cast<void*>(pages_[block].data()), kv_head) +
           int64_t{channel} * layout_.block_size + token;
  }

  const PageLayout& layout() const { return layout_; }
  int32_t blocks() const { return static_cast<int32_t>(pages_.size()); }

  // Asks about [first, last); what lies outside is not there to be read.
  SpanQuery Ask(const std::vector<float>& queries, BlockIndex first, BlockIndex last) {
    page_table_.assign(pages_.size(), nullptr);
    tile_table_.assign(tiles_.size(), nullptr);
    for (BlockIndex b = first; b < last; ++b) {
      page_table_[b] = pages_[b].data();
      tile_table_[b / kTileBlocks] = tiles_[b / kTileBlocks].data();
    }
    SpanQuery query;
    query.queries = queries.data();
    query.query_count = static_cast<int32_t>(queries.size() / layout_.head_dim);
    query.pages = page_table_.data();
    query.tiles = tile_table_.data();
    query.summary = summary_;
    query.first = first;
    query.last = last;
    return query;
  }

 private:
  PageLayout layout_;
  SummaryKind summary_ = SummaryKind::kNone;
  std::vector<std::vector<float>> pages_;
  std::vector<std::vector<Bf16>> tiles_;
  std::vector<const void*> page_table_, tile_table_;
};

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_KEY_BANK_H_
