#include "engine/scheduler/passages.h"

#include <glog/logging.h>

#include <algorithm>
#include <iterator>

namespace eidetic {
namespace {

std::vector<PassageUse> Merge(std::span<const SpanUse> blocks, int32_t block_tokens) {
  const int64_t longest = int64_t{kMaxPassageBlocks} * block_tokens;
  std::vector<PassageUse> passages;
  for (const SpanUse& use : blocks) {
    const memory::Position begin = int64_t{use.block} * block_tokens;
    if (passages.empty() || passages.back().end != begin ||
        begin - passages.back().begin >= longest) {
      passages.emplace_back().begin = begin;
    }
    passages.back().end = begin + block_tokens;
    passages.back().mass += use.mass;
  }
  return passages;
}

std::string Text(std::span<const memory::TokenId> ids, const Tokenizer& tokenizer) {
  std::vector<memory::TokenId> known;
  known.reserve(ids.size());
  std::copy_if(ids.begin(), ids.end(), std::back_inserter(known),
               [&](memory::TokenId id) { return id < tokenizer.vocab_size(); });
  return tokenizer.Decode(known, /*skip_special=*/false);
}

}  // namespace

void SpanMass::Add(std::span<const SpanUse> span, int64_t rows) {
  CHECK_GT(rows, 0);
  for (const SpanUse& use : span) sums_[use.block] += use.mass * static_cast<double>(rows);
  rows_ += rows;
}

std::vector<SpanUse> SpanMass::Mean() const {
  std::vector<SpanUse> mean;
  mean.reserve(sums_.size());
  for (const auto& [block, sum] : sums_) {
    mean.push_back({.block = block, .mass = sum / static_cast<double>(rows_)});
  }
  return mean;
}

std::vector<SpanUse> RankBlocks(std::vector<SpanUse> blocks) {
  std::sort(blocks.begin(), blocks.end(), [](const SpanUse& a, const SpanUse& b) {
    return a.mass != b.mass ? a.mass > b.mass : a.block < b.block;
  });
  return blocks;
}

std::vector<PassageUse> MakePassages(std::span<const SpanUse> blocks, int32_t block_tokens,
                                     std::span<const memory::TokenId> log,
                                     const Tokenizer& tokenizer, int32_t limit) {
  std::vector<PassageUse> passages = Merge(blocks, block_tokens);
  std::stable_sort(passages.begin(), passages.end(),
                   [](const PassageUse& a, const PassageUse& b) { return a.mass > b.mass; });
  if (passages.size() > static_cast<size_t>(limit)) passages.resize(limit);
  const memory::Position log_end = static_cast<memory::Position>(log.size());
  for (PassageUse& passage : passages) {
    passage.end = std::min(passage.end, log_end);
    CHECK_LT(passage.begin, passage.end) << "a block beyond the session's log";
    passage.text = Text(log.subspan(passage.begin, passage.end - passage.begin), tokenizer);
  }
  return passages;
}

}  // namespace eidetic
