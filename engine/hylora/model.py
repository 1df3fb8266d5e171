"""The hybrid model (Mamba-2 and attention layers) to train: the server's arithmetic in torch.

Parameters carry Hugging Face's names (model.layers.0.mamba.in_proj.weight, ...), so that a
checkpoint is a state dict. Shapes: x is [batch, tokens, d_model]; batch rows are equally long.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.hylora.attention import ChunkAttention, SpanSettings, rotate, softmax_attention
from engine.hylora.config import ModelConfig
from engine.hylora.ssd import causal_conv, scan

# Of the initial time steps (Mamba-2's own).
DT_MIN, DT_MAX = 1e-3, 1e-1
INITIAL_STD = 0.02


class RmsNorm(nn.Module):
    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(size)), eps

    def forward(self, x: Tensor) -> Tensor:
        y = x.float()
        y = y * torch.rsqrt(y.square().mean(-1, keepdim=True) + self.eps)
        return (y * self.weight).to(x.dtype)


class Conv1d(nn.Module):
    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        bound = width**-0.5
        self.weight = nn.Parameter(torch.empty(channels, 1, width).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(channels))


def projection(rows: int, columns: int) -> nn.Linear:
    return nn.Linear(columns, rows, bias=False)


@dataclass
class Past:
    """What earlier tokens left, by layer: (conv inputs, ssm state), or (keys, values) unrotated."""

    layers: list[tuple[Tensor, Tensor]]
    tokens: int = 0

    def without_keys(self) -> "Past":
        """The recurrent states alone, cut from the graph: what a training row hands on."""
        # A layer with keys has two tensors of four dimensions, a recurrent one's inputs have three.
        layers = [(a[:, :, :0], b[:, :, :0]) if a.dim() == 4 else (a, b) for a, b in self.layers]
        return Past([(a.detach(), b.detach()) for a, b in layers])


class Mamba(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        heads = config.ssm_heads
        self.in_proj = projection(config.in_proj_rows, config.d_model)
        self.out_proj = projection(config.d_model, config.inner)
        self.conv1d = Conv1d(config.conv_channels, config.conv_width)
        dt = torch.exp(torch.rand(heads) * math.log(DT_MAX / DT_MIN) + math.log(DT_MIN))
        self.dt_bias = nn.Parameter(dt + torch.log(-torch.expm1(-dt)))  # inverse of softplus
        self.A_log = nn.Parameter(torch.empty(heads).uniform_(1, 16).log())
        self.D = nn.Parameter(torch.ones(heads))
        self.norm = RmsNorm(config.inner, config.eps)

    def forward(self, x: Tensor, conv: Tensor, ssm: Tensor, keep: Tensor | None = None):
        """keep: [batch, tokens], 0 at padding after a row's end, which must not move the state."""
        c = self.config
        batch, tokens, _ = x.shape
        gate, inputs, dt = self.in_proj(x).split([c.inner, c.conv_channels, c.ssm_heads], dim=-1)
        mixed = F.silu(causal_conv(inputs, conv, self.conv1d.weight, self.conv1d.bias))
        u, b, cc = mixed.split([c.inner, c.groups * c.d_state, c.groups * c.d_state], dim=-1)
        u = u.reshape(batch, tokens, c.ssm_heads, c.ssm_dim)
        b, cc = (t.reshape(batch, tokens, c.groups, c.d_state) for t in (b, cc))
        dt = F.softplus(dt.float() + self.dt_bias)
        if keep is not None:
            dt = dt * keep[..., None]
        log_decay = -dt * self.A_log.float().exp()
        y, ssm = scan((u * dt[..., None]).to(u.dtype), log_decay, b, cc, ssm)
        y = (y + u * self.D.to(u.dtype)[:, None]).reshape(batch, tokens, c.inner)
        y = self.norm(y * F.silu(gate))
        return self.out_proj(y), self._last_inputs(conv, inputs, keep), ssm

    def _last_inputs(self, conv: Tensor, inputs: Tensor, keep: Tensor | None) -> Tensor:
        width = conv.shape[1]
        joined = torch.cat([conv.to(inputs.dtype), inputs], dim=1)
        if keep is None:
            return joined[:, joined.shape[1] - width :]
        ends = keep.sum(1).long()[:, None] + torch.arange(width, device=inputs.device)
        return joined.gather(1, ends[..., None].expand(-1, -1, joined.shape[2]))


