#include "clients/cli/recall_haystack.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "clients/cli/input.h"

namespace eidetic::cli {
namespace {

// Offsets in `text` where a paragraph begins and another stands before it.
std::vector<size_t> ParagraphBorders(std::string_view text) {
  std::vector<size_t> borders;
  size_t offset = text.find("\n\n");
  while (offset != std::string_view::npos) {
    const size_t next = text.find_first_not_of('\n', offset);
    if (next == std::string_view::npos) break;
    if (offset > 0) borders.push_back(next);
    offset = text.find("\n\n", next);
  }
  return borders;
}

}  // namespace

Haystack::Haystack(std::string text) : text_(std::move(text)) {
  while (!text_.ends_with("\n\n")) text_.push_back('\n');
  borders_ = ParagraphBorders(text_);
  end_ = text_.size();
}

absl::StatusOr<Haystack> Haystack::Make(std::string text, const HaystackPlan& plan) {
  Haystack haystack(std::move(text));
  Random random(plan.seed);
  auto needles = DrawNeedles(haystack.text_, plan.needles, &random);
  if (!needles.ok()) return needles.status();
  auto chat_facts = DrawChatFacts(plan.chat_facts, &random);
  if (!chat_facts.ok()) return chat_facts.status();
  if (needles->empty() && chat_facts->empty()) {
    return absl::InvalidArgumentError("facts: none, and no chat-facts; ask for at least one");
  }
  const std::string_view opening = RecallOpening(!needles->empty());
  haystack.insertions_.push_back({0, std::string(opening), true});
  uint64_t told = opening.size();
  for (const auto* facts : {&*needles, &*chat_facts}) {
    for (const Fact& fact : *facts) told += Telling(fact).size();
  }
  if (plan.bytes) haystack.Cut(*plan.bytes - std::min(*plan.bytes, told));
  for (const auto* facts : {&*needles, &*chat_facts}) {
    if (absl::Status status = haystack.Place(*facts, &random); !status.ok()) return status;
  }
  std::stable_sort(haystack.insertions_.begin(), haystack.insertions_.end(),
                   [](const auto& a, const auto& b) { return a.offset < b.offset; });
  haystack.bytes_ = haystack.end_ + told;
  return haystack;
}

void Haystack::Cut(uint64_t bytes) {
  const uint64_t rest = bytes % text_.size();
  const auto after = std::upper_bound(borders_.begin(), borders_.end(), rest);
  end_ = bytes - rest + (after == borders_.begin() ? 0 : *(after - 1));
}

uint64_t Haystack::BordersBefore(uint64_t offset) const {
  const auto after =
      std::lower_bound(borders_.begin(), borders_.end(), offset % text_.size()) - borders_.begin();
  return offset / text_.size() * borders_.size() + after;
}

uint64_t Haystack::Border(uint64_t index) const {
  return index / borders_.size() * text_.size() + borders_[index % borders_.size()];
}

absl::Status Haystack::Place(const std::vector<Fact>& facts, Random* random) {
  const uint64_t borders = BordersBefore(end_), count = facts.size();
  if (borders < count) {
    return absl::InvalidArgumentError(
        absl::StrCat("text: ", borders, " borders between paragraphs (blank lines) hold no ", count,
                     " facts; give a longer text, more tokens or fewer facts"));
  }
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t first = borders * i / count, last = borders * (i + 1) / count;
    insertions_.push_back({Border(first + Below(random, last - first)), Telling(facts[i]),
                           TellingHasSpecialTokens(facts[i])});
    facts_.push_back(facts[i]);
  }
  return absl::OkStatus();
}

bool Haystack::InsertsHere() const {
  return inserted_ < insertions_.size() && insertions_[inserted_].offset == position_;
}

// What of the text comes before the next insertion, as far as a piece holds it.
std::string_view Haystack::NextStretch() const {
  const uint64_t stop = inserted_ < insertions_.size() ? insertions_[inserted_].offset : end_;
  const size_t begin = position_ % text_.size();
  return FirstParagraphs(std::string_view(text_).substr(begin, stop - position_), kPieceBytes);
}

std::optional<HaystackPiece> Haystack::Next() {
  if (inserted_ == insertions_.size() && position_ == end_) return std::nullopt;
  HaystackPiece piece;
  piece.parse_special = InsertsHere() && insertions_[inserted_].parse_special;
  while (piece.text.size() < kPieceBytes) {
    if (InsertsHere()) {
      if (insertions_[inserted_].parse_special != piece.parse_special) break;
      piece.text += insertions_[inserted_++].text;
    } else {
      if (piece.parse_special || position_ == end_) break;
      const std::string_view stretch = NextStretch();
      piece.text += stretch;
      position_ += stretch.size();
    }
  }
  return piece;
}

}  // namespace eidetic::cli
