"""Recall of a model in torch: facts told in a long text, each asked on a fork of it.

A quick look while a model is made; the honest figures come from the server (tests/bench).
"""

import argparse
import json
import random
import time
from collections import defaultdict
from pathlib import Path

import torch

from engine.hylora import checkpoint, corpus
from engine.hylora.attention import SpanSettings
from engine.hylora.documents import Documents, Prose
from engine.hylora.forks import Forks, remember
from engine.hylora.model import HybridModel
from engine.hylora.quiz import FULL_LENGTH, Quiz, is_right
from engine.hylora.tokenizer import Tokenizer

MOST_TOKENS = 128  # of an answer
HAYSTACKS_WHEN_SHORT = 2
# Up to so many questions at once: bounds the scores' memory.
FORKS = 32


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--text", type=Path, required=True, help="held-out books or their ids")
    parser.add_argument("--out", type=Path, help="JSON lines")
    parser.add_argument("--lengths", type=int, nargs="+", default=[2048, 8192, 32768, 131072])
    parser.add_argument("--splits", nargs="+", default=["plain", "trained", "held_out"])
    parser.add_argument("--policies", nargs="+", default=["SE_ATTN"])
    parser.add_argument("--retrieving-layers", type=int, nargs="+", help="instead of the model's")
    parser.add_argument("--show", type=int, default=0, help="so many wrong answers a cell")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")


# (kind of question, policy) to how many were answered right and asked.
Counts = dict[tuple[str, str], list[int]]


@torch.no_grad()
def run(options: argparse.Namespace) -> None:
    torch.set_float32_matmul_precision("high")
    tokenizer = Tokenizer(options.model)
    model = checkpoint.load(options.model, options.device).eval()
    if options.retrieving_layers:
        model.config.raw["eidetic_retrieving_layers"] = options.retrieving_layers
    ids = corpus.load(options.text, tokenizer)
    words = corpus.words_of(ids, tokenizer)
    for tokens in options.lengths:
        for split in options.splits:
            begin = time.monotonic()
            counts: Counts = defaultdict(lambda: [0, 0])
            for seed in range(HAYSTACKS_WHEN_SHORT if tokens < FULL_LENGTH else 1):
                for chat in (False, True):
                    rng = random.Random(f"{tokens}{split}{seed}{chat}")
                    documents = Documents(Prose(ids, tokenizer, rng), tokenizer, words, rng)
                    quiz = Quiz(documents, tokens, split, chat)
                    _ask(options, model, tokenizer, quiz, counts)
            _report(options, model, tokens, split, counts, time.monotonic() - begin)


def _ask(
    options: argparse.Namespace,
    model: HybridModel,
    tokenizer: Tokenizer,
    quiz: Quiz,
    counts: Counts,
) -> None:
    text = torch.from_numpy(quiz.ids()).to(options.device)
    for policy in options.policies:
        prefill = SpanSettings("FULL" if policy == "FULL" else "WINDOW")
        forks = Forks(model, remember(model, text, prefill), SpanSettings(policy))
        for at in range(0, len(quiz.questions), FORKS):
            asked, shown = quiz.questions[at : at + FORKS], 0
            prompts = [tokenizer.encode_chat(q.prompt) for q in asked]
            for question, ids in zip(asked, forks.answer(prompts, MOST_TOKENS, corpus.ENDS_TEXT)):
                answer = tokenizer.decode(ids)
                right = is_right(answer, question)
                counts[question.kind, policy][0] += right
                counts[question.kind, policy][1] += 1
                if not right and shown < options.show:
                    shown += 1
                    print(f"  {question.kind}: {question.prompt!r} {question.values}: {answer!r}")


def _report(
    options: argparse.Namespace,
    model: HybridModel,
    tokens: int,
    split: str,
    counts: Counts,
    seconds: float,
) -> None:
    for (kind, policy), (right, asked) in sorted(counts.items()):
        cell = {"kind": kind, "policy": policy, "right": right, "asked": asked}
        line = {"model": str(options.model), "tokens": tokens, "split": split, **cell}
        line["retrieving_layers"] = model.config.retrieving_layers
        if options.out:
            with open(options.out, "a") as file:
                file.write(json.dumps(line) + "\n")
    shown = " ".join(f"{k}({p})={r}/{a}" for (k, p), (r, a) in sorted(counts.items()))
    print(f"{options.model} {tokens} tokens, {split}: {shown} ({seconds:.1f} s)", flush=True)
