#include "clients/cli/recall_facts.h"

#include <iterator>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace eidetic::cli {
namespace {

// Needles of one text share no word, and the words are common ones: the demo model
// mistakes keys that are alike or rare for each other, which is a limit of its reading,
// not of what it finds.
constexpr const char* kFirstWords[] = {
    "brave",   "calm",    "early",    "gentle",  "golden",   "happy",    "hollow",  "lively",
    "marble",  "noble",   "proud",    "quiet",   "rapid",    "royal",    "silver",  "wild",
    "winter",  "bitter",  "clever",   "eager",   "fancy",    "fierce",   "grand",   "humble",
    "kind",    "lucky",   "magic",    "merry",   "mighty",   "narrow",   "plain",   "secret",
    "simple",  "tender",  "yellow",   "ancient", "broad",    "cheerful", "crowded", "daily",
    "distant", "double",  "evening",  "empty",   "faithful", "famous",   "foreign", "fresh",
    "gray",    "hidden",  "honest",   "huge",    "idle",     "jealous",  "modern",  "naked",
    "native",  "patient", "pleasant", "prompt",  "rare",     "solid",    "swift",   "vast"};
constexpr const char* kSecondWords[] = {
    "anchor",  "bridge",   "castle",  "garden",  "island",   "forest",    "river",   "valley",
    "table",   "tower",    "ship",    "lantern", "mountain", "desert",    "feather", "mirror",
    "window",  "water",    "thunder", "soldier", "shadow",   "picture",   "palace",  "market",
    "letter",  "kitchen",  "journey", "horse",   "harbor",   "guest",     "flower",  "finger",
    "engine",  "dinner",   "cousin",  "corner",  "coast",    "cloud",     "circle",  "church",
    "chapter", "carriage", "captain", "cabin",   "butter",   "breakfast", "blanket", "battle",
    "basket",  "artist",   "army",    "animal",  "village",  "voyage",    "weather", "wedding",
    "wisdom",  "witness",  "beacon",  "bottle",  "needle",   "pencil",    "rabbit",  "spider"};
static_assert(std::size(kFirstWords) == kMaxNeedles && std::size(kSecondWords) == kMaxNeedles);
constexpr uint64_t kSmallestNumber = 1'000'000;
constexpr uint64_t kNumbers = 9'000'000;
// A text that tells of so many drawn facts in a row was made to.
constexpr int kMaxDraws = 1000;

// Of each of these a name and a city can be told.
constexpr const char* kRelations[] = {
    "sister",  "brother", "mother",  "father", "grandmother", "grandfather", "aunt",    "uncle",
    "cousin",  "wife",    "husband", "son",    "daughter",    "neighbor",    "dentist", "doctor",
    "teacher", "boss",    "friend",  "dog",    "cat",         "horse",       "nephew",  "niece"};
constexpr const char* kNames[] = {"Clara",  "Tobias", "Rachel", "Fiona",  "Nora",   "Greta",
                                  "Nathan", "Luke",   "Hugo",   "Victor", "Daniel", "Irene",
                                  "Omar",   "Naomi",  "Vera",   "Fred",   "Walter", "Isaac",
                                  "Penny",  "Edgar",  "Flora",  "Zoe",    "Iris",   "Sam"};
constexpr const char* kCities[] = {"Genoa",  "Turin",  "Quito",  "Krakow", "Lima",   "Oslo",
                                   "Cairo",  "Paris",  "Madrid", "Vienna", "Dublin", "Athens",
                                   "Lisbon", "Prague", "Boston", "Geneva", "Naples", "Berlin",
                                   "Tokyo",  "Delhi",  "Kyoto",  "Havana", "Milan",  "Seville"};
static_assert(2 * std::size(kRelations) == kMaxChatFacts);
static_assert(std::size(kNames) == std::size(kRelations));
static_assert(std::size(kCities) == std::size(kRelations));

constexpr char kPassageBegins[] = "<|user|>\nHere is a passage from a book:\n";
constexpr char kTold[] = "<|assistant|>\nI will remember that.<|endoftext|>";
constexpr char kPassageEnds[] = "<|assistant|>\nThank you, I have read the text.<|endoftext|>";

// Not std::shuffle, whose order is the library's own.
template <typename T>
void Shuffle(std::vector<T>* items, Random* random) {
  for (size_t left = items->size(); left > 1; --left) {
    std::swap((*items)[left - 1], (*items)[Below(random, left)]);
  }
}

bool Occurs(std::string_view text, std::string_view piece) {
  return text.find(piece) != std::string_view::npos;
}

absl::Status CheckCount(const char* field, int count, int limit) {
  if (count >= 0 && count <= limit) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, ": ", count, " is not within 0 to ", limit));
}

}  // namespace

