"""The sentences in which facts are told and asked, from a phrasings.json (engine/hylora's form).

Values are immutable; a file that does not fit is refused with a ValueError that names the place.
"""

import json
from dataclasses import dataclass

TRAINED, HELD_OUT = "trained", "held_out"
SETS = (TRAINED, HELD_OUT)


def fill(template, **values):
    """`template` with each {name} replaced; other braces stay."""
    for name, value in values.items():
        template = template.replace("{" + name + "}", value)
    return template


@dataclass(frozen=True)
class Family:
    """Facts of one kind: each of a set's statements can be asked by each of its questions."""

    name: str
    key: str  # the kinds of words that stand for {key} and {value}
    value: str
    statements: dict  # set -> sentences
    questions: dict
    answer: str = ""  # the first reply trained

    def answer_lead(self, key):
        """How that reply begins, up to its value."""
        return fill(self.answer, key=key).partition("{value}")[0].rstrip()


class Phrasings:
    def __init__(self, data):
        try:
            self._families = {f["name"]: self._family(f) for f in data["families"]}
            self._several = data["several"]
            self._openings = data["text_openings"]
            self._passages = data["passage_openings"]
            self.passage_replies = data["passage_replies"][TRAINED]
            self.acknowledgements = data["acknowledgements"][TRAINED]
            self._kinds = data["kinds"]
        except (KeyError, TypeError) as error:
            raise ValueError(f"phrasings: {error} is missing or of another form") from error

    @classmethod
    def load(cls, path):
        with open(path, encoding="utf-8") as file:
            return cls(json.load(file))

    @staticmethod
    def _family(data):
        sets = [name for name in SETS if name in data]
        return Family(
            name=data["name"],
            key=data["key"],
            value=data["value"],
            statements={name: data[name]["statements"] for name in sets},
            questions={name: data[name]["questions"] for name in sets},
            answer=data[TRAINED].get("answers", [""])[0],
        )

    def family(self, name):
        if name not in self._families:
            known = ", ".join(sorted(self._families))
            raise ValueError(f"phrasings: there is no family {name}; there are {known}")
        return self._families[name]

    def kind(self, name):
        """Words of a kind."""
        return self._kinds[name]

    def several(self, what, phrasing):
        """Questions for several values: `what` is "keys" or "values"."""
        return self._several[what][phrasing]

    def text_openings(self, phrasing):
        return self._openings[phrasing]

    def passage_openings(self, phrasing):
        return self._passages[phrasing]
