"""Three small random Bamba models, each awkward in its own way, and their goldens."""

import math
import os

import torch
from transformers import BambaConfig, BambaForCausalLM

import golden_io

# The implementation under test may be off by ERROR times the largest |logit|; at every golden
# position the best token leads by ten times that, so that greedy decoding has one right answer.
ERROR = 1e-3
MARGIN = 10 * ERROR
PROMPT_LENGTHS = (1, 77)
GREEDY_TOKENS = 24
SEEDS = 20
MAX_BYTES = 400_000

COMMON = dict(
    pad_token_id=0,
    bos_token_id=1,
    eos_token_id=2,
    max_position_embeddings=512,
    mamba_expand=2,
    mamba_chunk_size=16,
)


def rope(theta, factor):
    return {"rope_type": "default", "rope_theta": theta, "partial_rotary_factor": factor}


CONFIGS = {
    # Explicit head_dim that is not hidden / heads, one KV head, half of each head turned, untied.
    "tiny1": dict(
        vocab_size=97,
        hidden_size=40,
        intermediate_size=56,
        num_hidden_layers=3,
        attn_layer_indices=[1],
        num_attention_heads=3,
        num_key_value_heads=1,
        head_dim=12,
        rope_parameters=rope(10000.0, 0.5),
        mamba_n_heads=5,
        mamba_d_head=16,
        mamba_n_groups=1,
        mamba_d_state=12,
        mamba_d_conv=4,
        tie_word_embeddings=False,
    ),
    # Two groups, all of each head turned, as many KV heads as query heads, tied, every bias that
    # the family has, a time step that is clamped at both ends.
    "tiny2": dict(
        vocab_size=120,
        hidden_size=48,
        intermediate_size=72,
        num_hidden_layers=3,
        attn_layer_indices=[2],
        num_attention_heads=4,
        num_key_value_heads=4,
        rope_parameters=rope(10000.0, 1.0),
        mamba_n_heads=6,
        mamba_d_head=16,
        mamba_n_groups=2,
        mamba_d_state=10,
        mamba_d_conv=4,
        attention_bias=True,
        mamba_proj_bias=True,
        time_step_limit=(0.02, 1.5),
        tie_word_embeddings=True,
    ),
    # Attention first and last, four query heads to a KV head, a quarter of each head turned,
    # another theta, a shorter convolution without bias.
    "tiny3": dict(
        vocab_size=131,
        hidden_size=40,
        intermediate_size=60,
        num_hidden_layers=4,
        attn_layer_indices=[0, 3],
        num_attention_heads=8,
        num_key_value_heads=2,
        head_dim=8,
        rope_parameters=rope(500.0, 0.25),
        mamba_n_heads=10,
        mamba_d_head=8,
        mamba_n_groups=2,
        mamba_d_state=16,
        mamba_d_conv=3,
        mamba_conv_bias=False,
        tie_word_embeddings=False,
    ),
}


@torch.no_grad()
def randomize(model, seed):
    """Weights under which every part of the model matters to the logits."""
    random = torch.Generator().manual_seed(seed)

    def normal(tensor, std, mean=0.0):
        tensor.copy_(torch.randn(tensor.shape, generator=random) * std + mean)

    def uniform(tensor, low, high):
        tensor.copy_(torch.rand(tensor.shape, generator=random) * (high - low) + low)

    for name, tensor in model.named_parameters():
        if name.endswith("A_log"):
            uniform(tensor, math.log(0.3), math.log(8.0))
        elif name.endswith("dt_bias"):
            # softplus of these spans time steps from 0.01 to 1: slow and fast heads.
            uniform(tensor, -4.6, 0.5)
        elif name.endswith(".D") or "norm" in name:
            normal(tensor, 0.3, mean=1.0)
        elif name.endswith("bias"):
            normal(tensor, 0.3)
        elif "conv1d" in name:
            normal(tensor, 0.6)
        elif "embed_tokens" in name:
            normal(tensor, 0.5)
        elif "q_proj" in name or "k_proj" in name:
            normal(tensor, 1.8 / math.sqrt(tensor.shape[1]))
        else:
            normal(tensor, 1.3 / math.sqrt(tensor.shape[1]))


