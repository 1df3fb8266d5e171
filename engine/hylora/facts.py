"""Facts to tell and to ask, in the sentences of phrasings.json.

A Maker draws facts of one document: no two of them have the same family and key, and keys may be
made alike on purpose (sharing a word), so that only reading the whole key finds the right one.
"""

import json
import random
from dataclasses import dataclass, field
from pathlib import Path

PHRASINGS = Path(__file__).with_name("phrasings.json")
# Sentences that may lose their capital after "By the way, ".
LOWERED = {"My", "The", "One", "For", "To", "Use", "Of", "On", "Everybody"}
MAX_DRAWS = 200  # of a key that is still free; there are far more keys than facts in a document


def read_phrasings() -> dict:
    return json.loads(PHRASINGS.read_text())


@dataclass
class Fact:
    family: dict
    key: str
    values: list[str] = field(default_factory=list)  # several: all told; corrected: the last counts
    corrected: bool = False

    @property
    def value(self) -> str:
        return self.values[-1]


def led(lead: str, sentence: str) -> str:
    first = sentence.split(" ", 1)[0]
    if lead.endswith((", ", "that ")) and first in LOWERED:
        sentence = sentence[0].lower() + sentence[1:]
    return lead + sentence


def listed(items: list[str]) -> str:
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + ", and " + items[-1]


class Maker:
    """`split`: "trained" or "held_out" sentences. `words`: for keys and values of one's own."""

    def __init__(self, words: list[str], rng: random.Random, split: str = "trained") -> None:
        self.phrasings, self.words, self.rng, self.split = read_phrasings(), words, rng, split
        self.families = self.phrasings["families"]
        self.used: set[tuple[str, str]] = set()
        self.anchor: dict[str, str] = {}  # of a kind: a word or digits that alike ones share

    def family(self, setting: str | None = None, name: str | None = None) -> dict:
        fitting = [
            f
            for f in self.families
            if setting in (None, f["setting"]) and name in (None, f["name"])
        ]
        return self.rng.choice(fitting)

    def _pair(self, alike: bool) -> str:
        first, second = self.rng.sample(self.words, 2)
        if alike:
            shared = self.anchor.setdefault("word_pair", first)
            first, second = (shared, second) if self.rng.random() < 0.5 else (first, shared)
        return f"{first}-{second}"

    def _digits(self, count: int, alike: bool) -> str:
        low = 10 ** (count - 1)
        number = str(self.rng.randrange(low, 10 * low))
        if alike:
            shared = self.anchor.setdefault(f"digits{count}", number[: count // 2])
            number = shared + number[len(shared) :]
        return number

    def word_of(self, kind: str, alike: bool = False) -> str:
        kinds = self.phrasings["kinds"]
        if kind == "word_pair":
            return self._pair(alike)
        if kind == "word":
            return self.rng.choice(self.words)
        if kind in ("number", "code"):
            return self._digits(self.rng.choice(kinds[kind + "_digits"]), alike)
        return self.rng.choice(kinds[kind]) if kind != "none" else ""

    def free_key(self, family: dict, alike: bool = False) -> str | None:
        for _ in range(MAX_DRAWS):
            key = self.word_of(family["key"], alike)
            if (family["name"], key) not in self.used:
                self.used.add((family["name"], key))
                return key
        return None

    def fact(self, family: dict, alike: bool = False, values: int = 1) -> Fact | None:
        """None when every key of the family is taken."""
        key = self.free_key(family, alike)
        if key is None:
            return None
        return Fact(family, key, self._values(family, values, alike))

    def _values(self, family: dict, count: int, alike: bool) -> list[str]:
        values: list[str] = []
        while len(values) < count:
            value = self.word_of(family["value"], alike and self.rng.random() < 0.3)
            if value not in values:
                values.append(value)
        return values

    def correct(self, fact: Fact) -> str | None:
        """The statement of a new value, which `fact` then has; None where the family has none."""
        forms = self.phrasings["corrections"][self.split].get(fact.family["name"])
        if not forms:
            return None
        while (value := self.word_of(fact.family["value"])) in fact.values:
            pass
        fact.values.append(value)
        fact.corrected = True
        return self.rng.choice(forms).format(key=fact.key, value=value)

    def statement(self, fact: Fact, value: str, lead: bool = False) -> str:
        form = self.rng.choice(fact.family[self.split]["statements"])
        text = form.format(key=fact.key, value=value)
        leads = self.phrasings["statement_leads"][self.split]
        return led(self.rng.choice(leads), text) if lead else text[0].upper() + text[1:]

    def question(self, family: dict, key: str) -> str:
        form = self.rng.choice(family[self.split]["questions"])
        return self.rng.choice(self.phrasings["question_leads"][self.split]) + form.format(key=key)

    def answer(self, fact: Fact) -> str:
        form = self.rng.choice(fact.family["trained"]["answers"])
        return form.format(key=fact.key, value=fact.value)

    def several_keys(self, facts: list[Fact]) -> tuple[str, str]:
        """Question and answer about the values of all of `facts`."""
        forms, keys = self.phrasings["several"]["keys"], listed([f.key for f in facts])
        items = [forms["answer_item"].format(key=f.key, value=f.value) for f in facts]
        answer = f"{forms['answer_lead'].format(keys=keys)}: {', '.join(items)}."
        return self.rng.choice(forms[self.split]).format(keys=keys), answer

    def several_values(self, fact: Fact) -> tuple[str, str]:
        forms = self.phrasings["several"]["values"]
        lead = forms["answer_lead"].format(key=fact.key)
        question = self.rng.choice(forms[self.split]).format(key=fact.key)
        return question, f"{lead}: {', '.join(fact.values)}."

    def choice(self, name: str, split: str | None = None) -> str:
        """One of the sentences that a list of the phrasings has by split."""
        lists = self.phrasings[name]
        return self.rng.choice(lists.get(split or self.split, lists["trained"]))
