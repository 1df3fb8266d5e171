"""RULER's tasks that no single sentence answers (arXiv 2404.06654), in words of our own.

Variable tracking: a variable gets a number, others get that variable, hop by hop; which hold the
number? Common words: a list in which ten words stand often and all others a tenth as often; which
ten? Frequent words: made-up words whose frequencies follow a zeta distribution; which three stand
most often? RULER shows an example first; here none is shown.
"""

from tests.bench.recall_bench import words
from tests.bench.recall_bench.haystack import MAX_TOLD_SHARE, Haystack, Noise, Piece, Question, hide

PHRASING = "ruler"  # one form, which no model here was trained on
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def letters(rng, count):
    return "".join(rng.choice(LETTERS) for _ in range(count))


class VariableTracking:
    name = "variable_tracking"
    max_tokens = 64
    HOPS = 4
    MAX_CHAINS = 12
    HOP_TOKENS = 24  # about

    def questions_of_a_set(self, length):
        chain_tokens = (self.HOPS + 1) * self.HOP_TOKENS
        return max(1, min(self.MAX_CHAINS, int(length * MAX_TOLD_SHARE) // chain_tokens))

    def make(self, length, count, rng):
        names, numbers = set(), set()
        chains = []
        for _ in range(self.questions_of_a_set(length)):
            chain = [
                words.draw_new(rng, lambda r: letters(r, 5).upper(), names, "")
                for _ in range(self.HOPS + 1)
            ]
            value = words.draw_new(rng, lambda r: str(r.randrange(10_000, 100_000)), numbers, "")
            chains.append((value, chain))
        questions = [
            Question(
                f"Which {len(chain)} variables hold the value {value}, directly or through others?"
                "<|assistant|>\nThe variables are",
                tuple(chain),
                frozenset(names - set(chain)),
                PHRASING,
            )
            for value, chain in chains
        ]
        opening = "Variables are assigned in the following text. Keep track of what each one holds."
        return hide(
            Noise,
            Piece(f"<|user|>\n{opening}\n\n", special=True),
            self._tellings(chains, rng),
            questions,
            length,
            count,
            rng,
        )

    @staticmethod
    def _tellings(chains, rng):
        """The chains shuffled into each other, each in its own order."""
        waiting = {}
        for value, chain in chains:
            lines = [f"VAR {chain[0]} = {value}\n\n"]
            lines += [f"VAR {b} = VAR {a}\n\n" for a, b in zip(chain, chain[1:])]
            waiting[value] = lines
        order = [value for value, lines in waiting.items() for _ in lines]
        rng.shuffle(order)
        return [Piece(waiting[value].pop(0)) for value in order]


class CommonWords:
    name = "common_words"
    max_tokens = 96
    COMMON = 10
    OFTEN, SHORT_OFTEN = 30, 10  # times that a common word stands; in a short list
    SHORT_ITEMS = 600

    def __init__(self, book):
        found = {w for w in book.text.split() if w.isascii() and w.isalpha() and w.islower()}
        self._words = sorted(w for w in found if 4 <= len(w) <= 9)
        if len(self._words) < 200:
            raise ValueError("text: has fewer than 200 words to make lists of; give a longer one")

    def questions_of_a_set(self, length):
        del length
        return 1

    def make(self, length, count, rng):
        drawn = rng.sample(self._words, len(self._words))
        sample = self._text((drawn * 1000)[:1000])
        items = max(2 * self.COMMON, int(length * 1000 / count(sample)))
        # So often that the text's words suffice for the rest of the list.
        often = self.OFTEN if items >= self.SHORT_ITEMS else self.SHORT_OFTEN
        often = max(often, 10 * -(-items // len(drawn)))
        often = min(often, max(10, items // (2 * self.COMMON) // 10 * 10))
        common, others = drawn[: self.COMMON], drawn[self.COMMON :]
        rest = max(0, items - often * len(common)) // (often // 10)
        listed = common * often + others[:rest] * (often // 10)
        rng.shuffle(listed)
        question = Question(
            f"\n\nWhich {self.COMMON} words stand most often in this list?<|assistant|>\n"
            "The most common words are",
            tuple(common),
            frozenset(others[:rest]),
            PHRASING,
        )
        opening = Piece("<|user|>\nBelow is a numbered list of words.\n\n", special=True)
        return Haystack((opening, Piece(self._text(listed))), (question,))

    @staticmethod
    def _text(listed):
        return " ".join(f"{i}. {word}" for i, word in enumerate(listed, 1))


class FrequentWords:
    name = "frequent_words"
    max_tokens = 48
    ALPHA = 2.0
    VOCABULARY = 2000
    WANTED = 3
    FILLER = "..."  # of the first rank; it is no word

    def questions_of_a_set(self, length):
        del length
        return 1

    def make(self, length, count, rng):
        taken = set()
        coded = [
            words.draw_new(rng, lambda r: letters(r, 6), taken, "") for _ in range(self.VOCABULARY)
        ]
        ranked = [self.FILLER] + coded
        weights = [rank**-self.ALPHA for rank in range(1, len(ranked) + 1)]
        shares = [weight / sum(weights) for weight in weights]
        sample = self._listed(ranked, shares, 1000)
        items = int(length * len(sample) / count(" ".join(sample)))
        listed = self._listed(ranked, shares, items)
        rng.shuffle(listed)
        wanted = coded[: self.WANTED]
        question = Question(
            f"\n\nLeave the dots aside. Which {self.WANTED} words stand most often in this coded "
            "text?<|assistant|>\nThe most frequent words are",
            tuple(wanted),
            frozenset(coded[self.WANTED :]),
            PHRASING,
        )
        opening = Piece("<|user|>\nBelow is a coded text.\n\n", special=True)
        return Haystack((opening, Piece(" ".join(listed))), (question,))

    @staticmethod
    def _listed(ranked, shares, items):
        return [word for word, share in zip(ranked, shares) for _ in range(round(items * share))]
