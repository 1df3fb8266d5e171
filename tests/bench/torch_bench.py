#!/usr/bin/env python3
"""Prefill and decode speed of a Bamba model in PyTorch on the CPU, beside model_bench's figures.

Prints `bench` lines as model_bench does. Without torch it says so on stderr and prints nothing.
It first compares its logits and greedy tokens with the goldens and gives no figure if they differ.
"""

import argparse
import importlib.util
import json
import os
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Largest difference of a logit from its golden, over the largest |logit| at that position.
TOLERANCE = 1e-4
PREFILL_TOKENS = (512, 4096)
PREFILL_RUNS = 3
DECODE_STEPS = 48
# Greedy tokens of each golden that are decoded; the logits of all of them are compared.
CHECKED_TOKENS = 32
# The first pass allocates, starts threads and compiles what the later ones reuse.
WARM_UP_TOKENS = 512

# A runner's logits(ids): [tokens, vocabulary]. Its generate(ids, count): `count` greedy ids and
# the seconds that each took; the first one's are the prefill's.
Generated = tuple[list[int], list[float]]


class PlainRunner:
    name = "pytorch"

    def __init__(self, folder: Path) -> None:
        import torch_model

        self.model = torch_model.Model(folder)

    def logits(self, ids: list[int]):
        return self.model.forward(ids, self.model.new_state(len(ids)), all_rows=True)

    def generate(self, ids: list[int], count: int) -> Generated:
        state = self.model.new_state(len(ids) + count)
        tokens, seconds = [], []
        while len(tokens) < count:
            begin = time.perf_counter()
            row = self.model.forward(tokens[-1:] or ids, state)
            tokens.append(row.argmax().item())
            seconds.append(time.perf_counter() - begin)
        return tokens, seconds


class TransformersRunner:
    name = "transformers"

    def __init__(self, folder: Path) -> None:
        from transformers import BambaForCausalLM

        self.model = BambaForCausalLM.from_pretrained(folder, torch_dtype="float32").eval()
        # No token ends the continuation early.
        self.model.generation_config.eos_token_id = None

    def logits(self, ids: list[int]):
        import torch

        with torch.no_grad():
            return self.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]

    def generate(self, ids: list[int], count: int) -> Generated:
        import torch

        times = [time.perf_counter()]

        # Its caches change from version to version; generate() knows its own. It asks the
        # criteria once a token, which gives the times.
        def clock(sequences, scores, **_):
            times.append(time.perf_counter())
            return torch.zeros(sequences.shape[0], dtype=torch.bool)

        out = self.model.generate(
            torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids), dtype=torch.long),
            max_new_tokens=count,
            do_sample=False,
            stopping_criteria=[clock],
        )
        seconds = [end - begin for begin, end in zip(times, times[1:])]
        return out[0, len(ids) :].tolist(), seconds


def make_runner(implementation: str, folder: Path):
    if implementation == "pytorch":
        return PlainRunner(folder)
    if importlib.util.find_spec("transformers") is not None:
        import transformers

        # Some versions import without the torch that they want, and fail only when used.
        if hasattr(transformers, "BambaForCausalLM") and transformers.is_torch_available():
            return TransformersRunner(folder)
    if implementation == "transformers":
        raise SystemExit("--implementation: no transformers with Bamba for this torch")
    return PlainRunner(folder)


def check(runner, goldens: Path) -> None:
    """Exits unless the runner's logits and greedy tokens are those of the goldens."""
    import torch_model

    prompts = json.loads((goldens / "goldens.json").read_text(encoding="utf-8"))["prompts"]
    tensors = torch_model.read_floats(goldens / "goldens.safetensors")
    worst = 0.0
    for prompt in prompts:
        name, ids, greedy_ids = prompt["name"], prompt["ids"], prompt["greedy_ids"]
        logits = runner.logits(ids + greedy_ids[:-1])
        scale = tensors[f"{name}.max_abs_logit"]
        positions = prompt["logits_positions"]
        rows = (logits[positions] - tensors[f"{name}.logits"]).abs().amax(-1) / scale[positions]
        tops = (logits.amax(-1) - tensors[f"{name}.top1_logit"]).abs() / scale
        error = max(rows.max().item(), tops.max().item())
        # Not `error > TOLERANCE`: NaN must fail.
        if not error <= TOLERANCE:
            raise SystemExit(f"{runner.name}: prompt {name}: logits differ by {error:.1e}")
        if runner.generate(ids, CHECKED_TOKENS)[0] != greedy_ids[:CHECKED_TOKENS]:
            raise SystemExit(f"{runner.name}: prompt {name}: greedy tokens differ")
        worst = max(worst, error)
    print(
        f"bench name=torch_check implementation={runner.name} prompts={len(prompts)} "
        f"max_relative_error={worst:.1e} greedy_tokens=same",
        flush=True,
    )


def bench(runner, threads: int) -> None:
    # What the tokens are does not change the work.
    ids = [100 + i % 1000 for i in range(max(PREFILL_TOKENS))]
    runner.generate(ids[:WARM_UP_TOKENS], 2)
    for count in PREFILL_TOKENS:
        runs = [runner.generate(ids[:count], 1)[1][0] for _ in range(PREFILL_RUNS)]
        print(
            f"bench name=prefill implementation={runner.name} policy=full tokens={count} "
            f"tokens_per_second={count / statistics.median(runs):.1f} threads={threads}",
            flush=True,
        )
    history = max(PREFILL_TOKENS)
    step = statistics.median(runner.generate(ids, DECODE_STEPS + 1)[1][1:])
    print(
        f"bench name=decode implementation={runner.name} policy=full history_tokens={history} "
        f"step_ms={step * 1e3:.3f} tokens_per_second={1 / step:.1f} threads={threads}"
    )


def blas_library() -> str:
    """Debian's torch takes whichever libblas.so.3 is chosen; the slow reference one shows here."""
    paths = {line.split()[-1] for line in open("/proc/self/maps") if "libblas.so" in line}
    return ",".join(sorted(paths)) or "bundled"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=ROOT / "engine/model/demo")
    parser.add_argument("--goldens", type=Path, default=ROOT / "tests/conformance/goldens/demo")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument(
        "--implementation",
        choices=["auto", "transformers", "pytorch"],
        default="auto",
        help="auto: transformers where it can be imported, else plain PyTorch",
    )
    parser.add_argument("--check", action="store_true", help="compare with the goldens only")
    args = parser.parse_args()
    # OpenBLAS and OpenMP read these once, when torch loads them.
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(args.threads)
    if importlib.util.find_spec("torch") is None:
        print("bench name=torch_missing", file=sys.stderr)
        return
    import torch

    torch.set_num_threads(args.threads)
    runner = make_runner(args.implementation, args.model)
    print(
        f"bench name=torch implementation={runner.name} version={torch.__version__} "
        f"blas={blas_library()} threads={args.threads}"
    )
    if (args.goldens / "goldens.json").exists():
        check(runner, args.goldens)
    elif args.check:
        raise SystemExit(f"--goldens: no goldens.json in {args.goldens}")
    else:
        print("bench name=torch_unchecked", file=sys.stderr)
    if not args.check:
        bench(runner, args.threads)


if __name__ == "__main__":
    main()
