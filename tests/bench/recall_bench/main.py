"""tests/bench/recall: measures recall and perplexity through the server."""

import argparse
import hashlib
import json
import lzma
import pathlib
import signal
import sys
import time

from tests.bench.recall_bench import asking, perplexity, plot, results, settings, summary
from tests.bench.recall_bench.aggregate import CommonWords, FrequentWords, VariableTracking
from tests.bench.recall_bench.chat import Chat
from tests.bench.recall_bench.haystack import SAMPLE_BYTES, Book, Noise
from tests.bench.recall_bench.needles import Needles
from tests.bench.recall_bench.phrasings import SETS, Phrasings
from tests.bench.recall_bench.progress import Progress
from tests.bench.recall_bench.server import (
    Binaries,
    CallError,
    Server,
    attention_layers,
    capacity_flags,
)

ROOT = pathlib.Path(__file__).resolve().parents[3]
NEEDLE_TASKS = ("single", "multikey", "multivalue", "multiquery")
LISTS = ("common_words", "frequent_words")  # one question a haystack
TASKS = ("passkey", *NEEDLE_TASKS, "chat", "variable_tracking", *LISTS, perplexity.TASK)
LONG = 1 << 20  # up to here --questions, beyond --long_questions
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


def read_text(path):
    opened = lzma.open if path.endswith(".xz") else open
    with opened(path, "rt", encoding="utf-8") as file:
        return file.read()


def make_tasks(options, book, phrasings):
    shared = (phrasings, options.sets, options.answer_lead)
    makers = {
        "passkey": lambda name: Needles(name, "single", Noise, *shared),
        **{
            name: lambda name: Needles(name, name, book, *shared) for name in NEEDLE_TASKS
        },
        "chat": lambda name: Chat(book, phrasings, options.chat_families, options.sets),
        "variable_tracking": lambda name: VariableTracking(),
        "common_words": lambda name: CommonWords(book),
        "frequent_words": lambda name: FrequentWords(),
    }
    return [makers[name](name) for name in options.tasks if name in makers]


def describe_run(options, book, phrasings_path):
    """What must be the same for lines to stand in one file."""
    weights = sorted(pathlib.Path(options.model).glob("*.safetensors"))
    digest = hashlib.sha256()
    for path in weights:
        digest.update(path.read_bytes())
    return {
        "weights_sha256": digest.hexdigest(),
        "text_sha256": hashlib.sha256(book.text.encode()).hexdigest(),
        "phrasings_sha256": hashlib.sha256(pathlib.Path(phrasings_path).read_bytes()).hexdigest(),
        "answer_lead": options.answer_lead,
        "seed": options.seed,
        "settings": list(options.settings),
        "perplexity_settings": list(options.perplexity_settings),
        "chat_families": list(options.chat_families),
        "device": options.device,
    }


class Plan:
    """What a run has to do: (task, length) -> how many haystacks, and which are not done."""

    def __init__(self, options, tasks, book, bytes_per_token, done):
        self._done = done
        self.cells = []
        for length in sorted(set(options.lengths)):
            questions = options.questions if length <= LONG else options.long_questions
            for task in tasks:
                count = options.lists
                if task.name not in LISTS:
                    count = asking.haystacks_of(task, length, questions, options.haystacks)
                self.cells.append((length, task, count))
            if perplexity.TASK in options.tasks:
                if perplexity.fits(book, bytes_per_token, length):
                    self.cells.append((length, None, perplexity.SLICES))
                else:
                    print(f"perplexity: the text is too short for {length}", file=sys.stderr)

    def pending(self, length, task, count):
        name = perplexity.TASK if task is None else task.name
        return [i for i in range(count) if not self._done(name, length, i)]

    def total(self):
        return sum(count for _, _, count in self.cells)

    def already(self):
        return self.total() - sum(len(self.pending(*cell)) for cell in self.cells)


class Run:
    def __init__(self, options):
        self.options = options
        self.book = Book(read_text(options.text))
        self.phrasings = Phrasings.load(options.phrasings)
        self.out = pathlib.Path(options.out)
        self.out.mkdir(parents=True, exist_ok=True)
        self.path = self.out / "results.jsonl"
        self.deadline = time.monotonic() + options.seconds if options.seconds else None

    def is_over(self):
        return self.deadline is not None and time.monotonic() > self.deadline

    def measure(self):
        options = self.options
        binaries = (
            Binaries.of_bundle(options.prebuilt) if options.prebuilt else Binaries.built(ROOT)
        )
        run = describe_run(options, self.book, options.phrasings)
        found = results.Results(self.path, run)
        tasks = make_tasks(options, self.book, self.phrasings)
        self.layers = attention_layers(options.model)
        self.bytes_per_token = 0.0
        if perplexity.TASK in options.tasks:
            with self._server(binaries, 2048, 1) as server:
                sample = self.book.slice(0, 4 * SAMPLE_BYTES)
                self.bytes_per_token = len(sample.encode()) / server.count(sample)
        plan = Plan(options, tasks, self.book, self.bytes_per_token, found.is_done)
        progress = Progress(plan.total(), plan.already())
        for length in sorted({cell[0] for cell in plan.cells}):
            cells = [cell for cell in plan.cells if cell[0] == length and plan.pending(*cell)]
            if not cells or self.is_over():
                continue
            with self._server(binaries, length, asking.batch_size(length)) as server:
                for cell in cells:
                    self._measure_cell(server, cell, plan, found, progress)

    def _server(self, binaries, length, haystacks):
        flags = capacity_flags(
            self.layers, self.options.device, length, haystacks, asking.PARALLEL_QUESTIONS
        )
        log = self.out / "server.log"
        return Server(binaries, self.options.model, self.options.device, flags, log)

    def _names(self, length):
        is_full = length <= self.options.full_up_to
        return [name for name in self.options.settings if is_full or name != settings.FULL]

    def _measure_cell(self, server, cell, plan, found, progress):
        length, task, _ = cell
        numbers = plan.pending(*cell)
        size = asking.batch_size(length) if task else 1
        for begin in range(0, len(numbers), size):
            if self.is_over():
                return
            batch = numbers[begin : begin + size]
            if task is None:
                lines = [self._measure_slice(server, length, batch[0])]
            else:
                made = {i: self._make(server, task, length, i) for i in batch}
                lines = asking.Asker(server, self._names(length), length).measure(task, made)
            for line in lines:
                found.add(line)
            name = perplexity.TASK if task is None else task.name
            progress.step(len(batch), f"{name} at {summary.short_length(length)}")

    def _measure_slice(self, server, length, number):
        names = self.options.perplexity_settings
        return perplexity.measure(server, self.book, self.bytes_per_token, length, number, names)

    def _make(self, server, task, length, number):
        rng = asking.rng_of(self.options.seed, task.name, length, number)
        return task.make(length, server.count, rng)

    def report(self):
        lines = results.load(self.path)
        with open(self.out / "cells.jsonl", "w", encoding="utf-8") as file:
            for cell in summary.cells_of(lines):
                file.write(json.dumps(cell) + "\n")
        print(summary.report(lines))
        if self.options.plot:
            for path in plot.plot_all(lines, self.out):
                print(path)


def end(signal_number, _):
    """SIGTERM ends the server too."""
    raise SystemExit(128 + signal_number)


def main(arguments=None):
    options = parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, end)
    try:
        run = Run(options)
        if not options.report:
            run.measure()
        run.report()
    except (CallError, OSError, RuntimeError, ValueError) as error:
        print(f"recall: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("recall: interrupted; run again to go on", file=sys.stderr)
        return 130
    return 0