Fact NeedleFact(std::string_view key, std::string_view number) {
  const std::string about(key);
  return {.kind = FactKind::kNeedle,
          .key = about,
          .value = std::string(number),
          .statement = absl::StrCat("One of the special magic numbers for ", about,
                                    " is: ", std::string(number), "."),
          .question = absl::StrCat("What is the special magic number for ", about,
                                   " mentioned in the provided text?")};
}

Fact NameFact(std::string_view relation, std::string_view name) {
  const std::string of(relation), is(name);
  return {.kind = FactKind::kChat,
          .key = of,
          .value = is,
          .statement = absl::StrCat("My ", of, "'s name is ", is, "."),
          .question = absl::StrCat("What is my ", of, "'s name?")};
}

Fact HomeFact(std::string_view relation, std::string_view city) {
  const std::string of(relation), is(city);
  return {.kind = FactKind::kChat,
          .key = of,
          .value = is,
          .statement = absl::StrCat("My ", of, " lives in ", is, "."),
          .question = absl::StrCat("Where does my ", of, " live?")};
}

absl::StatusOr<std::vector<Fact>> DrawNeedles(std::string_view text, int count, Random* random) {
  if (absl::Status status = CheckCount("facts", count, kMaxNeedles); !status.ok()) return status;
  std::vector<const char*> firsts(std::begin(kFirstWords), std::end(kFirstWords));
  std::vector<const char*> seconds(std::begin(kSecondWords), std::end(kSecondWords));
  std::set<std::string> numbers;
  std::vector<Fact> facts;
  for (int draws = 0; facts.size() < static_cast<size_t>(count); ++draws) {
    if (draws == kMaxDraws * count) {
      return absl::InvalidArgumentError("text: tells of such facts already; give another one");
    }
    const auto first = firsts.begin() + Below(random, firsts.size());
    const auto second = seconds.begin() + Below(random, seconds.size());
    const std::string key = absl::StrCat(*first, "-", *second);
    const std::string number = absl::StrCat(kSmallestNumber + Below(random, kNumbers));
    if (Occurs(text, key) || Occurs(text, number) || !numbers.insert(number).second) continue;
    facts.push_back(NeedleFact(key, number));
    firsts.erase(first);
    seconds.erase(second);
  }
  return facts;
}

absl::StatusOr<std::vector<Fact>> DrawChatFacts(int count, Random* random) {
  if (absl::Status status = CheckCount("chat-facts", count, kMaxChatFacts); !status.ok()) {
    return status;
  }
  std::vector<const char*> names(std::begin(kNames), std::end(kNames));
  std::vector<const char*> cities(std::begin(kCities), std::end(kCities));
  Shuffle(&names, random);
  Shuffle(&cities, random);
  std::vector<Fact> facts;
  for (size_t i = 0; i < std::size(kRelations); ++i) {
    facts.push_back(NameFact(kRelations[i], names[i]));
    facts.push_back(HomeFact(kRelations[i], cities[i]));
  }
  Shuffle(&facts, random);
  facts.resize(count);
  return facts;
}

std::string_view RecallOpening(bool has_needles) {
  if (!has_needles) return kPassageBegins;
  return "<|user|>\n"
         "Some special facts are hidden within the following text. Make sure to memorize them.\n\n";
}

std::string Telling(const Fact& fact) {
  if (fact.kind == FactKind::kNeedle) return absl::StrCat(fact.statement, "\n\n");
  return absl::StrCat(kPassageEnds, "<|user|>\n", fact.statement, kTold, kPassageBegins);
}

std::string QuestionPrompt(const Fact& fact) {
  if (fact.kind == FactKind::kNeedle) {
    return absl::StrCat(fact.question, "<|assistant|>\nThe special magic number for ", fact.key,
                        " mentioned in the provided text is:");
  }
  return absl::StrCat(kPassageEnds, "<|user|>\n", fact.question, "<|assistant|>\n");
}

std::string_view RecallClosing() { return kTold; }

std::string_view NormalizedAnswer(std::string_view answer) {
  while (!answer.empty() && absl::ascii_isspace(answer.front())) answer.remove_prefix(1);
  while (!answer.empty() && absl::ascii_isspace(answer.back())) answer.remove_suffix(1);
  if (answer.ends_with('.')) answer.remove_suffix(1);
  return answer;
}

bool IsRight(std::string_view answer, const Fact& fact) {
  if (fact.kind == FactKind::kNeedle) return answer == fact.value;
  return answer.ends_with(absl::StrCat(" ", fact.value));
}

}  // namespace eidetic::cli
