#include "clients/cli/recall_facts.h"

#include <random>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace eidetic::cli {
namespace {

constexpr const char* kFirstWords[] = {"amber", "brave",  "calm",   "cedar",  "copper", "crimson",
                                       "dusty", "early",  "gentle", "golden", "hollow", "ivory",
                                       "jolly", "lively", "marble", "noble",  "quiet",  "rapid",
                                       "royal", "silver", "sunny",  "velvet", "wild",   "winter"};
constexpr const char* kSecondWords[] = {"anchor", "badger", "beacon", "bridge", "candle", "castle",
                                        "falcon", "garden", "hammer", "harbor", "island", "lantern",
                                        "meadow", "mirror", "orchid", "otter",  "pepper", "ribbon",
                                        "river",  "saddle", "temple", "tiger",  "violin", "willow"};
constexpr uint64_t kSmallestNumber = 1'000'000;
constexpr uint64_t kNumbers = 9'000'000;

template <size_t N>
std::string_view Draw(const char* const (&words)[N], std::mt19937_64& random) {
  return words[random() % N];
}

bool Occurs(std::string_view text, std::string_view piece) {
  return text.find(piece) != std::string_view::npos;
}

// A fact that neither `text` nor `facts` tell of.
Fact DrawFact(std::string_view text, const std::vector<Fact>& facts, std::mt19937_64& random) {
  while (true) {
    Fact fact;
    fact.key.append(Draw(kFirstWords, random)).append("-").append(Draw(kSecondWords, random));
    fact.number = std::to_string(kSmallestNumber + random() % kNumbers);
    bool is_new = !Occurs(text, fact.key) && !Occurs(text, fact.number);
    for (const Fact& other : facts) {
      is_new = is_new && other.key != fact.key && other.number != fact.number;
    }
    if (is_new) return fact;
  }
}

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
  std::mt19937_64 random(seed);
  PlantedText planted;
  size_t taken = 0;
  for (int i = 0; i < count; ++i) {
    const size_t first = borders.size() * i / count;
    const size_t last = borders.size() * (i + 1) / count;
    const size_t border = borders[first + random() % (last - first)];
    planted.text.append(text.substr(taken, border - taken));
    taken = border;
    Fact fact = DrawFact(text, planted.facts, random);
    fact.offset = planted.text.size();
    absl::StrAppend(&planted.text, Statement(fact), "\n\n");
    planted.facts.push_back(std::move(fact));
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
