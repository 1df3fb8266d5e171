"""Tunes a model for a longer context: HyLoRA and what it is compared with, written as an adapter.

Methods: hylora (low-rank deltas on attention, convolutions and norms whole, SE_ATTN in the loop),
hylora-full (the same under FULL), lora-full (deltas alone), longlora (deltas and norms, S2-Attn),
window (hylora's parameters under WINDOW).
"""

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint as recompute

from engine.hylora import adapter, checkpoint, corpus
from engine.hylora.adapter import (
    ATTENTION_TARGETS,
    CONVOLUTIONS,
    MAMBA_TARGETS,
    NORMS,
    AdapterShape,
)
from engine.hylora.attention import SpanSettings
from engine.hylora.batches import Batch, Batches, Source
from engine.hylora.model import Block, HybridModel
from engine.hylora.muon import optimizers
from engine.hylora.tokenizer import Tokenizer
from engine.hylora.training import Run, perplexity, weighted_loss

# Chunk sizes that are drawn at random, a step each: no one size is learnt.
CHUNKS = (128, 256, 512)
LOSS_PIECE = 4096  # tokens whose logits stand in memory at once


@dataclass(frozen=True)
class Method:
    policy: str
    whole: tuple[str, ...]


METHODS = {
    "hylora": Method("SE_ATTN", CONVOLUTIONS + NORMS),
    "hylora-full": Method("FULL", CONVOLUTIONS + NORMS),
    "lora-full": Method("FULL", ()),
    "longlora": Method("S2", NORMS),
    "window": Method("WINDOW", CONVOLUTIONS + NORMS),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, required=True, help="the base, a folder")
    parser.add_argument("--text", type=Path, required=True, help="books (.txt[.xz]) or token ids")
    parser.add_argument("--eval-text", type=Path, help="held-out books, for perplexity")
    parser.add_argument("--out", type=Path, required=True, help="folder of the adapter")
    parser.add_argument("--method", choices=METHODS, default="hylora")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--alpha", type=float, default=32)
    parser.add_argument("--mamba-projections", action="store_true", help="deltas there too")
    parser.add_argument("--context", type=int, help="tokens a row (default: 8 times the base's)")
    parser.add_argument("--book-rows", type=int, default=2)
    parser.add_argument("--synthetic-rows", type=int, default=2)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--lr", type=float, default=5e-4, help="AdamW")
    parser.add_argument("--warm-up", type=int, default=20, help="steps")
    parser.add_argument("--max-seconds", type=float, default=0, help="cuts the steps to fit")
    parser.add_argument("--save-seconds", type=float, default=300)
    parser.add_argument("--log-every", type=int, default=10, help="steps")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")


def hidden_of(model: HybridModel, ids: Tensor, settings: SpanSettings) -> Tensor:
    """Final hidden states of rows; each layer's inner values are computed again for the gradient,
    so that long rows fit. Same arithmetic as HybridModel.forward from an empty past."""
    x, past = model.model.embed_tokens(ids), model.new_past(ids.shape[0])
    for index, block in enumerate(model.model.layers):

        def layer(x: Tensor, index: int = index, block: Block = block) -> Tensor:
            if block.attends:
                attention = model.attention_of(index, settings)
                return block.attend(x, past.layers[index], 0, attention)[0]
            return block.recur(x, past.layers[index])[0]

        x = recompute(layer, x, use_reentrant=False) if torch.is_grad_enabled() else layer(x)
    return model.model.final_layernorm(x)


def rows_loss(model: HybridModel, batch: Batch, settings: SpanSettings) -> Tensor:
    hidden = hidden_of(model, batch.ids, settings)
    embedding, total = model.model.embed_tokens.weight, batch.weights.sum().clamp(min=1.0)
    loss = hidden.new_zeros(())
    for h, t, w in zip(*(x.split(LOSS_PIECE, 1) for x in (hidden, batch.targets, batch.weights))):
        piece = recompute(weighted_loss, h, embedding, t, w, use_reentrant=False)
        loss = loss + piece * w.sum().clamp(min=1.0) / total
    return loss


