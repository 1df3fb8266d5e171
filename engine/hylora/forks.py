"""Many questions asked of one long text at once: greedy decoding on forks of its past.

The past is computed once and shared; each fork keeps its own tail of keys and values and its own
recurrent states. A fork's question is one query chunk, each token that it draws another.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.hylora.attention import SpanSettings, rotate, softmax_attention
from engine.hylora.model import Block, HybridModel, Past

PIECE = 4096  # tokens of a prefill call


@torch.no_grad()
def remember(model: HybridModel, ids: Tensor, settings: SpanSettings) -> Past:
    """ids: [tokens]. The past of one text."""
    past = model.new_past(1)
    for piece in ids.split(PIECE):
        _, past = model(piece[None], past, settings)
    return past


@dataclass
class Tail:
    """A layer's keys and values of all forks: [forks, kv_heads, room, head_dim]."""

    keys: Tensor
    values: Tensor


class ForkAttention:
    """One attention layer over the shared past and the forks' tails."""

    def __init__(self, model: HybridModel, layer: int, past: Past, settings: SpanSettings) -> None:
        self.settings, self.config = settings, model.config
        self.keys, self.values = (t[0] for t in past.layers[layer])  # [kv_heads, tokens, head_dim]
        self.tokens = self.keys.shape[1]
        if settings.policy == "FULL":
            positions = torch.arange(self.tokens, device=self.keys.device)
            self.keys = rotate(self.keys, positions, model.config.rotary, model.config.rope_theta)
        span = settings.policy == "SE_ATTN" and layer in model.config.retrieving_layers
        self.span = settings.span if span else 0

    def _choose(self, q: Tensor, keep: Tensor, last: Tensor) -> Tensor:
        """[forks, kv_heads, span] blocks in order. last: [forks] the first block of the window."""
        block, (kv_heads, _, d) = self.settings.block, self.keys.shape
        whole = self.tokens // block * block
        rows = q.unflatten(1, (kv_heads, -1))  # [forks, kv_heads, rep, n, d]
        scores = rows.flatten(2, 3) @ self.keys[:, :whole].transpose(-1, -2)
        scores = scores.unflatten(2, rows.shape[2:4])
        scores = scores.masked_fill(~keep[:, None, None, :, None], float("-inf")).amax((2, 3))
        best = scores.unflatten(-1, (-1, block)).amax(-1)
        number = torch.arange(best.shape[-1], device=q.device)
        outside = (number >= last[:, None]) | (number < self.settings.sinks)
        best = best.masked_fill(outside[:, None], float("-inf"))
        return best.topk(self.span, dim=-1).indices.sort(-1).values

    def _take(self, shared: Tensor, tail: Tensor, index: Tensor) -> Tensor:
        """index: [forks, kv_heads, m] positions; those from self.tokens on lie in the tail."""
        heads = torch.arange(shared.shape[0], device=index.device)[:, None]
        old = shared[heads, index.clamp(max=self.tokens - 1)]
        place = (index - self.tokens).clamp(0, tail.shape[2] - 1)
        new = tail.gather(2, place[..., None].expand(-1, -1, -1, tail.shape[3]))
        return torch.where((index < self.tokens)[..., None], old, new)

    def __call__(self, q: Tensor, tail: Tail, begin: Tensor, keep: Tensor) -> Tensor:
        """q: [forks, heads, n, d] at positions begin on; keep: [forks, n], False at padding."""
        if self.settings.policy == "FULL":
            return self._full(q, tail, begin)
        s, forks, n = self.settings, q.shape[0], q.shape[2]
        last = (begin - s.window).clamp(min=0) // s.block
        w0, kv_heads = last * s.block, self.keys.shape[0]
        inside = torch.arange(s.block, device=q.device)
        blocks = torch.arange(s.sinks, device=q.device).expand(forks, kv_heads, -1)
        if self.span:
            blocks = torch.cat([blocks, self._choose(q, keep, last)], dim=-1)
        index = (blocks[..., None] * s.block + inside).flatten(2)
        before = index.shape[-1]
        width = s.window + s.block + n
        window = w0[:, None] + torch.arange(width, device=q.device)
        index = torch.cat([index, window[:, None].expand(-1, kv_heads, -1)], dim=-1)
        k, v = self._take(self.keys, tail.keys, index), self._take(self.values, tail.values, index)
        c, positions = self.config, torch.arange(before + width, device=q.device)
        own = begin[:, None] + torch.arange(n, device=q.device)
        stands = before + own - w0[:, None]
        k = rotate(k, positions, c.rotary, c.rope_theta)
        q = rotate(q, stands[:, None], c.rotary, c.rope_theta)
        return softmax_attention(q, k, v, (positions <= stands[..., None])[:, None])

    def _full(self, q: Tensor, tail: Tail, begin: Tensor) -> Tensor:
        """Everything at its true position; the past is read where it lies, once for all forks."""
        c, room = self.config, torch.arange(tail.keys.shape[2], device=q.device)
        own = begin[:, None] + torch.arange(q.shape[2], device=q.device)
        q = rotate(q, own[:, None], c.rotary, c.rope_theta) / math.sqrt(c.head_dim)
        newer = rotate(tail.keys, self.tokens + room, c.rotary, c.rope_theta)
        rows = q.unflatten(1, (c.kv_heads, -1)).flatten(2, 3)  # [forks, kv_heads, rep * n, d]
        scores = (rows @ newer.transpose(-1, -2)).unflatten(2, (-1, q.shape[2]))
        hidden = self.tokens + room > own[..., None]
        scores = scores.masked_fill(hidden[:, None, None], float("-inf")).flatten(2, 3)
        scores = torch.cat([rows @ self.keys.transpose(-1, -2), scores], dim=-1).softmax(-1)
        old, new = scores.split([self.tokens, len(room)], dim=-1)
        out = old @ self.values + new @ tail.values
        return out.unflatten(2, (-1, q.shape[2])).flatten(1, 2)