def save(name, seed, folder):
    config = BambaConfig(**COMMON, **CONFIGS[name])
    model = BambaForCausalLM(config)
    randomize(model, seed)
    model.save_pretrained(folder, safe_serialization=True)
    os.remove(os.path.join(folder, "generation_config.json"))
    size = os.path.getsize(os.path.join(folder, "model.safetensors"))
    assert size <= MAX_BYTES, f"{name}: {size} bytes"


def grow(model, length, random):
    """A prompt whose every position has the margin, or None. Causality lets it grow by tokens."""
    ids = []
    for _ in range(length):
        tokens = torch.randperm(model.config.vocab_size, generator=random)[:32].tolist()
        last = golden_io.full_forward(model, [ids + [token] for token in tokens])[:, -1]
        good = (golden_io.margins(last) >= MARGIN).nonzero().flatten().tolist()
        if not good:
            return None
        ids.append(tokens[good[0]])
    return ids


def continue_greedily(model, prefix):
    """(prompt, greedy ids) for the last prompt token whose continuation keeps the margin and
    varies most, or None. Every token of the vocabulary is tried as the last one."""
    rows = [prefix + [token] for token in range(model.config.vocab_size)]
    good = torch.ones(len(rows), dtype=torch.bool, device=model.device)
    for _ in range(GREEDY_TOKENS):
        last = golden_io.full_forward(model, rows)[:, -1]
        good &= golden_io.margins(last) >= MARGIN
        for row, token in zip(rows, last.argmax(dim=-1).tolist()):
            row.append(token)
    split = len(prefix) + 1
    kept = [(row[:split], row[split:]) for row, ok in zip(rows, good.tolist()) if ok]
    return max(kept, key=lambda pair: len(set(pair[1])), default=None)


def check(model, name, ids, greedy_ids):
    """Logits of the whole sequence, after all that a golden promises has been checked."""
    logits = golden_io.full_forward(model, [ids + greedy_ids[:-1]])[0]
    worst = golden_io.margins(logits).min().item()
    assert worst >= MARGIN, f"{name}: margin {worst}"
    for step, token in enumerate(greedy_ids):
        row = golden_io.full_forward(model, [ids + greedy_ids[:step]])[0, -1]
        assert row.argmax().item() == token, f"{name}: step {step}"
        difference = (row - logits[len(ids) - 1 + step]).abs().max() / row.abs().max()
        assert difference < ERROR / 10, f"{name}: step {step} differs by {difference}"
    model.double()
    exact = golden_io.full_forward(model, [ids + greedy_ids[:-1]])[0]
    model.float()
    error = ((logits - exact).abs().amax(-1) / exact.abs().amax(-1)).max().item()
    print(
        f"  {name}: min margin {worst:.4f}, {len(set(greedy_ids))} distinct of {len(greedy_ids)}"
        f" greedy tokens, float32 against float64 {error:.1e}"
    )
    return logits


def try_seed(name, seed, folder, device):
    save(name, seed, folder)
    model = golden_io.load(folder, device)
    random = torch.Generator().manual_seed(seed)
    goldens = []
    for length in PROMPT_LENGTHS:
        prefix = grow(model, length - 1, random)
        pair = continue_greedily(model, prefix) if prefix is not None else None
        if pair is None:
            return None
        ids, greedy_ids = pair
        logits = check(model, f"prompt{length}", ids, greedy_ids)
        positions = list(range(len(logits)))
        goldens.append(
            golden_io.golden(f"prompt{length}", None, ids, greedy_ids, logits, positions)
        )
    return goldens


def make(name, folder, device):
    print(name)
    for seed in range(SEEDS):
        goldens = try_seed(name, seed, folder, device)
        if goldens is None:
            print(f"  seed {seed}: no continuation keeps the margin")
            continue
        description = {"model": name, "seed": seed, "max_error": ERROR, "min_margin": MARGIN}
        golden_io.write(folder, description, goldens, device)
        return
    raise SystemExit(f"{name}: no seed of {SEEDS} keeps a margin of {MARGIN}")
