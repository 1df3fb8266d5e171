"""Attention of one layer under each policy, as the server defines it (SE-Attn exactly).

Keys come before RoPE and are rotated where they are used. A query chunk is the tokens that share
one choice of span: appended tokens are cut at absolute multiples of `chunk`.
Policies: SE_ATTN, FULL, WINDOW as the server's; S2 (LongLoRA's shifted groups) to train only.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class SpanSettings:
    policy: str = "SE_ATTN"
    block: int = 32  # tokens
    window: int = 512  # tokens
    span: int = 8  # blocks
    sinks: int = 1  # blocks
    chunk: int = 512  # tokens
    remap: bool = True
    group: int = 2048  # tokens of an S2 group


@dataclass(frozen=True)
class SpanPlan:
    """What a chunk that begins at a position attends to: sinks, blocks of [first, last), window."""

    window_begin: int = 0
    sinks: int = 0
    last: int = 0
    span: int = 0
    remap: bool = False

    @staticmethod
    def of(settings: SpanSettings, begin: int, retrieves: bool) -> "SpanPlan":
        if settings.policy == "FULL":
            return SpanPlan()
        last = max(0, begin - settings.window) // settings.block
        sinks = min(settings.sinks, last)
        span = min(settings.span, last - sinks) if retrieves and settings.policy == "SE_ATTN" else 0
        return SpanPlan(last * settings.block, sinks, last, span, settings.remap)


def rotate(x: Tensor, positions: Tensor, rotary: int, theta: float) -> Tensor:
    """RoPE on the first `rotary` channels. x: [..., tokens, head_dim]; positions: [..., tokens]."""
    exponents = torch.arange(0, rotary, 2, device=x.device, dtype=torch.float32) / rotary
    angles = positions[..., None].float() * theta**-exponents
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    a, b, rest = x[..., : rotary // 2], x[..., rotary // 2 : rotary], x[..., rotary:]
    return torch.cat([a * cos - b * sin, b * cos + a * sin, rest], dim=-1)


def softmax_attention(q: Tensor, k: Tensor, v: Tensor, allowed: Tensor | None) -> Tensor:
    """q: [batch, heads, n, d]; k, v: [batch, kv_heads, m, d]; allowed: [..., n, m] or None, which
    means causal with equal lengths. Returns like q."""
    repeat = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(repeat, dim=1), v.repeat_interleave(repeat, dim=1)
    if hasattr(F, "scaled_dot_product_attention"):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=allowed, is_causal=allowed is None)
    if allowed is None:
        allowed = torch.ones(q.shape[2], q.shape[2], dtype=torch.bool, device=q.device).tril()
    scores = (q @ k.transpose(-1, -2)) / math.sqrt(q.shape[-1])
    return scores.masked_fill(~allowed, float("-inf")).softmax(-1) @ v


@torch.no_grad()
def choose_blocks(q: Tensor, k: Tensor, plan: SpanPlan, block: int) -> Tensor:
    """The span: [batch, kv_heads, plan.span] block numbers in order. Relevance of a block is the
    largest q . k over its tokens, the chunk's queries and the KV head's query heads."""
    distant = k[:, :, plan.sinks * block : plan.last * block]
    batch, kv_heads, _, d = k.shape
    rows = q.reshape(batch, kv_heads, -1, d)
    best = (rows @ distant.transpose(-1, -2)).amax(2)
    best = best.reshape(batch, kv_heads, -1, block).amax(-1)
    return best.topk(plan.span, dim=-1).indices.sort(-1).values + plan.sinks


def gather_blocks(x: Tensor, blocks: Tensor, block: int) -> Tensor:
    """x: [batch, kv_heads, tokens, d]; blocks: [batch, kv_heads, n]. Returns their tokens."""
    offsets = torch.arange(block, device=x.device)
    index = (blocks[..., None] * block + offsets).flatten(2)
    return x.gather(2, index[..., None].expand(-1, -1, -1, x.shape[-1]))


class ChunkAttention:
    """Attends chunk by chunk over keys and values of which the newest are the queries' own."""

    def __init__(self, settings: SpanSettings, retrieves: bool, rotary: int, theta: float) -> None:
        self.settings, self.retrieves = settings, retrieves
        self.rotary, self.theta = rotary, theta

    def chunk(self, q: Tensor, k: Tensor, v: Tensor, begin: int) -> Tensor:
        """q: [batch, heads, n, d] at positions begin on; k, v: everything up to their last."""
        block, end = self.settings.block, begin + q.shape[2]
        plan = SpanPlan.of(self.settings, begin, self.retrieves)
        blocks = torch.arange(plan.sinks, device=q.device).expand(*k.shape[:2], -1)
        if plan.span:
            blocks = torch.cat([blocks, choose_blocks(q, k, plan, block)], dim=-1)
        keys, values = (
            torch.cat([gather_blocks(x, blocks, block), x[:, :, plan.window_begin : end]], dim=2)
            for x in (k, v)
        )
        before = blocks.shape[-1] * block
        if plan.remap:  # sinks and span without gaps, then the window
            positions = torch.arange(before + end - plan.window_begin, device=q.device)
        else:
            inside = torch.arange(block, device=q.device)
            distant = (blocks[..., None] * block + inside).flatten(2)
            window = torch.arange(plan.window_begin, end, device=q.device)
            positions = torch.cat([distant, window.expand(*distant.shape[:2], -1)], dim=-1)
        own = positions[..., positions.shape[-1] - q.shape[2] :].reshape(-1, q.shape[2])[0]
        # What stands before the window is seen by all; the queries are the last of the window.
        order = torch.arange(keys.shape[2], device=q.device)
        allowed = order <= order[keys.shape[2] - q.shape[2] :, None]
        q = rotate(q, own, self.rotary, self.theta)
        keys = rotate(keys, positions, self.rotary, self.theta)
        return softmax_attention(q, keys, values, allowed)

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, begin: int) -> Tensor:
        """q: the newest positions, begin on; cut at absolute multiples of the chunk."""
        if self.settings.policy == "S2":
            return self._shifted_groups(q, k, v)
        size, out, at, end = self.settings.chunk, [], begin, begin + q.shape[2]
        while at < end:
            stop = min(end, (at // size + 1) * size)
            rows = q[:, :, at - begin : stop - begin]
            out.append(self.chunk(rows, k[:, :, :stop], v[:, :, :stop], at))
            at = stop
        return torch.cat(out, dim=2)

    def _shifted_groups(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """LongLoRA's S2-Attn: causal within groups, shifted by half a group in half of the heads.
        No token sees the sequence's other end, as it would if groups wrapped around."""
        heads, kv, group = q.shape[1] // 2, k.shape[1] // 2, self.settings.group
        positions = torch.arange(q.shape[2], device=q.device)
        q, k = (rotate(x, positions, self.rotary, self.theta) for x in (q, k))
        halves = []
        for half, first in ((0, group), (1, group // 2)):
            hq, hk, hv = (
                x[:, half * n : (half + 1) * n] for x, n in ((q, heads), (k, kv), (v, kv))
            )
            sizes = [first] + [group] * (max(0, q.shape[2] - first) // group)
            sizes.append(q.shape[2] - sum(sizes))
            pieces = (x.split([s for s in sizes if s > 0], dim=2) for x in (hq, hk, hv))
            halves.append(torch.cat([softmax_attention(*p, None) for p in zip(*pieces)], dim=2))
        return torch.cat(halves, dim=1)
