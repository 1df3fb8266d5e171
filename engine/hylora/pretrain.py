"""Trains a hybrid model from nothing: books and synthetic documents, states passed between rows.

The state at a row's end starts the next step's row (most of the time: KEPT_*); attention never
crosses rows. That is what keeps perplexity flat far beyond the context.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engine.hylora import checkpoint, corpus
from engine.hylora.batches import Batch, Batches, Source
from engine.hylora.config import ModelConfig
from engine.hylora.model import HybridModel, Past
from engine.hylora.muon import optimizers
from engine.hylora.tokenizer import Tokenizer
from engine.hylora.training import Run, perplexity, weighted_loss

KEPT_BOOKS, KEPT_SYNTHETIC = 0.85, 0.6
SEED_STRIDE = 1_000_003  # more than the steps of a run
MEASURED_STEPS = (40, 100)  # between these the speed is measured, for --max-seconds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--like", type=Path, required=True, help="folder: config.json, tokenizer")
    parser.add_argument("--text", type=Path, required=True, help="books (.txt[.xz]) or token ids")
    parser.add_argument("--eval-text", type=Path, help="held-out books, for perplexity")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=2800)
    parser.add_argument("--max-seconds", type=float, default=0, help="cuts the steps to fit")
    parser.add_argument("--context", type=int, default=2048, help="tokens a row")
    parser.add_argument("--book-rows", type=int, default=16)
    parser.add_argument("--synthetic-rows", type=int, default=16)
    parser.add_argument("--no-state-passing", action="store_true", help="the plain way")
    parser.add_argument("--muon-lr", type=float, default=0.02)
    parser.add_argument("--adam-lr", type=float, default=3e-3)
    parser.add_argument("--warm-up", type=int, default=150, help="steps")
    parser.add_argument("--dropout", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--compile", action="store_true", help="torch.compile each block")
    parser.add_argument("--save-seconds", type=float, default=300)
    parser.add_argument("--shards", type=int, default=1, help="weight files")


def carry(past: Past, kept: Tensor) -> Past:
    """The states of rows that go on, zeros for the others. kept: [rows] of 0 or 1."""
    past = past.without_keys()
    layers = [
        tuple(t * kept.view(-1, *[1] * (t.dim() - 1)).to(t.dtype) for t in pair)
        for pair in past.layers
    ]
    return Past(layers)


class Pretraining:
    def __init__(self, options: argparse.Namespace, model: HybridModel) -> None:
        self.options, self.model = options, model
        self.calls, self.loss = [block.row for block in model.model.layers], weighted_loss
        if options.compile:
            self.calls = [torch.compile(call, dynamic=False) for call in self.calls]
            self.loss = torch.compile(weighted_loss, dynamic=False)
        rows = options.book_rows + options.synthetic_rows
        self.past = model.new_past(rows)
        share = [KEPT_BOOKS] * options.book_rows + [KEPT_SYNTHETIC] * options.synthetic_rows
        self.share = torch.tensor(share)

    def autocast(self) -> torch.autocast:
        device = self.options.device.split(":")[0]
        return torch.autocast(device, torch.bfloat16, enabled=device == "cuda")

    def step_loss(self, batch: Batch, step: int) -> Tensor:
        # Of the seed and the step alone, so that a resumed run draws what the first would have.
        torch.manual_seed(self.options.seed * SEED_STRIDE + step)
        kept = (torch.rand(len(self.share)) < self.share).float()
        if self.options.no_state_passing:
            kept = torch.zeros_like(kept)
        past = carry(self.past, kept.to(self.options.device))
        with self.autocast():
            hidden, self.past = self.model.rows(batch.ids, past, self.options.dropout, self.calls)
            embedding = self.model.model.embed_tokens.weight
            return self.loss(hidden, embedding, batch.targets, batch.weights)

    @torch.no_grad()
    def evaluate(self, ids: np.ndarray) -> float:
        """Mean loss a token of held-out books, rows that stand alone."""
        rows, tokens = self.options.book_rows + self.options.synthetic_rows, self.options.context
        starts = np.linspace(0, len(ids) - tokens - 1, rows).astype(int)
        text = torch.from_numpy(ids[starts[:, None] + np.arange(tokens + 1)].astype(np.int64))
        text = text.to(self.options.device)
        weights = torch.ones(text[:, 1:].shape, device=text.device)
        self.model.eval()
        with self.autocast():
            hidden, _ = self.model.rows(text[:, :-1], self.model.new_past(rows), 0.0)
            embedding = self.model.model.embed_tokens.weight
            loss = weighted_loss(hidden, embedding, text[:, 1:], weights).item()
        self.model.train()
        return loss


def run(options: argparse.Namespace) -> None:
    torch.manual_seed(options.seed)
    torch.set_float32_matmul_precision("high")
    tokenizer = Tokenizer(options.like)
    source = Source(
        corpus.load(options.text, tokenizer),
        tokenizer,
        options.seed,
        options.book_rows,
        options.synthetic_rows,
        options.context,
    )
    held_out = corpus.load(options.eval_text, tokenizer) if options.eval_text else None
    model = HybridModel(ModelConfig.read(options.like))
    # Workers fork before the device is touched; where a resumed run begins is known by then.
    training = Run(options.out, model, [], options.steps, options.warm_up)
    first = training.resume()
    with Batches(source, training.step, options.workers) as batches:
        model.to(options.device).train()
        training = Run(
            options.out,
            model,
            optimizers(model, options.muon_lr, options.adam_lr),
            options.steps,
            options.warm_up,
            options.save_seconds,
            options.max_seconds,
        )
        pretraining = Pretraining(options, model)
        if first is not None:
            past = training.resume()["past"]
            layers = [tuple(t.to(options.device) for t in pair) for pair in past]
            pretraining.past = Past(layers)
        _train(training, pretraining, batches, held_out)
    checkpoint.save(model, options.out, options.like, options.shards)


def _train(
    training: Run, pretraining: Pretraining, batches: Batches, held_out: np.ndarray | None
) -> None:
    options, model = pretraining.options, pretraining.model
    tokens = (options.book_rows + options.synthetic_rows) * options.context
    marks: dict[int, float] = {}
    last_step, last_time = training.step, time.monotonic()
    first = training.step
    while training.step < training.steps:
        batch = batches.next().to(options.device)
        loss = pretraining.step_loss(batch, training.step)
        norm = training.apply(loss)
        done = training.step - first
        if done in MEASURED_STEPS and training.max_seconds:
            loss.item()  # waits for the device
            marks[done] = time.monotonic() - training.began
            if done == MEASURED_STEPS[1]:
                training.fit_into_time(first + MEASURED_STEPS[0], marks[MEASURED_STEPS[0]])
        if done == 1 or training.step % 50 == 0 or training.step == training.steps:
            value, now = loss.item(), time.monotonic()
            rate = (training.step - last_step) * tokens / (now - last_time)
            training.log(loss=value, gradient_norm=float(norm), tokens_per_second=rate)
            last_step, last_time = training.step, now
        if held_out is not None and (training.step % 400 == 0 or training.step == training.steps):
            training.log(eval_perplexity=perplexity(pretraining.evaluate(held_out)))
        if training.save_is_due():
            past = [tuple(t.cpu() for t in pair) for pair in pretraining.past.without_keys().layers]
            training.save({"past": past})
            checkpoint.save(model, options.out, options.like, options.shards)
