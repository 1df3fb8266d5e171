"""Facts told in a long text, and the questions about them: what `recall` asks."""

from dataclasses import dataclass

import numpy as np

from engine.hylora.documents import Documents, Draft
from engine.hylora.facts import Fact, Maker

# Questions of a kind in a text of FULL_LENGTH tokens or more; fewer in shorter ones.
COUNTS = {
    "number": 24,
    "alike": 24,
    "other": 24,
    "corrected": 12,
    "several_keys": 12,
    "several_values": 8,
    "untold": 16,
}
CHAT_COUNTS = {"chat": 32, "chat_corrected": 12, "chat_untold": 16}
FULL_LENGTH = 16_000


@dataclass
class Question:
    kind: str
    prompt: str
    values: list[str]  # all must be in the answer
    wrong: list[str]  # none of these may be


def is_right(answer: str, question: Question) -> bool:
    return all(value in answer for value in question.values) and not any(
        value in answer for value in question.wrong
    )


class Quiz:
    """A text of `tokens` tokens with facts, and the questions about them.

    split: "trained" or "held_out" sentences; "plain" for the two forms that the first demo model
    was trained on, a needle's answer begun for it.
    """

    def __init__(self, documents: Documents, tokens: int, split: str, chat: bool) -> None:
        self.documents, self.tokens, self.split, self.chat = documents, tokens, split, chat
        self.rng = documents.rng
        self.maker = Maker(documents.words, self.rng, "trained" if split == "plain" else split)
        self.told: list[str] = []
        self.late: list[str] = []
        self.questions: list[Question] = []
        share = min(1.0, tokens / FULL_LENGTH)
        if split == "plain":
            self._plain(max(2, int((48 if chat else 64) * share)))
        else:
            for kind, count in (CHAT_COUNTS if chat else COUNTS).items():
                self._kind(kind, max(1, int(count * share)))
            self.rng.shuffle(self.told)

    def _ask(self, kind: str, question: str, values: list[str], wrong: list[str] = ()) -> None:
        opening = "<|user|>\n" if self.chat else "\n\n"
        prompt = f"{opening}{question}<|assistant|>\n"
        self.questions.append(Question(kind, prompt, values, list(wrong)))

    def _tell(self, fact: Fact) -> Fact:
        self.told += [self.maker.statement(fact, v, self.chat) for v in fact.values]
        return fact

    def _kind(self, kind: str, count: int) -> None:
        setting = "chat" if self.chat else "text"
        for _ in range(count):
            if kind.endswith("corrected"):
                self._corrected(kind, setting)
            elif kind.endswith("untold"):
                family = self.maker.family(setting)
                if key := self.maker.free_key(family):
                    self._ask(kind, self.maker.question(family, key), ["not told"])
            elif kind in ("chat", "other"):
                self._single(kind, self.maker.fact(self.maker.family(setting)))
            else:
                self._numbers(kind, self.maker.family(name="magic_number"))

    def _single(self, kind: str, fact: Fact | None) -> None:
        if fact is not None:
            self._tell(fact)
            self._ask(kind, self.maker.question(fact.family, fact.key), [fact.value])

    def _numbers(self, kind: str, family: dict) -> None:
        if kind == "several_keys":
            facts = [self._tell(self.maker.fact(family, alike=True)) for _ in range(4)]
            self._ask(kind, self.maker.several_keys(facts)[0], [f.value for f in facts])
        elif kind == "several_values":
            fact = self._tell(self.maker.fact(family, values=4))
            self._ask(kind, self.maker.several_values(fact)[0], fact.values)
        else:
            self._single(kind, self.maker.fact(family, alike=kind == "alike"))

    def _corrected(self, kind: str, setting: str) -> None:
        correctable = self.maker.phrasings["corrections"]["trained"]
        fitting = [
            f for f in self.maker.families if f["name"] in correctable and f["setting"] == setting
        ]
        fact = self.maker.fact(self.rng.choice(fitting))
        if fact is None:
            return
        self._tell(fact)
        self.late.append(self.maker.correct(fact))
        question = self.maker.question(fact.family, fact.key)
        self._ask(kind, question, [fact.value], fact.values[:-1])

    def _plain(self, count: int) -> None:
        for i in range(count):
            name = ("relation_name", "relation_city")[i % 2] if self.chat else "magic_number"
            family = self.maker.family(name=name)
            fact = self.maker.fact(family)
            if fact is None:
                continue
            forms = {
                n: family["trained"][n][0].format(key=fact.key, value=fact.value)
                for n in ("statements", "questions", "answers")
            }
            self.told.append(forms["statements"])
            self._ask("plain_chat" if self.chat else "plain", forms["questions"], [fact.value])
            if not self.chat:
                self.questions[-1].prompt += forms["answers"][: -len(fact.value) - 1]

    def ids(self) -> np.ndarray:
        """The text; corrections stand in its second half."""
        documents, draft = self.documents, Draft(self.documents.tokenizer)
        halves = [self.told, self.late] if self.late else [self.told]
        draft.say(
            "<|user|>\n"
            + self.maker.choice("passage_openings" if self.chat else "text_openings")
            + ("\n" if self.chat else "\n\n")
        )
        for statements in halves:
            self._half(documents, draft, statements, self.tokens // len(halves))
        if self.chat:
            draft.reply(self.maker.choice("passage_replies"))
        return np.concatenate([np.asarray(part, np.int64) for part, _ in draft.parts])

    def _half(self, documents: Documents, draft: Draft, statements: list[str], tokens: int) -> None:
        if not self.chat:
            room = tokens - sum(len(documents.tokenizer.encode(s)) + 2 for s in statements)
            documents.scatter(draft, statements, room)
            return
        each = tokens // (len(statements) + 1)
        for statement in statements:
            documents.scatter(draft, [], max(24, each - 60))
            draft.reply(self.maker.choice("passage_replies"))
            draft.say("<|user|>\n" + statement)
            draft.reply(self.maker.choice("acknowledgements"))
            draft.say("<|user|>\n" + self.maker.choice("passage_openings") + "\n")
        documents.scatter(draft, [], max(24, each - 60))
