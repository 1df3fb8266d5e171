"""Scores, intervals, summaries, and files that a stopped run goes on with."""

import json
import math
import os
import tempfile
import unittest

from tests.bench.recall_bench import (
    asking,
    intervals,
    options,
    progress,
    results,
    settings,
    summary,
)
from tests.bench.recall_bench.haystack import Question
from tests.bench.recall_bench.scoring import score


def question(*expected, rivals=()):
    return Question("?", expected, frozenset(rivals), "trained")


class Scoring(unittest.TestCase):
    def test_one_value_must_stand_alone_of_its_kind(self):
        asked = question("1234567", rivals={"7654321"})
        self.assertEqual(score("The number is: 1234567.", asked), 1)
        self.assertEqual(score("1234567 or 7654321", asked), 0)
        self.assertEqual(score("12345678", asked), 0)
        self.assertEqual(score("", asked), 0)

    def test_names_count_as_words_whatever_their_case(self):
        asked = question("Sam", rivals={"Ann"})
        self.assertEqual(score("Your dog is called SAM.", asked), 1)
        self.assertEqual(score("The same.", asked), 0)

    def test_several_values_count_by_their_share(self):
        self.assertEqual(score("a1, then b2", question("a1", "b2", "c3", "d4")), 0.5)


class Intervals(unittest.TestCase):
    def test_t_is_students(self):
        # Tables: 12.706, 4.303, 3.182, 2.228, 2.042.
        for degrees, quantile in ((1, 12.706), (2, 4.303), (3, 3.182), (10, 2.228), (30, 2.042)):
            self.assertAlmostEqual(intervals.t_quantile(degrees), quantile, delta=0.001)

    def test_by_hand(self):
        # Four haystacks of two: sums less the mean of 5/8 are 0.75, 0.75, -0.25, -1.25, their
        # squares 2.75 in all; v = 4/3 * 2.75 / 64.
        clusters = [[1, 1], [1, 1], [1, 0], [0, 0]]
        mean, variance = intervals.mean_and_variance(clusters)
        self.assertEqual(mean, 0.625)
        self.assertAlmostEqual(variance, 4 / 3 * 2.75 / 64)
        _, low, high = intervals.interval(clusters)
        self.assertAlmostEqual(high - mean, 3.1824 * math.sqrt(variance), places=4)
        self.assertAlmostEqual(mean - low, high - mean)

    def test_wilson_by_hand(self):
        # The same: effectively 0.625 * 0.375 / v = 4.0909 questions, times (1.95996 / 3.18245)^2.
        _, low, high = intervals.share_interval([[1, 1], [1, 1], [1, 0], [0, 0]])
        n, z, m = 4.0909 * (1.959964 / 3.182446) ** 2, 1.959964, 0.625
        middle = (m + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(m * (1 - m) / n + (z / (2 * n)) ** 2)
        self.assertAlmostEqual(low, middle - half, places=4)
        self.assertAlmostEqual(high, middle + half, places=4)

    def test_all_right_is_not_certain(self):
        mean, low, high = intervals.share_interval([[1] * 50] * 8)
        self.assertEqual((mean, high), (1, 1))
        self.assertLess(low, 0.99)
        self.assertGreater(low, 0.95)

    def test_haystacks_that_differ_widen_the_interval(self):
        mixed = [[1, 0] * 10] * 4
        split = [[1] * 20, [0] * 20, [1] * 20, [0] * 20]
        self.assertLess(intervals.share_interval(split)[1], intervals.share_interval(mixed)[1])

    def test_one_haystack_has_no_interval(self):
        self.assertEqual(intervals.share_interval([[1, 0]]), (0.5, None, None))


def line(haystack, **answers):
    return {
        "type": "haystack",
        "task": "single",
        "length": 2048,
        "tokens": 2050,
        "haystack": haystack,
        "phrasings": ["trained", "held_out"],
        "answers": answers,
    }


class Summary(unittest.TestCase):
    LINES = [
        {"type": "run", "settings": ["exact", "two_stage"]},
        line(
            0,
            exact={"scores": [1, 1], "seconds": 1, "tokens": 10, "read_bytes": 1000},
            two_stage={
                "scores": [1, 0], "seconds": 1, "tokens": 5, "read_bytes": 50, "choices": 4,
                "candidates": 400, "proven": 1, "blocks_found": 30, "blocks_wanted": 32,
            },
            pooled={"refused": "INVALID_ARGUMENT: no"},
        ),
        line(
            1,
            exact={"scores": [0, 1], "seconds": 1, "tokens": 10, "read_bytes": 1000},
            two_stage={"scores": [1, 1], "seconds": 1, "tokens": 5, "read_bytes": 50},
        ),
        {
            "type": "slice", "task": "perplexity", "length": 2048, "haystack": 0, "tokens": 2048,
            "answers": {"full": {"nats_a_token": 3.0, "scored_tokens": 10, "seconds": 1}},
        },
    ]  # fmt: skip

    def cell(self, **wanted):
        cells = summary.cells_of(self.LINES)
        (found,) = [c for c in cells if all(c.get(k) == v for k, v in wanted.items())]
        return found

    def test_recall_of_each_set_of_phrasings(self):
        cell = self.cell(type="recall", settings="exact", phrasings="trained")
        self.assertEqual((cell["recall"], cell["questions"], cell["haystacks"]), (0.5, 2, 2))
        self.assertEqual(
            self.cell(type="recall", settings="two_stage", phrasings="held_out")["recall"], 0.5
        )

    def test_difference_to_brute_force(self):
        cell = self.cell(type="difference", phrasings="trained")
        self.assertEqual((cell["points"], cell["bytes_share"]), (50.0, 0.1))
        self.assertEqual(self.cell(type="difference", phrasings="held_out")["points"], -50.0)

    def test_choices(self):
        cell = self.cell(type="choice", settings="two_stage")
        self.assertEqual(cell["hit_share"], 0.9375)
        self.assertEqual(cell["candidate_blocks_a_choice"], 100.0)
        self.assertEqual(cell["read_bytes_a_token"], 10)

    def test_perplexity(self):
        self.assertEqual(self.cell(type="perplexity")["perplexity"], round(math.exp(3), 3))

    def test_the_report_names_every_cell(self):
        text = summary.report(self.LINES)
        for word in ("single", "2k", "held_out", "two_stage", "20.09", "+50.00", "10.0 %"):
            self.assertIn(word, text)
        self.assertNotIn("pooled", text)


class Resuming(unittest.TestCase):
    RUN = {"seed": 1, "settings": ["exact"]}

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "results.jsonl")

    def test_finished_haystacks_are_known_to_the_next_run(self):
        results.Results(self.path, self.RUN).add(line(3))
        again = results.Results(self.path, self.RUN)
        self.assertTrue(again.is_done("single", 2048, 3))
        self.assertFalse(again.is_done("single", 2048, 4))
        self.assertFalse(again.is_done("single", 4096, 3))

    def test_a_line_that_was_cut_is_measured_again(self):
        first = results.Results(self.path, self.RUN)
        first.add(line(0))
        first.add(line(1))
        with open(self.path, "r+", encoding="utf-8") as file:
            file.truncate(os.path.getsize(self.path) - 9)
        again = results.Results(self.path, self.RUN)
        self.assertTrue(again.is_done("single", 2048, 0))
        self.assertFalse(again.is_done("single", 2048, 1))
        again.add(line(1))
        self.assertEqual([entry.get("haystack") for entry in results.load(self.path)], [None, 0, 1])

    def test_another_run_is_refused(self):
        results.Results(self.path, self.RUN)
        with self.assertRaisesRegex(results.OtherRun, "seed"):
            results.Results(self.path, {**self.RUN, "seed": 2})

    def test_lines_are_json(self):
        results.Results(self.path, self.RUN).add(line(0))
        with open(self.path, encoding="utf-8") as file:
            self.assertEqual([json.loads(entry)["type"] for entry in file], ["run", "haystack"])


