#include "clients/cli/recall_facts.h"

#include <iterator>
#include <random>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace eidetic::cli {
namespace {

// Facts of one text share no word: the demo model mistakes a key for another that
// shares one, which is a limit of its reading, not of what it finds.
constexpr const char* kFirstWords[] = {
    "amber",  "brave",  "calm",   "cedar", "copper", "crimson", "dusty", "early",
    "frosty", "gentle", "golden", "happy", "hollow", "ivory",   "jolly", "lively",
    "marble", "misty",  "noble",  "olive", "polar",  "proud",   "quiet", "rapid",
    "royal",  "rusty",  "silver", "solar", "sunny",  "velvet",  "wild",  "winter"};
constexpr const char* kSecondWords[] = {
    "anchor", "badger", "beacon", "bridge", "candle", "canyon", "castle", "comet",
    "dragon", "falcon", "forest", "garden", "hammer", "harbor", "island", "lantern",
    "maple",  "meadow", "mirror", "orchid", "otter",  "pepper", "ribbon", "river",
    "rocket", "saddle", "temple", "tiger",  "valley", "violin", "walnut", "willow"};
static_assert(std::size(kFirstWords) == kMaxFacts && std::size(kSecondWords) == kMaxFacts);
constexpr uint64_t kSmallestNumber = 1'000'000;
constexpr uint64_t kNumbers = 9'000'000;
// A text that tells of so many drawn facts in a row was made to.
constexpr int kMaxDraws = 1000;

bool Occurs(std::string_view text, std::string_view piece) {
  return text.find(piece) != std::string_view::npos;
}

// Draws facts that the text does not tell of and that differ from each other.
class FactSource {
 public:
  FactSource(std::string_view text, uint64_t seed)
      : text_(text),
        random_(seed),
        first_words_(std::begin(kFirstWords), std::end(kFirstWords)),
        second_words_(std::begin(kSecondWords), std::end(kSecondWords)) {}

  // 0 to `limit` - 1.
  size_t Below(size_t limit) { return random_() % limit; }

  absl::StatusOr<Fact> Draw() {
    for (int draw = 0; draw < kMaxDraws; ++draw) {
      const auto first = first_words_.begin() + Below(first_words_.size());
      const auto second = second_words_.begin() + Below(second_words_.size());
      const Fact fact{.key = absl::StrCat(*first, "-", *second),
                      .number = absl::StrCat(kSmallestNumber + random_() % kNumbers)};
      if (Occurs(text_, fact.key) || Occurs(text_, fact.number)) continue;
      if (!numbers_.insert(fact.number).second) continue;
      first_words_.erase(first);
      second_words_.erase(second);
      return fact;
    }
    return absl::InvalidArgumentError("text: tells of such facts already; give another one");
  }

 private:
  const std::string_view text_;
  std::mt19937_64 random_;
  std::vector<const char*> first_words_, second_words_;  // not used yet
  std::set<std::string> numbers_;
};

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

absl::StatusOr<PlantedText> PlantFacts(std::string_view text, int count, uint64_t seed) {
  if (count < 1 || count > kMaxFacts) {
    return absl::InvalidArgumentError(
        absl::StrCat("facts: ", count, " is not within 1 to ", kMaxFacts));
  }
  const std::vector<size_t> borders = ParagraphBorders(text);
  if (borders.size() < static_cast<size_t>(count)) {
    return absl::InvalidArgumentError(
        absl::StrCat("text: ", borders.size(), " borders between paragraphs (blank lines) hold no ",
                     count, " facts; give a longer text or fewer facts"));
  }
  FactSource source(text, seed);
  PlantedText planted;
  size_t taken = 0;
  for (int i = 0; i < count; ++i) {
    const size_t first = borders.size() * i / count;
    const size_t last = borders.size() * (i + 1) / count;
    const size_t border = borders[first + source.Below(last - first)];
    planted.text.append(text.substr(taken, border - taken));
    taken = border;
    auto fact = source.Draw();
    if (!fact.ok()) return fact.status();
    fact->offset = planted.text.size();
    absl::StrAppend(&planted.text, Statement(*fact), "\n\n");
    planted.facts.push_back(*std::move(fact));
  }
  planted.text.append(text.substr(taken));
  while (!planted.text.ends_with("\n\n")) planted.text.push_back('\n');
  return planted;
}

std::string_view RecallPreamble() {
  return "<|user|>\n"
         "Some special facts are hidden within the following text. Make sure to memorize them.\n\n";
}

std::string Statement(const Fact& fact) {
  return absl::StrCat("One of the special magic numbers for ", fact.key, " is: ", fact.number, ".");
}

std::string Question(const Fact& fact) {
  return absl::StrCat("What is the special magic number for ", fact.key,
                      " mentioned in the provided text?");
}

std::string QuestionPrompt(const Fact& fact) {
  return absl::StrCat(Question(fact), "<|assistant|>\nThe special magic number for ", fact.key,
                      " mentioned in the provided text is:");
}

std::string_view RecallClosing() { return "<|assistant|>\nI will remember that.<|endoftext|>"; }

std::string_view NormalizedAnswer(std::string_view answer) {
  while (!answer.empty() && absl::ascii_isspace(answer.front())) answer.remove_prefix(1);
  while (!answer.empty() && absl::ascii_isspace(answer.back())) answer.remove_suffix(1);
  if (answer.ends_with('.')) answer.remove_suffix(1);
  return answer;
}

}  // namespace eidetic::cli
