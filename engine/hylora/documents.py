"""Synthetic documents that need memory: needles in text, chats, tables, passages to repeat.

A document is token ids with a loss weight each. What is told (needle, user's turn, table row)
carries no weight: the model shall use it, not learn to say it. Replies carry ANSWER_WEIGHT.
"""

import random
from collections.abc import Callable

import numpy as np

from engine.hylora.corpus import ENDS_TEXT
from engine.hylora.facts import Fact, Maker
from engine.hylora.tokenizer import Tokenizer

ANSWER_WEIGHT, REPEAT_WEIGHT, PROSE_WEIGHT = 5.0, 1.5, 0.25
SHORTEST = 220  # tokens of a document
SHORTEST_PASSAGE = 24
UNTOLD_SHARE, CORRECTED_SHARE, ALIKE_SHARE = 0.15, 0.25, 0.5
END = "<|endoftext|>"


class Prose:
    """Passages of books that begin with a paragraph and end with a sentence."""

    def __init__(self, ids: np.ndarray, tokenizer: Tokenizer, rng: random.Random) -> None:
        self.ids, self.rng = ids, rng
        spaced, breaks = np.zeros(65536, bool), np.zeros(65536, bool)
        for spelling, i in tokenizer.ids.items():
            spaced[i], breaks[i] = spelling.startswith("Ġ"), "Ċ" in spelling
        self.breaks = breaks
        sentences = (ids[:-1] == tokenizer.ids["."]) & spaced[ids[1:]]
        self.begins_paragraph = np.append(False, breaks[ids[:-1]] & ~breaks[ids[1:]])
        self.paragraphs = np.flatnonzero(self.begins_paragraph)
        self.borders = np.flatnonzero(np.append(False, sentences) | self.begins_paragraph)

    def take(self, tokens: int) -> list[tuple[np.ndarray, bool]]:
        """Sentences, at most so many tokens in all (fewer where a book ends), each with whether
        it begins a paragraph."""
        fitting = int(np.searchsorted(self.paragraphs, len(self.ids) - tokens))
        begin = self.paragraphs[self.rng.randrange(max(1, fitting))]
        first, last = np.searchsorted(self.borders, [begin, begin + tokens + 1])
        cuts = self.borders[first:last]
        sentences = [
            (self.ids[a:b], bool(self.begins_paragraph[a])) for a, b in zip(cuts, cuts[1:])
        ]
        sentences = [s for s in sentences if not (s[0] == ENDS_TEXT).any()]
        if sentences:  # without the break that follows the last one
            ids, begins = sentences[-1]
            sentences[-1] = (ids[~self.breaks[ids]], begins)
        return sentences


class Draft:
    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.parts: list[tuple[np.ndarray | list[int], float]] = []
        self.length = 0

    def add(self, ids: np.ndarray | list[int], weight: float = 0.0) -> None:
        self.parts.append((ids, weight))
        self.length += len(ids)

    def say(self, text: str, weight: float = 0.0) -> None:
        """Text in which special tokens are spelled out."""
        self.add(self.tokenizer.encode_chat(text), weight)

    def reply(self, text: str, weight: float = ANSWER_WEIGHT) -> None:
        """Closes the user's turn, and the assistant's."""
        self.say("<|assistant|>\n")
        self.say(text + END, weight)


