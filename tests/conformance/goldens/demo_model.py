"""Goldens of the demo model: real text, long greedy continuations, near-ties avoided."""

import os
import time

import torch
from tokenizers import Tokenizer

import demo_prompts
import golden_io

GREEDY_TOKENS = 256
# A greedy choice that leads by less, relative to the largest |logit|, is as good as a tie.
MARGIN = 1e-4
LOGITS_POSITIONS = 12
MAX_BYTES = 6_000_000


@torch.no_grad()
def generate(model, ids):
    """(greedy ids, their logits [GREEDY_TOKENS, vocabulary]) with transformers' cache."""
    out = model(input_ids=torch.tensor([ids], device=model.device), use_cache=True)
    greedy_ids, rows = [], []
    while True:
        row = out.logits[0, -1].float()
        rows.append(row)
        greedy_ids.append(row.argmax().item())
        if len(greedy_ids) == GREEDY_TOKENS:
            return greedy_ids, torch.stack(rows)
        out = model(
            input_ids=torch.tensor([greedy_ids[-1:]], device=model.device),
            # Left out, they would start at 0 again whatever the cache holds.
            position_ids=torch.tensor([[len(ids) + len(greedy_ids) - 1]], device=model.device),
            past_key_values=out.past_key_values,
            use_cache=True,
        )


def spread(length, prompt_length):
    """Positions from first to last, the prompt's last among them."""
    steps = LOGITS_POSITIONS - 1
    positions = {round(i * (length - 1) / steps) for i in range(steps + 1)}
    return sorted(positions | {prompt_length - 1})


def try_prompt(model, tokenizer, kind, text):
    """golden() of `text`, or None when some greedy choice is a near-tie.

    The cache only finds the continuation; the logits that are kept come from one forward pass
    without it. Where that pass picks the same token after every prefix, it is by induction what
    greedy decoding without a cache yields.
    """
    start = time.time()
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    greedy_ids, cached = generate(model, ids)
    logits = golden_io.full_forward(model, [ids + greedy_ids[:-1]])[0]
    greedy_logits = logits[len(ids) - 1 :]
    scale = greedy_logits.abs().amax(dim=-1, keepdim=True)
    difference = ((cached - greedy_logits).abs() / scale).max().item()
    margin = golden_io.margins(greedy_logits).min().item()
    same = greedy_logits.argmax(dim=-1).tolist() == greedy_ids
    print(
        f"  {kind}: {len(ids)} tokens, min margin {margin:.1e}, cached differs by {difference:.1e},"
        f" same tokens: {same}, {len(set(greedy_ids))} distinct, {time.time() - start:.0f} s",
        flush=True,
    )
    if not same or margin <= MARGIN:
        return None
    positions = spread(len(logits), len(ids))
    record, tensors = golden_io.golden(kind, text, ids, greedy_ids, logits, positions)
    record["greedy_text"] = tokenizer.decode(greedy_ids, skip_special_tokens=False)
    record["cached_max_difference"] = difference
    return record, tensors


def first_good(model, tokenizer, kind, candidates):
    for text in candidates:
        golden = try_prompt(model, tokenizer, kind, text)
        if golden is not None:
            return golden
    raise SystemExit(f"demo: every candidate of {kind} meets a near-tie; add candidates")


def make(demo, folder, device):
    print("demo")
    model = golden_io.load(demo, device)
    tokenizer = Tokenizer.from_file(os.path.join(demo, "tokenizer.json"))
    goldens = [
        first_good(model, tokenizer, kind, candidates)
        for kind, candidates in demo_prompts.KINDS.items()
    ]
    golden_io.write(folder, {"model": "demo", "min_greedy_margin": MARGIN}, goldens, device)
    size = sum(os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder))
    assert size <= MAX_BYTES, f"demo: {size} bytes"
