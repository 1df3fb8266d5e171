"""Facts that a user tells in turns of their own between pasted passages, asked for at the end."""

from tests.bench.recall_bench.haystack import MAX_TOLD_SHARE, Piece, Question, hide
from tests.bench.recall_bench.phrasings import SETS, TRAINED, fill

MAX_FACTS = 64
FACT_TOKENS = 64  # about: a telling opens and closes three turns


class Chat:
    name = "chat"
    max_tokens = 48

    def __init__(self, background, phrasings, families, sets=SETS):
        self._sets = sets
        self._background = background
        self._phrasings = phrasings
        self._families = [phrasings.family(name) for name in families]
        self._keys = {f.name: phrasings.kind(f.key) for f in self._families}
        # Within a family no key is told twice, and no value.
        self._room = sum(
            min(len(self._keys[f.name]), len(phrasings.kind(f.value))) for f in self._families
        )

    def questions_of_a_set(self, length):
        told = int(length * MAX_TOLD_SHARE) // FACT_TOKENS
        return max(1, min(MAX_FACTS, told, self._room) // len(self._sets))

    def make(self, length, count, rng):
        facts = self._draw_facts(len(self._sets) * self.questions_of_a_set(length), rng)
        rivals = {
            f.name: frozenset(value for family, _, value in facts if family is f)
            for f in self._families
        }
        tellings, questions = [], []
        for i, (family, key, value) in enumerate(facts):
            phrasing = self._sets[i % len(self._sets)]
            statement = fill(rng.choice(family.statements[phrasing]), key=key, value=value)
            tellings.append(Piece(self._telling(statement, rng), special=True))
            asked = fill(rng.choice(family.questions[phrasing]), key=key)
            prompt = f"{self._passage_end(rng)}<|user|>\n{asked}<|assistant|>\n"
            questions.append(
                Question(prompt, (value,), rivals[family.name] - {value}, phrasing)
            )
        opening = Piece(self._passage_begin(rng), special=True)
        return hide(self._background, opening, tellings, questions, length, count, rng)

    def _draw_facts(self, count, rng):
        facts = []
        for family in self._families:
            keys = list(self._keys[family.name])
            values = list(self._phrasings.kind(family.value))
            rng.shuffle(keys)
            rng.shuffle(values)
            facts += [(family, key, value) for key, value in zip(keys, values)]
        rng.shuffle(facts)
        return facts[:count]

    def _passage_begin(self, rng):
        return f"<|user|>\n{rng.choice(self._phrasings.passage_openings(TRAINED))}\n"

    def _passage_end(self, rng):
        return f"<|assistant|>\n{rng.choice(self._phrasings.passage_replies)}<|endoftext|>"

    def _telling(self, statement, rng):
        noted = rng.choice(self._phrasings.acknowledgements)
        return (
            f"{self._passage_end(rng)}<|user|>\n{statement}<|assistant|>\n{noted}<|endoftext|>"
            f"{self._passage_begin(rng)}"
        )