class Options(unittest.TestCase):
    def test_lengths(self):
        self.assertEqual(options.parse_length("16k"), 16384)
        self.assertEqual(options.parse_length("1M"), 1 << 20)
        self.assertEqual(summary.short_length(64 << 20), "64M")
        for wrong in ("", "k", "-2k", "2x", "512"):
            with self.assertRaises(Exception):
                options.parse_length(wrong)

    def test_settings(self):
        self.assertEqual(settings.parse("exact/4")["span_blocks"], 4)
        self.assertNotIn("rule", settings.parse("window"))
        for wrong in ("", "best", "exact/", "exact/x", "full/2"):
            with self.assertRaises(ValueError):
                settings.parse(wrong)

    def test_every_set_of_phrasings_gets_its_questions(self):
        class Task:
            @staticmethod
            def questions_of_a_set(length):
                return length // 1024

        self.assertEqual(asking.haystacks_of(Task, 2048, 400, 4), 200)
        self.assertEqual(asking.haystacks_of(Task, 1 << 20, 400, 4), 4)

    def test_hits_are_of_brute_forces_blocks(self):
        answers = [{"blocks": [1, 2, 3]}, {"blocks": [9]}]
        self.assertEqual(
            asking.hits_of(answers, [[2, 3, 4], [8]]), {"blocks_found": 2, "blocks_wanted": 4}
        )
        self.assertEqual(asking.hits_of(answers, None), {})

    def test_the_bar_tells_the_rest_of_what_was_not_done_before(self):
        self.assertIn(" 50%  4/8  ETA 0:20", progress.bar(4, 8, elapsed=10, already=2))
        self.assertIn("ETA -", progress.bar(2, 8, elapsed=1, already=2))


if __name__ == "__main__":
    unittest.main()
