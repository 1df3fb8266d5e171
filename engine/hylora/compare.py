"""The paper's setting: a base pretrained in the plain way, then each method at 8 times its context.

Every method gets the same tokens, the same learning rates to choose from (by held-out perplexity,
on the first seed) and the same seeds, and is tested with the attention that it is served with.
What is done already in --out is not done again.
"""

import argparse
import json
import statistics
from argparse import Namespace
from pathlib import Path
from types import ModuleType

import torch

from engine.hylora import adapter, checkpoint, pretrain, recall, tune
from engine.hylora.training import LOG

METHODS = ("hylora", "hylora-full", "lora-full", "longlora")
SERVED = {"hylora": "SE_ATTN"}  # the others are served with full attention
TABLE = "compare.md"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--like", type=Path, required=True, help="folder: config.json, tokenizer")
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--eval-text", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--base-steps", type=int, default=2800)
    parser.add_argument("--steps", type=int, default=200, help="of each tuning")
    parser.add_argument("--context", type=int, default=2048, help="of the base; tuning takes 8 x")
    parser.add_argument("--rates", type=float, nargs="+", default=[2e-4, 5e-4, 1e-3, 2e-3])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--methods", nargs="+", choices=tune.METHODS, default=METHODS)
    parser.add_argument("--lengths", type=int, nargs="+", default=[8192, 32768, 131072])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--compile", action="store_true", help="when the base is pretrained")


def _options(command: ModuleType, needed: dict[str, Path], **given: object) -> Namespace:
    """The command's options: those it needs, others given, and its defaults."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    words = [word for name, value in needed.items() for word in (f"--{name}", str(value))]
    options = parser.parse_args(words)
    vars(options).update(given)
    return options


def _figures(folder: Path) -> list[dict]:
    path = folder / LOG
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _base(options: Namespace) -> Path:
    folder = options.out / "base"
    if not list(folder.glob("model*.safetensors")):
        needed = {"like": options.like, "text": options.text, "out": folder}
        pretrain.run(
            _options(
                pretrain,
                needed,
                eval_text=options.eval_text,
                steps=options.base_steps,
                context=options.context,
                no_state_passing=True,
                device=options.device,
                compile=options.compile,
            )
        )
    return folder


def _tuned(options: Namespace, base: Path, method: str, rate: float, seed: int) -> Path:
    folder = options.out / f"{method}-{rate:g}-{seed}"
    if not (folder / adapter.TENSORS).exists():
        needed = {"model": base, "text": options.text, "out": folder}
        tune.run(
            _options(
                tune,
                needed,
                eval_text=options.eval_text,
                method=method,
                steps=options.steps,
                lr=rate,
                seed=seed,
                device=options.device,
                context=8 * options.context,
            )
        )
    return folder


def _perplexity(folder: Path) -> float:
    return [f["eval_perplexity"] for f in _figures(folder) if "eval_perplexity" in f][-1]


def _speed(folder: Path) -> float:
    return statistics.median(
        f["tokens_per_second"] for f in _figures(folder) if "tokens_per_second" in f
    )


def _recall(options: Namespace, base: Path, folder: Path, method: str) -> float:
    """Share of right answers of the adapter, merged, over all questions of all lengths."""
    lines = folder / "recall.jsonl"
    if not lines.exists():
        merged = folder / "merged"
        model = checkpoint.load(base)
        adapter.load(model, folder)
        adapter.merge(model)
        checkpoint.save(model, merged, base)
        draft = folder / "recall.new"
        draft.unlink(missing_ok=True)
        needed = {"model": merged, "text": options.eval_text}
        recall.run(
            _options(
                recall,
                needed,
                out=draft,
                lengths=options.lengths,
                splits=["trained"],
                policies=[SERVED.get(method, "FULL")],
                device=options.device,
            )
        )
        draft.replace(lines)
    cells = [json.loads(line) for line in lines.read_text().splitlines()]
    return sum(c["right"] for c in cells) / sum(c["asked"] for c in cells)


def _mean_and_range(values: list[float]) -> str:
    return f"{statistics.mean(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def run(options: Namespace) -> None:
    base = _base(options)
    rows = [
        "| method | learning rate | recall | perplexity | tokens/s in training |",
        "|---|---|---|---|---|",
    ]
    for method in options.methods:
        searched = {
            rate: _perplexity(_tuned(options, base, method, rate, options.seeds[0]))
            for rate in options.rates
        }
        best = min(searched, key=searched.__getitem__)
        folders = [_tuned(options, base, method, best, seed) for seed in options.seeds]
        recalls = [_recall(options, base, folder, method) for folder in folders]
        perplexities = [_perplexity(folder) for folder in folders]
        speed = statistics.median(_speed(folder) for folder in folders)
        rows.append(
            f"| {method} | {best:g} of {', '.join(f'{r:g}' for r in options.rates)} "
            f"| {_mean_and_range(recalls)} | {_mean_and_range(perplexities)} "
            f"| {speed:,.0f} |"
        )
        (options.out / TABLE).write_text("\n".join(rows) + "\n")
    print("\n".join(rows))
