"""tests/bench/recall: measures recall and perplexity through the server."""

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
from tests.bench.recall_bench.options import LISTS, NEEDLE_TASKS, ROOT, parser
from tests.bench.recall_bench.phrasings import Phrasings
from tests.bench.recall_bench.progress import Progress
from tests.bench.recall_bench.server import (
    Binaries,
    CallError,
    Server,
    attention_layers,
    capacity_flags,
)

LONG = 1 << 20  # up to here --questions, beyond --long_questions


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
