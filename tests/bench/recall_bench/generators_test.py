"""The texts: every question has one right answer, which the text tells, and they are as long as
asked."""

import random
import re
import unittest
from pathlib import Path

from tests.bench.recall_bench import aggregate, words
from tests.bench.recall_bench.chat import Chat
from tests.bench.recall_bench.haystack import Book, Noise, Piece, weave
from tests.bench.recall_bench.needles import GROUP, Needles
from tests.bench.recall_bench.phrasings import HELD_OUT, SETS, TRAINED, Phrasings, fill
from tests.bench.recall_bench.scoring import score

PHRASINGS = Phrasings.load(Path(__file__).parent / "demo_phrasings.json")
CHAT_FAMILIES = ("relation_name", "relation_city")


def count(text):
    """A token is a word or a mark: near enough to a tokenizer's, and to be checked by hand."""
    return len(re.findall(r"\w+|[^\w\s]", text))


def some_book(paragraphs=400):
    rng = random.Random(3)
    vocabulary = ["".join(rng.choices("abcdefghijklmnop", k=rng.randint(4, 8))) for _ in range(900)]
    return "\n\n".join(
        " ".join(rng.choices(vocabulary, k=rng.randint(20, 120))).capitalize() + "."
        for _ in range(paragraphs)
    )


BOOK = Book(some_book())


def needles(shape, background=BOOK, lead=False):
    return Needles(shape, shape, background, PHRASINGS, answer_lead=lead)


def all_tasks():
    return [
        Needles("passkey", "single", Noise, PHRASINGS),
        *(needles(shape) for shape in ("single", "multikey", "multivalue", "multiquery")),
        Chat(BOOK, PHRASINGS, CHAT_FAMILIES),
        aggregate.VariableTracking(),
        aggregate.CommonWords(BOOK),
        aggregate.FrequentWords(),
    ]


def make(task, length, seed=1):
    return task.make(length, count, random.Random(seed))


def text_of(haystack):
    return "".join(piece.text for piece in haystack.pieces)


class EveryTask(unittest.TestCase):
    def test_is_about_as_long_as_asked(self):
        for task in all_tasks():
            for length in (2048, 16384, 100_000):
                with self.subTest(task=task.name, length=length):
                    self.assertAlmostEqual(
                        count(text_of(make(task, length))), length, delta=0.04 * length + 64
                    )

    def test_gives_the_questions_that_it_promises(self):
        for task in all_tasks():
            for length in (2048, 16384):
                with self.subTest(task=task.name, length=length):
                    asked = [q.phrasing for q in make(task, length).questions]
                    for phrasing in set(asked):
                        self.assertGreaterEqual(
                            asked.count(phrasing), task.questions_of_a_set(length)
                        )

    def test_is_the_same_again_and_another_with_another_seed(self):
        for task in all_tasks():
            with self.subTest(task=task.name):
                self.assertEqual(make(task, 2048), make(task, 2048))
                self.assertNotEqual(make(task, 2048), make(task, 2048, seed=2))

    def test_tells_every_expected_value(self):
        for task in all_tasks():
            haystack = make(task, 8192)
            told = text_of(haystack)
            for question in haystack.questions:
                for value in question.expected:
                    with self.subTest(task=task.name, value=value):
                        self.assertRegex(told, rf"(?<!\w){value}(?!\w)")

    def test_a_question_has_one_right_answer(self):
        for task in all_tasks():
            for question in make(task, 8192).questions:
                with self.subTest(task=task.name, question=question.prompt):
                    self.assertEqual(score(", ".join(question.expected) + ".", question), 1)
                    self.assertEqual(score("I was not told.", question), 0)
                    self.assertFalse(set(question.expected) & question.rivals)
                    for rival in question.rivals:
                        self.assertEqual(score(f"It is {rival}.", question), 0)

    def test_text_can_not_pose_as_a_turn(self):
        book = Book("He: <|user|>\nWhat?<|assistant|>\nThis.\n\n" * 50)
        haystack = make(needles("single", book), 4096)
        for piece in haystack.pieces:
            self.assertFalse(piece.special and "What?" in piece.text)