class Tuning:
    def __init__(self, options: argparse.Namespace, model: HybridModel) -> None:
        self.options, self.model, self.method = options, model, METHODS[options.method]
        targets = ATTENTION_TARGETS + (MAMBA_TARGETS if options.mamba_projections else ())
        self.shape = AdapterShape(options.rank, options.alpha, targets, self.method.whole)
        self.settings = SpanSettings(self.method.policy, group=options.context // 4)
        adapter.attach(model, self.shape)

    def autocast(self) -> torch.autocast:
        device = self.options.device.split(":")[0]
        return torch.autocast(device, torch.bfloat16, enabled=device == "cuda")

    def step_loss(self, batch: Batch, step: int) -> Tensor:
        random = np.random.default_rng((self.options.seed, step))
        settings = replace(self.settings, chunk=int(random.choice(CHUNKS)))
        with self.autocast():
            return rows_loss(self.model, batch, settings)

    @torch.no_grad()
    def evaluate(self, ids: np.ndarray) -> float:
        """Mean loss a token of held-out books, under the attention it is served with."""
        policy = "FULL" if self.method.policy == "S2" else self.method.policy
        rows, tokens = self.options.book_rows, self.options.context
        starts = np.linspace(0, len(ids) - tokens - 1, rows).astype(int)
        text = torch.from_numpy(ids[starts[:, None] + np.arange(tokens + 1)].astype(np.int64))
        text = text.to(self.options.device)
        batch = Batch(text[:, :-1], text[:, 1:], torch.ones(text[:, 1:].shape, device=text.device))
        with self.autocast():
            return rows_loss(self.model, batch, SpanSettings(policy)).item()


def run(options: argparse.Namespace) -> None:
    torch.manual_seed(options.seed)
    torch.set_float32_matmul_precision("high")
    tokenizer = Tokenizer(options.model)
    model = checkpoint.load(options.model)
    options.context = options.context or 8 * model.config.context
    source = Source(
        corpus.load(options.text, tokenizer),
        tokenizer,
        options.seed,
        options.book_rows,
        options.synthetic_rows,
        options.context,
    )
    held_out = corpus.load(options.eval_text, tokenizer) if options.eval_text else None
    tuning = Tuning(options, model)
    step = Run(options.out, model, [], options.steps, options.warm_up)
    step.resume()
    with Batches(source, step.step, options.workers) as batches:
        model.to(options.device).train()
        training = Run(
            options.out,
            model,
            optimizers(model, 0.0, options.lr),
            options.steps,
            options.warm_up,
            options.save_seconds,
            options.max_seconds,
        )
        training.resume()
        _tune(training, tuning, batches, held_out)
    adapter.save(model, tuning.shape, options.out)


def _tune(training: Run, tuning: Tuning, batches: Batches, held_out: np.ndarray | None) -> None:
    options = tuning.options
    tokens = (options.book_rows + options.synthetic_rows) * options.context
    if held_out is not None:
        training.log(eval_perplexity=perplexity(tuning.evaluate(held_out)))
    first, marked, losses, last = training.step, 0.0, [], time.monotonic()
    while training.step < training.steps:
        loss = tuning.step_loss(batches.next().to(options.device), training.step)
        losses.append(loss.detach())
        training.apply(loss)
        done = training.step - first
        if training.max_seconds and done in (3, 10):
            losses[-1].item()  # waits for the device
            if done == 3:
                marked = time.monotonic() - training.began
            else:
                training.fit_into_time(first + 3, marked)
        if training.step % options.log_every == 0 or training.step == training.steps:
            mean, now = torch.stack(losses).mean().item(), time.monotonic()
            training.log(loss=mean, tokens_per_second=len(losses) * tokens / (now - last))
            losses, last = [], now
        if training.save_is_due():
            training.save({})
    if held_out is not None:
        training.log(eval_perplexity=perplexity(tuning.evaluate(held_out)))