class Documents:
    """`make(budget)` gives a random document of at most about `budget` tokens."""

    def __init__(
        self,
        prose: Prose,
        tokenizer: Tokenizer,
        words: list[str],
        rng: random.Random,
        split: str = "trained",
    ) -> None:
        self.prose, self.tokenizer, self.words = prose, tokenizer, words
        self.rng, self.split = rng, split

    def make(self, budget: int) -> Draft:
        kinds: list[Callable[[int], Draft]] = [self.text, self.chat, self.table, self.repeat]
        kind = self.rng.choices(kinds, (45, 37, 11, 7))[0]
        return kind(budget)

    def _facts(self, maker: Maker, setting: str | None, most: int) -> list[Fact]:
        """1 to `most` facts, of one family or of several, alike or not."""
        rng = self.rng
        one = maker.family(setting) if rng.random() < 0.5 else None
        if setting == "text" and rng.random() < 0.4:
            one = maker.family(name="magic_number")
        alike = rng.random() < ALIKE_SHARE
        wanted = 1 + int(most * rng.random() ** 2)
        facts = (
            maker.fact(
                one or maker.family(setting), alike and rng.random() < 0.7, self._value_count(one)
            )
            for _ in range(wanted)
        )
        return [f for f in facts if f is not None] or [
            maker.fact(maker.family(name="magic_number"))
        ]

    def _value_count(self, family: dict | None) -> int:
        several = family is not None and family["name"] == "magic_number"
        return self.rng.choice((1, 1, 1, 1, 1, 2, 3, 4)) if several else 1

    def _tellings(self, maker: Maker, facts: list[Fact], lead: bool) -> list[str]:
        """All statements in an order in which corrections follow what they correct."""
        told = [maker.statement(f, v, lead) for f in facts for v in f.values]
        order = list(range(len(told)))
        self.rng.shuffle(order)
        told = [told[i] for i in order]
        values = [v for f in facts for v in f.values]
        for fact in facts:  # as they come in the text
            place = {v: order.index(values.index(v)) for v in fact.values}
            fact.values.sort(key=place.__getitem__)
        if self.rng.random() < CORRECTED_SHARE:
            single = [f for f in facts if len(f.values) == 1]
            for fact in self.rng.sample(single, (len(single) + 2) // 3):
                correction = maker.correct(fact)
                if correction:
                    told.append(correction)
        return told

    def _exchanges(self, maker: Maker, facts: list[Fact], most: int) -> list[tuple[str, str]]:
        asked = self.rng.sample(facts, min(len(facts), self.rng.randint(1, most)))
        return [self._exchange(maker, facts, fact) for fact in asked]

    def _exchange(self, maker: Maker, facts: list[Fact], fact: Fact) -> tuple[str, str]:
        """A question about `fact`, perhaps with others or none of them, and its answer."""
        rng = self.rng
        if rng.random() < UNTOLD_SHARE:
            family = fact.family if rng.random() < 0.7 else maker.family(fact.family["setting"])
            key = maker.free_key(family, alike=rng.random() < 0.5)
            if key:
                return maker.question(family, key), maker.phrasings["untold"]
        if len(fact.values) > 1 and not fact.corrected:
            return maker.several_values(fact)
        numbers = [
            f
            for f in facts
            if f.family["name"] == "magic_number" and (len(f.values) == 1 or f.corrected)
        ]
        if len(numbers) > 1 and rng.random() < 0.25:
            return maker.several_keys(rng.sample(numbers, min(len(numbers), rng.randint(2, 4))))
        return maker.question(fact.family, fact.key), maker.answer(fact)

    def scatter(self, draft: Draft, told: list[str], tokens: int) -> None:
        """Prose of about `tokens` tokens with statements between its sentences, in order."""
        sentences = self.prose.take(max(tokens, SHORTEST_PASSAGE))
        starts = [i for i, (_, begins) in enumerate(sentences) if begins]
        own = len(starts) > 1 and self.rng.random() < 0.5  # statements are paragraphs
        places = sorted(
            self.rng.choice(starts) if own else self.rng.randint(0, len(sentences)) for _ in told
        )
        waiting = list(zip(places, told))
        for i in range(len(sentences) + 1):
            while waiting and waiting[0][0] == i:
                statement = waiting.pop(0)[1]
                draft.add(self.tokenizer.encode(f"{statement}\n\n" if own else f" {statement}"))
            if i < len(sentences):
                draft.add(sentences[i][0], PROSE_WEIGHT)

    def text(self, budget: int) -> Draft:
        maker, draft = Maker(self.words, self.rng, self.split), Draft(self.tokenizer)
        facts = self._facts(maker, "text", max(1, min(24, budget // 60)))
        told = self._tellings(maker, facts, False)
        exchanges = self._exchanges(maker, facts, 6)
        draft.say(f"<|user|>\n{maker.choice('text_openings')}\n\n")
        tail = Draft(self.tokenizer)
        for i, (question, answer) in enumerate(exchanges):
            tail.say(("\n\n" if i == 0 else "<|user|>\n") + question)
            tail.reply(answer)
        room = budget - draft.length - tail.length
        room -= sum(len(self.tokenizer.encode(s)) + 2 for s in told)
        self.scatter(draft, told, room)
        for ids, weight in tail.parts:
            draft.add(ids, weight)
        return draft

    def chat(self, budget: int) -> Draft:
        maker, draft = Maker(self.words, self.rng, self.split), Draft(self.tokenizer)
        facts = self._facts(
            maker, "chat" if self.rng.random() < 0.8 else None, max(1, min(16, budget // 80))
        )
        told = self._tellings(maker, facts, True)
        exchanges = self._exchanges(maker, facts, 8)
        turns = [
            self._turn(("<|user|>\n" + s, maker.choice("acknowledgements"), 1.0)) for s in told
        ]
        asks = [self._turn(("<|user|>\n" + q, a, ANSWER_WEIGHT)) for q, a in exchanges]
        room = budget - sum(t.length for t in turns + asks)
        passages = self.rng.randint(1, 4)
        sizes = [room // passages] * passages if room > 60 * passages else []
        for size in sizes:
            turns.insert(self.rng.randint(0, len(turns)), self._passage(maker, size - 24))
        for turn in turns + asks:
            for ids, weight in turn.parts:
                draft.add(ids, weight)
        return draft

    def _turn(self, exchange: tuple[str, str, float]) -> Draft:
        draft = Draft(self.tokenizer)
        draft.say(exchange[0])
        draft.reply(exchange[1], exchange[2])
        return draft

    def _passage(self, maker: Maker, tokens: int) -> Draft:
        draft = Draft(self.tokenizer)
        draft.say(f"<|user|>\n{maker.choice('passage_openings')}\n")
        self.scatter(draft, [], tokens)
        draft.reply(maker.choice("passage_replies"), 1.0)
        return draft

    def table(self, budget: int) -> Draft:
        """Lines of records, and questions about their cells."""
        maker, draft, rng = Maker(self.words, self.rng, self.split), Draft(self.tokenizer), self.rng
        columns = rng.sample(["city", "job", "number", "weekday", "word"], rng.randint(1, 3))
        mark = rng.choice([" | ", ", ", "; ", ": "])
        kind = rng.choice(["person", "word_pair", "object"])
        rows, draft_length = {}, 0
        draft.say("<|user|>\nHere is a list of " + ", ".join(["name", *columns]) + ".\n\n")
        while draft_length < budget * rng.uniform(0.5, 0.8) and len(rows) < 30:
            name = maker.word_of(kind)
            cells = [maker.word_of(c) for c in columns]
            if rows.setdefault(name, cells) is cells:
                draft.say(mark.join([name, *cells]) + "\n")
                draft_length = draft.length
        for i in range(rng.randint(1, 6)):
            name, column = rng.choice(list(rows)), rng.randrange(len(columns))
            answer = f"The {columns[column]} of {name} is {rows[name][column]}."
            if rng.random() < UNTOLD_SHARE and (other := maker.word_of(kind)) not in rows:
                name, answer = other, maker.phrasings["untold"]
            draft.say(
                ("\n" if i == 0 else "<|user|>\n") + f"What is the {columns[column]} of {name}?"
            )
            draft.reply(answer)
        return draft

    def repeat(self, budget: int) -> Draft:
        draft = Draft(self.tokenizer)
        passage = self.prose.take(
            self.rng.randint(SHORTEST_PASSAGE, max(32, min(400, budget // 2)))
        )
        ids = np.concatenate([s for s, _ in passage]) if passage else np.array([], np.uint16)
        draft.say("<|user|>\nRepeat this text:\n")
        draft.add(ids, PROSE_WEIGHT)
        draft.say("<|assistant|>\n")
        draft.add(ids, REPEAT_WEIGHT)
        draft.say(END, REPEAT_WEIGHT)
        return draft

    def row(self, tokens: int) -> tuple[np.ndarray, np.ndarray]:
        """Documents packed into exactly `tokens` ids with their weights (the last is cut)."""
        ids, weights, length = [], [], 0
        while length < tokens:
            room = tokens - length
            budget = room if room < 2 * SHORTEST else self.rng.randint(SHORTEST, room)
            draft = self.make(budget)
            for part, weight in draft.parts:
                ids.append(np.asarray(part, np.int64))
                weights.append(np.full(len(part), weight, np.float32))
            length += draft.length
        return np.concatenate(ids)[:tokens], np.concatenate(weights)[:tokens]
