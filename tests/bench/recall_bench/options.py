"""The command line of tests/bench/recall."""

import argparse
import pathlib

from tests.bench.recall_bench import perplexity, settings
from tests.bench.recall_bench.phrasings import SETS

ROOT = pathlib.Path(__file__).resolve().parents[3]
NEEDLE_TASKS = ("single", "multikey", "multivalue", "multiquery")
LISTS = ("common_words", "frequent_words")  # one question a haystack
TASKS = ("passkey", *NEEDLE_TASKS, "chat", "variable_tracking", *LISTS, perplexity.TASK)
NAMES = ("full", "window", "two_stage", "exact", "bound", "mean", "pooled", "two_stage/1")

DESCRIPTION = f"""\
Measures recall and perplexity of a model through the real server, and prints tables, with every
answer's score in a file of JSON lines. Run again with the same --out it goes on where it was.

tasks     passkey (a number in noise); single, multikey, multivalue, multiquery (numbers in a book);
          chat (facts told in turns of their own); variable_tracking; common_words; frequent_words
          (RULER, arXiv 2404.06654); perplexity of a book's tokens
settings  full, window, and rules of retrieval ({', '.join(settings.RULES)}), with /K for
          a span of K blocks: two_stage/1
"""
EPILOG = """\
Haystacks are read under SE_ATTN, with retrieval up to 256k tokens, and asked in forks under each of
the settings but full, which reads for itself. Perplexity is read under its own settings.
Intervals: tests/bench/recall_bench/intervals.py.
"""


def parse_length(text):
    """16384, 16k or 1M."""
    units = {"k": 1 << 10, "M": 1 << 20}
    number, unit = (text[:-1], units[text[-1]]) if text[-1:] in units else (text, 1)
    if not number.isdecimal() or int(number) * unit < 1024:
        raise argparse.ArgumentTypeError(f"'{text}' is no length of at least 1k tokens")
    return int(number) * unit


def parse_settings(text):
    try:
        settings.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def positive(text):
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"'{text}' is no positive number")
    return int(text)


def parser():
    result = argparse.ArgumentParser(
        prog="tests/bench/recall",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = result.add_argument
    add("--prebuilt", metavar="DIR", help="a bundle of make_device_bundle: nothing is built")
    add("--device", default="auto", help="what computes, as eidetic-server's --device (auto)")
    add("--model", default=str(ROOT / "engine/model/demo"), help="folder of the model (the demo)")
    add(
        "--text",
        default=str(ROOT / "deploy/book/she.txt.xz"),
        help="UTF-8 text that the model was not trained on, plain or .xz; repeated where a "
        "haystack is longer (the book in deploy/book)",
    )
    add(
        "--phrasings",
        default=str(ROOT / "tests/bench/recall_bench/demo_phrasings.json"),
        help="sentences of facts and questions (demo_phrasings.json, the demo model's)",
    )
    add(
        "--answer_lead",
        action="store_true",
        help="begin the answers to trained questions for one number, as RULER does",
    )
    add("--lengths", nargs="+", type=parse_length, default=[2048, 8192], help="2k 16k 1M (2k 8k)")
    add("--tasks", nargs="+", choices=TASKS, default=TASKS, metavar="TASK")
    add("--settings", nargs="+", type=parse_settings, default=NAMES, metavar="SETTINGS")
    add(
        "--perplexity_settings",
        nargs="+",
        type=parse_settings,
        default=("full", "window", "two_stage", "exact", "mean"),
        metavar="SETTINGS",
    )
    add("--sets", nargs="+", choices=SETS, default=SETS, help="of phrasings, to ask in (both)")
    add("--full_up_to", type=parse_length, default=1 << 17, help="longest haystack for full (128k)")
    add("--questions", type=positive, default=400, help="of a cell and set, up to 1M tokens (400)")
    add("--long_questions", type=positive, default=128, help="beyond 1M tokens (128)")
    add("--haystacks", type=positive, default=4, help="of a cell, at least (4)")
    add("--lists", type=positive, default=32, help=f"haystacks of {' and '.join(LISTS)} (32)")
    add(
        "--chat_families",
        nargs="+",
        default=("relation_name", "relation_city"),
        help="of the phrasings, those that chat tells (relation_name relation_city)",
    )
    add("--seed", type=int, default=1)
    add("--seconds", type=positive, help="begin nothing more after so long; run again to go on")
    add("--out", default="recall_results", help="folder of results.jsonl, cells.jsonl, plots")
    add("--plot", action="store_true", help="draw the plots too (needs matplotlib)")
    add("--report", action="store_true", help="measure nothing: only print, and draw with --plot")
    return result
