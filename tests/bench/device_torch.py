#!/usr/bin/env python3
"""Decode speed of transformers' Bamba class on a GPU: what `decode_bench` is compared with.

    tests/bench/device_torch.py --model DIR|CONFIG.json [--history 1024] [--steps 64]

A folder is loaded as it is; a config.json makes random weights. Batch 1, bf16, greedy, through
`generate`, which brings the class's own cache; eager, and compiled by torch.compile. Prints `bench` lines in the form of
decode_bench; which optional kernels transformers found is told in them.
"""

import argparse
import importlib.util
import statistics
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
def step_seconds(model: torch.nn.Module, history: int, steps: int) -> float:
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
        )
        synchronize(model)
        return time.perf_counter() - begin

    run(WARM_UP_TOKENS)
    short = statistics.median(run(WARM_UP_TOKENS) for _ in range(3))
    long = statistics.median(run(WARM_UP_TOKENS + steps) for _ in range(3))
    return (long - short) / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--history", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--no-compile", action="store_true")
    options = parser.parse_args()
    model = load(options.model, options.device).eval()
    for mode in ("eager",) if options.no_compile else ("eager", "compiled"):
        if mode == "compiled":
            model.forward = torch.compile(model.forward, dynamic=True)
        try:
            seconds = step_seconds(model, options.history, options.steps)
        except Exception as error:  # a mode that this version can not run is a result too
            print(f"bench name=torch_decode mode={mode} error={type(error).__name__}", flush=True)
            continue
        print(
            f"bench name=torch_decode model={options.model} mode={mode} batch=1 "
            f"history_tokens={options.history} step_ms={seconds * 1e3:.4f} "
            f"tokens_per_second={1 / seconds:.1f} kernels={kernels()} "
            f"transformers={transformers.__version__} torch={torch.__version__}",
            flush=True,
        )


if __name__ == "__main__":
    main()
