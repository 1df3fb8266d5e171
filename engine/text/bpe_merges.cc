#include "engine/text/bpe_merges.h"

#include <glog/logging.h>

#include <algorithm>
#include <functional>

namespace eidetic {

BpeMerges::BpeMerges(std::vector<MergeRule> rules) {
  results_.reserve(rules.size());
  ranks_.reserve(rules.size());
  for (const MergeRule& rule : rules) {
    ranks_[Pair(rule.left, rule.right)] = static_cast<uint32_t>(results_.size());
    results_.push_back(rule.result);
  }
}

void BpeMerges::Word::Append(TokenId id) {
  const int32_t at = static_cast<int32_t>(symbols.size());
  if (at > 0) symbols.back().next = at;
  symbols.push_back({id, at - 1, -1});
}

void BpeMerges::Offer(int32_t position, Word* word) const {
  const Word::Symbol& left = word->symbols[position];
  if (left.next < 0) return;
  const auto rank = ranks_.find(Pair(left.id, word->symbols[left.next].id));
  if (rank == ranks_.end()) return;
  word->queue.push_back(static_cast<uint64_t>(rank->second) << 32 |
                        static_cast<uint32_t>(position));
}

void BpeMerges::Join(int32_t position, TokenId result, Word* word) const {
  Word::Symbol& left = word->symbols[position];
  Word::Symbol& right = word->symbols[left.next];
  left.id = result;
  left.next = right.next;
  right.id = -1;
  if (left.next >= 0) word->symbols[left.next].previous = position;
}

void BpeMerges::Apply(Word* word, std::vector<TokenId>* out) const {
  auto& [symbols, queue] = *word;
  const auto push_offer = [this, word](int32_t position) {
    const size_t before = word->queue.size();
    Offer(position, word);
    if (word->queue.size() > before) {
      std::push_heap(word->queue.begin(), word->queue.end(), std::greater<>());
    }
  };
  for (size_t i = 0; i + 1 < symbols.size(); ++i) Offer(static_cast<int32_t>(i), word);
  std::make_heap(queue.begin(), queue.end(), std::greater<>());
  while (!queue.empty()) {
    std::pop_heap(queue.begin(), queue.end(), std::greater<>());
    const uint32_t rank = static_cast<uint32_t>(queue.back() >> 32);
    const int32_t position = static_cast<int32_t>(queue.back() & 0xFFFFFFFF);
    queue.pop_back();
    // An entry is stale when its pair has changed since. The left symbol only
    // grows, so the pair is the same exactly if its rule still is.
    const Word::Symbol left = symbols[position];
    if (left.id < 0 || left.next < 0) continue;
    const auto now = ranks_.find(Pair(left.id, symbols[left.next].id));
    if (now == ranks_.end() || now->second != rank) continue;
    Join(position, results_[rank], word);
    if (left.previous >= 0) push_offer(left.previous);
    push_offer(position);
  }
  for (const Word::Symbol& symbol : symbols) {
    if (symbol.id >= 0) out->push_back(symbol.id);
  }
  symbols.clear();
}

}  // namespace eidetic
