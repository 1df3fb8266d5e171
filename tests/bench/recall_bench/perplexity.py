"""Perplexity of a book's next tokens, given ever more of the text before them.

As on PG-19, but with the same tokens scored at every length, so that only the past differs: a
slice ends at a place of its own in the text's second half, its last SCORED_TOKENS are scored, and
what stands before, up to the length, is read first. Nothing is repeated: a length of more than
half of the text is refused.
"""

import math

from tests.bench.recall_bench import settings

TASK = "perplexity"
SCORED_TOKENS = 1024
SLICES = 8


def slice_texts(book, bytes_per_token, length, number):
    """(what is read, what is scored) of a slice."""
    scored = min(SCORED_TOKENS, length // 2) * bytes_per_token
    end = book.bytes * (SLICES + number + 1) / (2 * SLICES)
    begin = end - length * bytes_per_token
    if begin < 0:
        raise ValueError(
            f"text: {book.bytes} bytes are too few for perplexity at {length} tokens; "
            "give a longer --text, or leave the task out there"
        )
    return book.slice(begin, end - scored), book.slice(end - scored, end)


def fits(book, bytes_per_token, length):
    return book.bytes * (SLICES + 1) / (2 * SLICES) >= length * bytes_per_token


def measure(server, book, bytes_per_token, length, number, names):
    """The line of a slice: of each of the settings the mean negative log-probability, in nats."""
    past, scored = slice_texts(book, bytes_per_token, length, number)
    line = {
        "type": "slice",
        "task": TASK,
        "length": length,
        "haystack": number,
        "answers": {},
    }
    for name in names:
        read = server.call(
            op="read",
            attention=settings.parse(name),
            haystacks=[{"id": TASK, "pieces": [{"text": past, "special": False}]}],
        )
        score = server.call(op="score", id=TASK, text=scored)
        server.call(op="drop", id=TASK)
        line["tokens"] = read["tokens"][0] + score["tokens"]
        line["answers"][name] = {
            "nats_a_token": round(-score["logprob"] / score["tokens"], 6),
            "scored_tokens": score["tokens"],
            "seconds": round(read["seconds"] + score["seconds"], 4),
        }
    return line


def of_nats(nats):
    return math.exp(nats)
