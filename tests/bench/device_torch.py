#!/usr/bin/env python3
"""Decode speed of transformers' Bamba class on a GPU: what `decode_bench` is compared with.

    tests/bench/device_torch.py --model DIR|CONFIG.json [--history 1024] [--steps 64]

A folder is loaded as it is; a config.json makes random weights. Batch 1, bf16, greedy, through
`generate`: eager with the class's own cache; compiled by torch.compile; static, where transformers
itself compiles for a cache of fixed size, with CUDA graphs (--modes). A mode runs in a process of its own for at most --seconds: one that takes longer
is told as such. Prints `bench` lines in the form of decode_bench; which optional kernels
transformers found is told in them.
"""

import argparse
import importlib.util
import multiprocessing
import os
import statistics
import sys
import time
from pathlib import Path

import torch
import transformers

WARM_UP_TOKENS = 8


def load(path: Path, device: str) -> torch.nn.Module:
    if path.is_dir():
        return transformers.BambaForCausalLM.from_pretrained(path, dtype=torch.bfloat16).to(device)
    config = transformers.BambaConfig.from_json_file(path)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device(device):
        return transformers.BambaForCausalLM(config)


def kernels() -> str:
    names = ("mamba_ssm", "causal_conv1d", "flash_attn")
    found = [name for name in names if importlib.util.find_spec(name)]
    return "+".join(found) or "torch_only"


def synchronize(model: torch.nn.Module) -> None:
    if model.device.type == "cuda":
        torch.cuda.synchronize()


@torch.inference_mode()
def step_seconds(model: torch.nn.Module, history: int, steps: int, **generate: str) -> float:
    """Of one token: two runs of `generate` of different lengths, their difference by the tokens."""
    prompt = torch.randint(4, model.config.vocab_size, (1, history), device=model.device)
    mask = torch.ones_like(prompt)

    def run(tokens: int) -> float:
        synchronize(model)
        begin = time.perf_counter()
        model.generate(
            prompt,
            attention_mask=mask,
            do_sample=False,
            min_new_tokens=tokens,
            max_new_tokens=tokens,
            pad_token_id=0,
            **generate,
        )
        synchronize(model)
        return time.perf_counter() - begin

    run(WARM_UP_TOKENS)
    short = statistics.median(run(WARM_UP_TOKENS) for _ in range(3))
    long = statistics.median(run(WARM_UP_TOKENS + steps) for _ in range(3))
    return (long - short) / steps


def measure(options: argparse.Namespace, mode: str) -> None:
    try:
        print_step(options, mode)
    except Exception as error:  # a mode that this version can not run is a result too
        print(error)
        print(f"bench name=torch_decode mode={mode} error={type(error).__name__}")
    sys.stdout.flush()
    os._exit(0)  # not held up by the processes that compiled


def print_step(options: argparse.Namespace, mode: str) -> None:
    model = load(options.model, options.device).eval()
    if mode == "compiled":
        model.forward = torch.compile(model.forward, dynamic=True)
    cache = {"cache_implementation": "static"} if mode == "static" else {}
    begin = time.perf_counter()
    seconds = step_seconds(model, options.history, options.steps, **cache)
    print(
        f"bench name=torch_decode model={options.model} mode={mode} batch=1 "
        f"history_tokens={options.history} step_ms={seconds * 1e3:.4f} "
        f"tokens_per_second={1 / seconds:.1f} whole_seconds={time.perf_counter() - begin:.1f} "
        f"kernels={kernels()} transformers={transformers.__version__} torch={torch.__version__}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--history", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--modes", default="eager,compiled,static")
    parser.add_argument("--seconds", type=float, default=100, help="that a mode may take in all")
    options = parser.parse_args()
    for mode in options.modes.split(","):
        process = multiprocessing.get_context("spawn").Process(
            target=measure, args=(options, mode)
        )
        process.start()
        process.join(options.seconds)
        if process.is_alive():
            process.kill()
            process.join()
            print(
                f"bench name=torch_decode model={options.model} mode={mode} "
                f"unfinished_after_seconds={options.seconds:g} kernels={kernels()}",
                flush=True,
            )


if __name__ == "__main__":
    main()
