#!/usr/bin/env python3
"""Decode speed of transformers' Bamba class on a GPU: what `decode_bench` is compared with.

    tests/bench/device_torch.py --model DIR|CONFIG.json [--history 1024] [--steps 64]

A folder is loaded as it is; a config.json makes random weights. Batch 1, bf16, greedy, with the
class's own cache; eager, and compiled by torch.compile. Prints `bench` lines in the form of
decode_bench; which optional kernels transformers found is told in them.
"""

import argparse
import importlib.util
import statistics
import time
from pathlib import Path

import torch
import transformers


def load(path: Path) -> torch.nn.Module:
    if path.is_dir():
        return transformers.BambaForCausalLM.from_pretrained(path, dtype=torch.bfloat16).cuda()
    config = transformers.BambaConfig.from_json_file(path)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        return transformers.BambaForCausalLM(config)


def kernels() -> str:
    names = ("mamba_ssm", "causal_conv1d", "flash_attn")
    found = [name for name in names if importlib.util.find_spec(name)]
    return "+".join(found) or "torch_only"


@torch.inference_mode()
def step_seconds(model: torch.nn.Module, forward, history: int, steps: int) -> list[float]:
    vocabulary = model.config.vocab_size
    prompt = torch.randint(4, vocabulary, (1, history), device="cuda")
    out = model(prompt, use_cache=True, logits_to_keep=1)
    cache, token = out.past_key_values, out.logits[:, -1].argmax(-1, keepdim=True)
    seconds = []
    for step in range(steps + 8):
        position = torch.tensor([history + step], device="cuda")
        torch.cuda.synchronize()
        begin = time.perf_counter()
        out = forward(token, past_key_values=cache, cache_position=position, use_cache=True)
        token = out.logits[:, -1].argmax(-1, keepdim=True)
        torch.cuda.synchronize()
        if step >= 8:
            seconds.append(time.perf_counter() - begin)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--history", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--no-compile", action="store_true")
    options = parser.parse_args()
    model = load(options.model).eval()
    modes = {"eager": model.forward}
    if not options.no_compile:
        modes["compiled"] = torch.compile(model.forward, dynamic=True)
    for mode, forward in modes.items():
        try:
            seconds = step_seconds(model, forward, options.history, options.steps)
        except Exception as error:  # a mode that this version can not run is a result too
            print(f"bench name=torch_decode mode={mode} error={type(error).__name__}", flush=True)
            continue
        median = statistics.median(seconds)
        print(
            f"bench name=torch_decode model={options.model} mode={mode} batch=1 "
            f"history_tokens={options.history} step_ms={median * 1e3:.4f} "
            f"tokens_per_second={1 / median:.1f} kernels={kernels()} "
            f"transformers={transformers.__version__} torch={torch.__version__}",
            flush=True,
        )


if __name__ == "__main__":
    main()
