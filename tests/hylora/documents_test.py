"""What a model is trained on: the server's tokens, true answers, and no test's sentences."""

import json
import lzma
import random
import sys
import unicodedata
import unittest
from pathlib import Path

import numpy as np

from engine.hylora import corpus
from engine.hylora.batches import Source
from engine.hylora.documents import ANSWER_WEIGHT, Documents, Prose
from engine.hylora.facts import read_phrasings
from engine.hylora.tokenizer import Tokenizer

SCRATCH = Path(sys.argv[1])
MODEL, BOOK = Path("engine/model/demo"), Path("deploy/book/she.txt.xz")
CONFORMANCE = Path("tests/conformance/tokenizer")
DOCUMENTS = 150


class TokenizerTest(unittest.TestCase):
    def test_gives_the_ids_of_the_servers_conformance_test(self) -> None:
        document = json.loads((CONFORMANCE / "qwen2/tokenizer.json").read_text())
        document["normalizer"] = None  # so lines that it would change are left out below
        (SCRATCH / "tokenizer.json").write_text(json.dumps(document))
        tokenizer, compared = Tokenizer(SCRATCH), 0
        lines = (CONFORMANCE / "lines.jsonl").read_text().split("\n")
        for line, wanted in zip(lines, (CONFORMANCE / "qwen2/ids.txt").read_text().split("\n")):
            text = json.loads(line) if line else ""
            changed = unicodedata.normalize("NFC", text) != text
            added = any(spelling in text for spelling in tokenizer.special)
            if changed or added or "=" not in wanted:
                continue
            compared += 1
            ids = [int(i) for i in wanted.split("=")[1].split()]
            self.assertEqual(tokenizer.encode(text), ids, repr(text))
            self.assertEqual(tokenizer.decode(ids), text)
        self.assertGreater(compared, 400)


class DocumentsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.tokenizer = Tokenizer(MODEL)
        text = lzma.open(BOOK, "rt", encoding="utf-8").read()
        cls.ids = corpus.tokenize([text[:150_000]], cls.tokenizer)
        cls.words = corpus.words_of(cls.ids, cls.tokenizer)

    def documents(self, seed: int, split: str = "trained") -> Documents:
        rng = random.Random(seed)
        prose = Prose(self.ids, self.tokenizer, rng)
        return Documents(prose, self.tokenizer, self.words, rng, split)

    def text(self, parts: list) -> str:
        return self.tokenizer.decode([int(i) for part, _ in parts for i in part])

    def test_answers_tell_what_was_told(self) -> None:
        kinds, documents = set(), self.documents(1)
        for _ in range(DOCUMENTS):
            draft = documents.make(600)
            for i, (ids, weight) in enumerate(draft.parts):
                if weight != ANSWER_WEIGHT:
                    continue
                answer = self.tokenizer.decode(list(map(int, ids))).removesuffix("<|endoftext|>")
                before = self.text(draft.parts[:i])
                untold = answer == "I was not told."
                kinds.add(untold)
                for digits in filter(
                    str.isdigit, answer.replace(",", " ").replace(".", " ").split()
                ):
                    self.assertIn(digits, before, answer)
        self.assertEqual(kinds, {True, False})

    def test_what_is_told_carries_no_weight(self) -> None:
        documents = self.documents(2)
        for _ in range(DOCUMENTS):
            for ids, weight in documents.make(600).parts:
                text = self.tokenizer.decode(list(map(int, ids)))
                if "special magic" in text and "mentioned" not in text:
                    self.assertIn(weight, (0, ANSWER_WEIGHT), text)

    def test_held_out_sentences_are_in_no_training(self) -> None:
        phrasings = read_phrasings()
        for family in phrasings["families"]:
            for part in ("statements", "questions"):
                trained, held_out = (set(family[s][part]) for s in ("trained", "held_out"))
                self.assertFalse(trained & held_out, family["name"])
                self.assertTrue(held_out, family["name"])
        documents = self.documents(3)
        said = " ".join(self.text(documents.make(600).parts) for _ in range(DOCUMENTS))
        for opening in phrasings["text_openings"]["held_out"]:
            self.assertNotIn(opening, said)
        for lead in phrasings["question_leads"]["held_out"]:
            self.assertNotIn(f"\n{lead}", said)

    def test_a_seed_and_a_step_give_a_batch(self) -> None:
        one, same, other = (Source(self.ids, self.tokenizer, seed, 2, 2, 512) for seed in (7, 7, 8))
        for step in (3, 0):
            a, b, c = (s.batch(step, s.synthetic(step)) for s in (one, same, other))
            np.testing.assert_array_equal(a.ids, b.ids)
            np.testing.assert_array_equal(a.weights, b.weights)
            self.assertFalse(np.array_equal(a.ids, c.ids))

    def test_books_go_on_where_the_row_ended(self) -> None:
        source = Source(self.ids, self.tokenizer, 1, 3, 0, 128)
        first, then = source.batch(0, None), source.batch(1, None)
        np.testing.assert_array_equal(first.targets[:, -1], then.ids[:, 0])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
