"""Batches of pretraining: rows of books and rows of synthetic documents, the same for one seed.

Worker processes make the synthetic rows; step n's rows depend on the seed and n alone, so that a
resumed run sees what the first would have seen.
"""

import multiprocessing
import random
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.hylora.corpus import words_of
from engine.hylora.documents import Documents, Prose
from engine.hylora.tokenizer import Tokenizer

QUEUED = 8  # batches a worker makes ahead


@dataclass
class Batch:
    ids: Tensor  # [rows, tokens]
    targets: Tensor  # [rows, tokens]
    weights: Tensor  # [rows, tokens]

    def to(self, device: str) -> "Batch":
        tensors = (self.ids, self.targets, self.weights)
        if device.startswith("cuda"):
            tensors = tuple(t.pin_memory() for t in tensors)
        return Batch(*(t.to(device, non_blocking=True) for t in tensors))


@dataclass
class Source:
    """Everything that rows are made of."""

    ids: np.ndarray  # books
    tokenizer: Tokenizer
    seed: int
    book_rows: int
    synthetic_rows: int
    tokens: int

    def __post_init__(self) -> None:
        self.words = words_of(self.ids, self.tokenizer)
        self.prose = Prose(self.ids, self.tokenizer, random.Random(0))
        self.starts = np.random.default_rng(self.seed).integers(0, len(self.ids), self.book_rows)

    def synthetic(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        rng = random.Random(f"{self.seed}:{step}")
        self.prose.rng = rng
        documents = Documents(self.prose, self.tokenizer, self.words, rng)
        rows = [documents.row(self.tokens + 1) for _ in range(self.synthetic_rows)]
        return tuple(np.stack(part) for part in zip(*rows))

    def books(self, step: int) -> np.ndarray:
        """Each row goes on where it ended in the step before."""
        first = self.starts + step * self.tokens
        return self.ids[(first[:, None] + np.arange(self.tokens + 1)) % len(self.ids)]

    def batch(self, step: int, synthetic: tuple[np.ndarray, np.ndarray] | None) -> Batch:
        ids = self.books(step).astype(np.int64)
        weights = np.ones(ids.shape, np.float32)
        if synthetic:
            ids, weights = np.concatenate([ids, synthetic[0]]), np.concatenate(
                [weights, synthetic[1]]
            )
        ids, weights = torch.from_numpy(ids), torch.from_numpy(weights)
        return Batch(ids[:, :-1].contiguous(), ids[:, 1:].contiguous(), weights[:, 1:].contiguous())


class Batches:
    """Iterates from step `first` on; a context manager that ends its workers."""

    def __init__(self, source: Source, first: int, workers: int) -> None:
        self.source, self.step, self.processes, self.queues = source, first, [], []
        if not source.synthetic_rows:
            workers = 0
        context = multiprocessing.get_context("fork")
        for i in range(workers):
            queue = context.Queue(QUEUED)
            arguments = (source, first + i, workers, queue)
            self.processes.append(context.Process(target=_work, args=arguments, daemon=True))
            self.queues.append(queue)
            self.processes[-1].start()
        self.first = first

    def next(self) -> Batch:
        synthetic = None
        if self.queues:
            synthetic = self.queues[(self.step - self.first) % len(self.queues)].get()
        elif self.source.synthetic_rows:
            synthetic = self.source.synthetic(self.step)
        batch = self.source.batch(self.step, synthetic)
        self.step += 1
        return batch

    def __enter__(self) -> "Batches":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.terminate()


def _work(source: Source, step: int, stride: int, queue: multiprocessing.Queue) -> None:
    torch.set_num_threads(1)
    while True:
        queue.put(source.synthetic(step))
        step += stride