class Forks:
    """Answers prompts on forks of `past` (at least window + block tokens long)."""

    def __init__(self, model: HybridModel, past: Past, settings: SpanSettings) -> None:
        self.model, self.past, self.settings = model, past, settings

    @torch.no_grad()
    def answer(self, prompts: list[list[int]], most: int, end: int) -> list[list[int]]:
        """Greedy ids after each prompt, up to `end` (left out) or `most`."""
        device, forks = self.model.model.embed_tokens.weight.device, len(prompts)
        longest = max(map(len, prompts))
        ids = torch.zeros(forks, longest, dtype=torch.long)
        lengths = torch.tensor([len(p) for p in prompts])
        for row, prompt in zip(ids, prompts):
            row[: len(prompt)] = torch.tensor(prompt)
        keep = torch.arange(longest) < lengths[:, None]
        self._start(forks, longest + most, device)
        ids, lengths, keep = ids.to(device), lengths.to(device), keep.to(device)
        begin = torch.full((forks,), self.past.tokens, device=device)
        hidden = self._step(ids, begin, keep)
        drawn = self._draw(hidden[torch.arange(forks, device=device), lengths - 1])
        out, begin = [drawn], begin + lengths
        one = torch.ones(forks, 1, dtype=torch.bool, device=device)
        for _ in range(most - 1):
            drawn = self._draw(self._step(drawn[:, None], begin, one)[:, 0])
            out.append(drawn)
            begin = begin + 1
            if len(out) % 8 == 0 and (torch.stack(out) == end).any(0).all():
                break
        rows = torch.stack(out, dim=1).tolist()
        return [row[: row.index(end)] if end in row else row for row in rows]

    def _start(self, forks: int, room: int, device: torch.device) -> None:
        c = self.model.config
        self.states: list[tuple] = []
        for index, block in enumerate(self.model.model.layers):
            if block.attends:
                shape = (forks, c.kv_heads, room, c.head_dim)
                tail = Tail(torch.zeros(shape, device=device), torch.zeros(shape, device=device))
                attention = ForkAttention(self.model, index, self.past, self.settings)
                self.states.append((attention, tail))
            else:
                pair = self.past.layers[index]
                self.states.append(tuple(t.expand(forks, *t.shape[1:]) for t in pair))

    def _draw(self, hidden: Tensor) -> Tensor:
        return self.model.logits(hidden).argmax(-1)

    def _step(self, ids: Tensor, begin: Tensor, keep: Tensor) -> Tensor:
        x = self.model.model.embed_tokens(ids)
        for index, block in enumerate(self.model.model.layers):
            if block.attends:
                x = self._attend(block, x, *self.states[index], begin, keep)
            else:
                x, self.states[index] = block.recur(x, self.states[index], keep.float())
        return self.model.model.final_layernorm(x)

    def _attend(
        self,
        block: Block,
        x: Tensor,
        attention: ForkAttention,
        tail: Tail,
        begin: Tensor,
        keep: Tensor,
    ) -> Tensor:
        q, k, v = block.self_attn.project(block.input_layernorm(x))
        # Padding writes too, but behind its fork's tokens, which overwrite it before it is seen.
        place = (begin - self.past.tokens)[:, None] + torch.arange(x.shape[1], device=x.device)
        place = place.clamp(max=tail.keys.shape[2] - 1)[:, None, :, None].expand_as(k)
        tail.keys.scatter_(2, place, k)
        tail.values.scatter_(2, place, v)
        return block.mlp(x + block.self_attn.output(attention(q, tail, begin, keep)))