class Attention(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        q, kv = config.q_heads * config.head_dim, config.kv_heads * config.head_dim
        self.q_proj, self.k_proj = projection(q, config.d_model), projection(kv, config.d_model)
        self.v_proj, self.o_proj = projection(kv, config.d_model), projection(config.d_model, q)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """q, k, v as [batch, heads, tokens, head_dim], before RoPE."""
        shape = (*x.shape[:2], -1, self.config.head_dim)
        q, k, v = (
            p(x).view(shape).transpose(1, 2) for p in (self.q_proj, self.k_proj, self.v_proj)
        )
        return q, k, v

    def output(self, heads: Tensor) -> Tensor:
        return self.o_proj(heads.transpose(1, 2).flatten(2))

    def row(self, x: Tensor) -> Tensor:
        """Causal attention within rows that stand alone: what pretraining does."""
        q, k, v = self.project(x)
        positions = torch.arange(x.shape[1], device=x.device)
        c = self.config
        q, k = (rotate(t, positions, c.rotary, c.rope_theta) for t in (q, k))
        return self.output(softmax_attention(q, k, v, None))


class FeedForward(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate_proj = projection(config.mlp, config.d_model)
        self.up_proj = projection(config.mlp, config.d_model)
        self.down_proj = projection(config.d_model, config.mlp)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    def __init__(self, config: ModelConfig, attends: bool) -> None:
        super().__init__()
        self.attends = attends
        if attends:
            self.self_attn = Attention(config)
        else:
            self.mamba = Mamba(config)
        self.input_layernorm = RmsNorm(config.d_model, config.eps)
        self.pre_ff_layernorm = RmsNorm(config.d_model, config.eps)
        self.feed_forward = FeedForward(config)

    def mlp(self, x: Tensor) -> Tensor:
        return x + self.feed_forward(self.pre_ff_layernorm(x))

    def row(self, x: Tensor, conv: Tensor, ssm: Tensor, dropout: float):
        """One training row a batch row: recurrent states come in and go out, keys do not."""
        h = self.input_layernorm(x)
        if self.attends:
            mixed = self.self_attn.row(h)
        else:
            mixed, conv, ssm = self.mamba(h, conv, ssm)
        x = x + F.dropout(mixed, dropout, self.training)
        h = self.feed_forward(self.pre_ff_layernorm(x))
        return x + F.dropout(h, dropout, self.training), conv, ssm

    def attend(self, x: Tensor, past: tuple[Tensor, Tensor], begin: int, attention: ChunkAttention):
        q, k, v = self.self_attn.project(self.input_layernorm(x))
        k, v = torch.cat([past[0].to(k.dtype), k], 2), torch.cat([past[1].to(v.dtype), v], 2)
        return self.mlp(x + self.self_attn.output(attention(q, k, v, begin))), (k, v)

    def recur(self, x: Tensor, past: tuple[Tensor, Tensor], keep: Tensor | None = None):
        mixed, conv, ssm = self.mamba(self.input_layernorm(x), *past, keep)
        return self.mlp(x + mixed), (conv, ssm)


class Trunk(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocabulary, config.d_model)
        attends = [i in config.attention_layers for i in range(config.layers)]
        self.layers = nn.ModuleList(Block(config, a) for a in attends)
        self.final_layernorm = RmsNorm(config.d_model, config.eps)


class HybridModel(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.model = Trunk(config)
        deep = INITIAL_STD / math.sqrt(2 * config.layers)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                ends = name.endswith(("out_proj.weight", "o_proj.weight", "down_proj.weight"))
                nn.init.normal_(parameter, std=deep if ends else INITIAL_STD)

    def new_past(self, batch: int) -> Past:
        """Of nothing, in fp32."""
        c, device = self.config, self.model.embed_tokens.weight.device
        layers = []
        for block in self.model.layers:
            if block.attends:
                shapes = ((batch, c.kv_heads, 0, c.head_dim),) * 2
            else:
                conv = (batch, c.conv_width - 1, c.conv_channels)
                shapes = (conv, (batch, c.ssm_heads, c.ssm_dim, c.d_state))
            layers.append(tuple(torch.zeros(s, device=device) for s in shapes))
        return Past(layers)

    def attention_of(self, layer: int, settings: SpanSettings) -> ChunkAttention:
        c = self.config
        return ChunkAttention(settings, layer in c.retrieving_layers, c.rotary, c.rope_theta)

    def forward(self, ids: Tensor, past: Past, settings: SpanSettings) -> tuple[Tensor, Past]:
        """Hidden states [batch, tokens, d_model] after the final norm, and the longer past."""
        x, layers = self.model.embed_tokens(ids), []
        for index, block in enumerate(self.model.layers):
            if block.attends:
                attention = self.attention_of(index, settings)
                x, kept = block.attend(x, past.layers[index], past.tokens, attention)
            else:
                x, kept = block.recur(x, past.layers[index])
            layers.append(kept)
        return self.model.final_layernorm(x), Past(layers, past.tokens + ids.shape[1])

    def rows(
        self, ids: Tensor, past: Past, dropout: float, calls: list | None = None
    ) -> tuple[Tensor, Past]:
        """The fast way of pretraining: attention within the row, states passed on.
        calls: each layer's Block.row, compiled or not."""
        x, layers = F.dropout(self.model.embed_tokens(ids), dropout, self.training), []
        calls = calls or [block.row for block in self.model.layers]
        for call, (a, b) in zip(calls, past.layers):
            x, a, b = call(x, a, b, dropout)
            layers.append((a, b))
        return self.model.final_layernorm(x), Past(layers)

    def logits(self, hidden: Tensor) -> Tensor:
        return F.linear(hidden, self.model.embed_tokens.weight)
