"""Reading haystacks, asking them under each of the settings, and writing down what came out."""

import math
import random

from tests.bench.recall_bench import settings
from tests.bench.recall_bench.scoring import score
from tests.bench.recall_bench.server import CallError

# Tokens of the haystacks that are read at once, and their number at most.
BATCH_TOKENS = 1 << 21
BATCH_HAYSTACKS = 16
PARALLEL_QUESTIONS = 64
# Up to here retrieval while reading costs little; what is found afterwards does not depend on it.
MAX_TOKENS_READ_WITH_RETRIEVAL = 1 << 18
WRONG_SHOWN = 2  # wrong answers of the default rule that a line shows, of each set of phrasings


def haystacks_of(task, length, questions, least):
    """How many haystacks give each set of phrasings so many questions."""
    return max(least, math.ceil(questions / task.questions_of_a_set(length)))


def batch_size(length):
    return max(1, min(BATCH_HAYSTACKS, BATCH_TOKENS // length))


def rng_of(seed, task, length, haystack):
    """The same for the same haystack, in whatever run it is made."""
    return random.Random(f"{seed} {task} {length} {haystack}")


class Asker:
    """Measures haystacks of one length on one server."""

    def __init__(self, server, names, length):
        self._server = server
        self._length = length
        # Brute force first: the other rules' choices are compared with it.
        self._retrieving = sorted(
            (n for n in names if n != settings.FULL), key=lambda n: n != settings.ORACLE
        )
        self._full = settings.FULL in names

    def measure(self, task, haystacks):
        """A line for each of {number: Haystack}."""
        lines = {
            number: {
                "type": "haystack",
                "task": task.name,
                "length": self._length,
                "haystack": number,
                "phrasings": [q.phrasing for q in haystack.questions],
                "answers": {},
            }
            for number, haystack in haystacks.items()
        }
        reading = {
            "policy": "ATTENTION_POLICY_SE_ATTN",
            "retrieve_in_prefill": self._length <= MAX_TOKENS_READ_WITH_RETRIEVAL,
        }
        self._read_and_ask(task, haystacks, lines, reading, self._retrieving)
        if self._full:
            # A session that read with all of its past; SE_ATTN's would flatter or wrong FULL.
            reading = settings.parse(settings.FULL)
            self._read_and_ask(task, haystacks, lines, reading, [settings.FULL])
        return list(lines.values())

    def _read_and_ask(self, task, haystacks, lines, reading, names):
        if not names:
            return
        read = self._server.call(
            op="read",
            attention=reading,
            haystacks=[
                {
                    "id": str(number),
                    "pieces": [{"text": p.text, "special": p.special} for p in haystack.pieces],
                }
                for number, haystack in haystacks.items()
            ],
        )
        for (number, haystack), tokens in zip(haystacks.items(), read["tokens"]):
            line = lines[number]
            line["tokens"] = tokens
            kind = "full_read_seconds" if names == [settings.FULL] else "read_seconds"
            line[kind] = round(read["seconds"] / len(haystacks), 4)
            blocks = None
            for name in names:
                answers, line["answers"][name] = self._ask(task, number, haystack, name, blocks)
                if name == settings.ORACLE:
                    blocks = [answer["blocks"] for answer in answers]
                if name == settings.DEFAULT_RULE:
                    line["wrong"] = wrong_answers(haystack, answers)
            self._server.call(op="drop", id=str(number))

    def _ask(self, task, number, haystack, name, oracle_blocks):
        """The answers, and what of them is written down."""
        attention = settings.parse(name)
        if name != settings.FULL:
            attention["retrieve_in_prefill"] = True
        before = self._server.counters()
        try:
            asked = self._server.call(
                op="ask",
                id=str(number),
                attention=attention,
                max_tokens=task.max_tokens,
                parallel=PARALLEL_QUESTIONS,
                questions=[q.prompt for q in haystack.questions],
            )
        except CallError as error:
            if not error.is_refusal:
                raise
            return [], {"refused": str(error)}
        after = self._server.counters()
        answers = asked["answers"]
        decoded = sum(answer["tokens"] for answer in answers)
        counted = {key: int(after[key] - before[key]) for key in after}
        return answers, {
            "scores": [
                round(score(a["text"], q), 4) for a, q in zip(answers, haystack.questions)
            ],
            "seconds": round(asked["seconds"], 4),
            # A question's own tokens share one choice and count as one token.
            "tokens": decoded + len(answers),
            **{key: value for key, value in counted.items() if value},
            **hits_of(answers, oracle_blocks),
        }


def hits_of(answers, oracle_blocks):
    """Of the blocks that brute force chose for the first token of each answer, the share chosen."""
    if oracle_blocks is None:
        return {}
    wanted = sum(len(blocks) for blocks in oracle_blocks)
    if wanted == 0:
        return {}
    found = sum(
        len(set(answer["blocks"]) & set(blocks)) for answer, blocks in zip(answers, oracle_blocks)
    )
    return {"blocks_found": found, "blocks_wanted": wanted}


def wrong_answers(haystack, answers):
    """A few wrong ones, to see what the model says instead."""
    shown = []
    for question, answer in zip(haystack.questions, answers):
        same = sum(entry["phrasing"] == question.phrasing for entry in shown)
        if score(answer["text"], question) < 1 and same < WRONG_SHOWN:
            shown.append(
                {
                    "phrasing": question.phrasing,
                    "question": question.prompt[-160:],
                    "expected": list(question.expected),
                    "answer": answer["text"][:160],
                }
            )
    return shown