class NeedlesTest(unittest.TestCase):
    def tellings(self, haystack):
        """key -> values, by the statements of both sets of phrasings."""
        family = PHRASINGS.family("magic_number")
        told = {}
        for statement in family.statements[TRAINED] + family.statements[HELD_OUT]:
            pattern = re.escape(statement).replace(r"\{key\}", r"([a-z-]+)")
            pattern = pattern.replace(r"\{value\}", r"(\d{7})")
            for key, value in re.findall(pattern, text_of(haystack)):
                told.setdefault(key, []).append(value)
        return told

    def test_each_needle_is_told_once(self):
        for shape in ("single", "multikey", "multiquery"):
            haystack = make(needles(shape), 16384)
            told = self.tellings(haystack)
            with self.subTest(shape=shape):
                self.assertTrue(all(len(values) == 1 for values in told.values()))
                values = [value for values in told.values() for value in values]
                self.assertEqual(len(set(values)), len(values))
                for question in haystack.questions:
                    asked = re.findall(r"[a-z]+-[a-z]+", question.prompt)
                    self.assertEqual(sorted(question.expected), sorted(told[k][0] for k in asked))

    def test_single_keys_share_no_word(self):
        told = self.tellings(make(needles("single"), 16384))
        parts = [word for key in told for word in key.split("-")]
        self.assertEqual(len(parts), len(set(parts)))

    def test_multivalue_asks_for_all_values_of_a_key(self):
        haystack = make(needles("multivalue"), 16384)
        told = self.tellings(haystack)
        for question in haystack.questions:
            (key,) = re.findall(r"[a-z]+-[a-z]+", question.prompt)
            self.assertEqual(sorted(question.expected), sorted(told[key]))
            self.assertEqual(len(question.expected), GROUP)

    def test_both_sets_of_phrasings_are_asked_in_their_own_words(self):
        family = PHRASINGS.family("magic_number")
        for question in make(needles("single"), 8192).questions:
            key = re.search(r"[a-z]+-[a-z]+", question.prompt).group()
            asked = question.prompt.removesuffix("<|assistant|>\n")
            self.assertIn(asked, [fill(t, key=key) for t in family.questions[question.phrasing]])

    def test_one_set_alone_gets_all_questions(self):
        for task in (
            Needles("single", "single", BOOK, PHRASINGS, (TRAINED,)),
            Chat(BOOK, PHRASINGS, CHAT_FAMILIES, (TRAINED,)),
        ):
            asked = make(task, 16384).questions
            self.assertEqual({q.phrasing for q in asked}, {TRAINED})
            self.assertEqual(len(asked), task.questions_of_a_set(16384))

    def test_an_answer_lead_tells_no_value(self):
        for question in make(needles("single", lead=True), 8192).questions:
            lead = question.prompt.partition("<|assistant|>\n")[2]
            self.assertEqual(lead.endswith(" is:"), question.phrasing == TRAINED)
            self.assertNotIn(question.expected[0], question.prompt)

    def test_a_text_that_names_every_key_is_refused(self):
        every = " ".join(f"{a}-{b}" for a in words.FIRST for b in words.SECOND)
        with self.assertRaises(words.TooFull):
            make(needles("single", Book(every)), 8192)


class ChatTest(unittest.TestCase):
    def test_facts_are_turns_of_their_own_and_no_key_has_two(self):
        haystack = make(Chat(BOOK, PHRASINGS, CHAT_FAMILIES), 16384)
        text = text_of(haystack)
        names = re.findall(r"<\|user\|>\nMy (\w+)'s name is (\w+)\.<\|assistant\|>", text)
        self.assertGreater(len(names), 4)
        self.assertEqual(len({key for key, _ in names}), len(names))
        self.assertEqual(len({value for _, value in names}), len(names))
        self.assertEqual({q.phrasing for q in haystack.questions}, set(SETS))

    def test_turns_are_whole(self):
        text = text_of(make(Chat(BOOK, PHRASINGS, CHAT_FAMILIES), 16384))
        turns = re.findall(r"<\|user\|>|<\|assistant\|>|<\|endoftext\|>", text)
        turn = ["<|user|>", "<|assistant|>", "<|endoftext|>"]
        self.assertEqual(turns[:-1], turn * (len(turns) // 3))
        self.assertEqual(turns[-1], "<|user|>")


class AggregateTest(unittest.TestCase):
    def test_chains_lead_from_the_number_to_the_expected_variables(self):
        haystack = make(aggregate.VariableTracking(), 8192)
        holds = {}
        for name, value in re.findall(r"VAR (\w+) = (?:VAR )?(\w+)\n", text_of(haystack)):
            holds[name] = holds.get(value, value)  # told after what it refers to
        for question in haystack.questions:
            value = re.search(r"\d{5}", question.prompt).group()
            self.assertEqual(
                set(question.expected), {name for name, held in holds.items() if held == value}
            )

    def test_common_words_stand_far_more_often_than_any_other(self):
        for length in (2048, 16384, 200_000):
            haystack = make(aggregate.CommonWords(BOOK), length)
            (question,) = haystack.questions
            listed = re.findall(r"\d+\. (\w+)", haystack.pieces[-1].text)
            often = [listed.count(word) for word in question.expected]
            rest = max(listed.count(word) for word in question.rivals)
            with self.subTest(length=length):
                self.assertGreaterEqual(min(often), 10 * rest)

    def test_frequent_words_are_the_three_first(self):
        haystack = make(aggregate.FrequentWords(), 8192)
        (question,) = haystack.questions
        coded = haystack.pieces[-1].text.split()
        ranked = sorted(set(coded) - {"..."}, key=coded.count, reverse=True)
        self.assertEqual(set(ranked[:3]), set(question.expected))
        self.assertGreater(coded.count(ranked[2]), coded.count(ranked[3]))


class WeaveTest(unittest.TestCase):
    def test_keeps_the_order_and_spreads(self):
        paragraphs = [f"p{i} " for i in range(100)]
        tellings = [Piece(f"T{i} ") for i in range(10)]
        text = "".join(p.text for p in weave(paragraphs, tellings, random.Random(1))).split()
        self.assertEqual([w for w in text if w[0] == "p"], [p.strip() for p in paragraphs])
        self.assertEqual([w for w in text if w[0] == "T"], [t.text.strip() for t in tellings])
        for i in range(10):
            self.assertTrue(10 * i <= text.index(f"T{i}") - i <= 10 * i + 10)

    def test_more_tellings_than_paragraphs_share_places(self):
        pieces = weave(["a", "b"], [Piece(str(i)) for i in range(5)], random.Random(1))
        text = "".join(p.text for p in pieces)
        self.assertEqual(re.sub(r"\d", "", text), "ab")
        self.assertEqual(re.sub(r"\D", "", text), "01234")


if __name__ == "__main__":
    unittest.main()
