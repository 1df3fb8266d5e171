"""Retrieval tasks after RULER (arXiv 2404.06654), in words of our own.

RULER hides sentences "key: value" in a text and asks for values: one key among others that look
alike (single, in noise that is the passkey task; multi-key), a key that was given several values
(multi-value), several keys at once (multi-query). Here many questions are asked of one haystack,
each in a fork of its own, so all needles of a haystack are distractors of each other, and no task
has fewer of them than RULER's. Each set of phrasings tells and asks as many facts as another.
"""

from tests.bench.recall_bench import words
from tests.bench.recall_bench.haystack import MAX_TOLD_SHARE, Piece, Question, hide
from tests.bench.recall_bench.phrasings import SETS, TRAINED, fill

FAMILY = "magic_number"
MAX_NEEDLES = 64  # in one haystack: more measure how a model reads, not what it finds
NEEDLE_TOKENS = 32  # about, with its question's share of room to spare
GROUP = 4  # RULER's: keys of a multi-key question, values of a key, keys of a query


class Needles:
    """One of the four tasks. `shape`: "single", "multikey", "multivalue" or "multiquery".

    `answer_lead`: where one value of the trained phrasings is asked for, begin the answer with the
    words that come before it, as RULER does.
    """

    def __init__(self, name, shape, background, phrasings, sets=SETS, answer_lead=False):
        self.name = name
        self._sets = sets
        self._answer_lead = answer_lead
        self._shape = shape
        self._background = background
        self._phrasings = phrasings
        self._family = phrasings.family(FAMILY)
        self._group = 1 if shape == "single" else GROUP
        self.max_tokens = 128 if shape in ("multivalue", "multiquery") else 48

    def questions_of_a_set(self, length):
        """Questions in each set of phrasings that a haystack of so many tokens gives."""
        needles = min(MAX_NEEDLES, int(length * MAX_TOLD_SHARE) // NEEDLE_TOKENS)
        groups = max(len(self._sets), needles // self._group)
        return groups // len(self._sets) * self._questions_of_a_group()

    def make(self, length, count, rng):
        count_of_a_set = self.questions_of_a_set(length) // self._questions_of_a_group()
        groups = self._draw_groups(len(self._sets) * count_of_a_set, rng)
        rivals = frozenset(value for group in groups for _, value in group)
        tellings, questions = [], []
        for i, group in enumerate(groups):
            phrasing = self._sets[i % len(self._sets)]
            for key, value in group:
                statement = rng.choice(self._family.statements[phrasing])
                tellings.append(Piece(fill(statement, key=key, value=value) + "\n\n"))
            questions += self._questions(group, phrasing, rivals, rng)
        rng.shuffle(tellings)
        opening = rng.choice(self._phrasings.text_openings(TRAINED))
        return hide(
            self._background,
            Piece(f"<|user|>\n{opening}\n\n", special=True),
            tellings,
            questions,
            length,
            count,
            rng,
        )

    def _questions_of_a_group(self):
        return GROUP if self._shape == "multikey" else 1

    def _draw_groups(self, count, rng):
        """Lists of pairs of key and value; no value and, but in multi-value, no key twice."""
        text = self._background.text
        keys, numbers = set(), set()
        pairs = count * (1 if self._shape == "multivalue" else self._group)
        if self._shape == "single":
            drawn = words.keys_without_shared_words(rng, pairs, text)
        else:
            drawn = [words.draw_new(rng, words.key, keys, text) for _ in range(pairs)]
        if self._shape == "multivalue":
            drawn = [key for key in drawn for _ in range(GROUP)]
        valued = [(key, words.draw_new(rng, words.number, numbers, text)) for key in drawn]
        return [valued[i : i + self._group] for i in range(0, len(valued), self._group)]

    def _questions(self, group, phrasing, rivals, rng):
        def question(templates, expected, lead="", **names):
            prompt = fill(rng.choice(templates), **names) + "<|assistant|>\n" + lead
            return Question(prompt, tuple(expected), rivals - set(expected), phrasing)

        values = [value for _, value in group]
        if self._shape == "multivalue":
            return [question(self._phrasings.several("values", phrasing), values, key=group[0][0])]
        if self._shape == "multiquery":
            keys = [key for key, _ in group]
            listed = f"{', '.join(keys[:-1])} and {keys[-1]}"
            return [question(self._phrasings.several("keys", phrasing), values, keys=listed)]
        leads = self._answer_lead and phrasing == TRAINED
        return [
            question(
                self._family.questions[phrasing],
                [value],
                self._family.answer_lead(key) if leads else "",
                key=key,
            )
            for key, value in group
        ]
