"""The Bamba model (Mamba-2 and attention layers) in plain PyTorch: float32, CPU, one sequence.

It needs torch alone (1.13 or newer) and is written to be quick there: products are matmuls
over whole chunks, caches are never copied. torch_bench.py compares it with the goldens.
"""

import json
import math
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from engine.hylora import safetensors_file  # noqa: E402: it stands below the repository's root

# Of 32 to 256 about the quickest here; the model's own mamba_chunk_size only sets a GPU's tiles.
SCAN_CHUNK = 64
# Queries a softmax; a chunk reads no key that comes after it, so about half of all scores.
ATTENTION_CHUNK = 256


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weight


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """RoPE on the first channels. x: [..., tokens, head_dim]; cos, sin: [tokens, rotary / 2]."""
    half = cos.shape[-1]
    a, b, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    return torch.cat([a * cos - b * sin, b * cos + a * sin, rest], dim=-1)


def causal_conv(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Depthwise. x: [width - 1 + tokens, channels]. Returns [channels, tokens]."""
    if x.shape[0] == weight.shape[-1]:  # one token: conv1d costs more to set up than to do
        return (x.t() * weight[:, 0]).sum(-1, keepdim=True) + bias[:, None]
    return F.conv1d(x.t()[None], weight, bias, groups=weight.shape[0])[0]


def per_head(x: Tensor, heads: int) -> Tensor:
    """[groups, tokens, N] to [heads, tokens, N], without a copy where there is one group."""
    return x[:, None].expand(-1, heads // x.shape[0], -1, -1).reshape(heads, *x.shape[1:])


def scan_chunk(x: Tensor, log_decay: Tensor, b: Tensor, c: Tensor, state: Tensor) -> Tensor:
    """One chunk of the SSD algorithm (Dao & Gu 2024, section 6); updates `state` in place.

    x: [heads, tokens, P] times dt; log_decay: [heads, tokens]; b, c: [groups, tokens, N];
    state: [heads, P, N]. Returns y: [heads, tokens, P].
    """
    heads, tokens, _ = x.shape
    groups = b.shape[0]
    total = log_decay.cumsum(-1)
    # Masked before exp: above the diagonal the differences are positive and would overflow.
    future = torch.ones(tokens, tokens, dtype=torch.bool).triu(1)
    decay = (total[:, :, None] - total[:, None, :]).masked_fill(future, -math.inf).exp()
    scores = (c @ b.transpose(1, 2))[:, None] * decay.view(groups, -1, tokens, tokens)
    b, c = per_head(b, heads), per_head(c, heads)
    y = scores.view(heads, tokens, tokens) @ x
    y += (c @ state.transpose(1, 2)) * total.exp()[:, :, None]
    to_end = (total[:, -1:] - total).exp()[:, :, None]
    state.mul_(total[:, -1].exp()[:, None, None]).add_((x * to_end).transpose(1, 2) @ b)
    return y


def scan_step(x: Tensor, log_decay: Tensor, b: Tensor, c: Tensor, state: Tensor) -> Tensor:
    """scan_chunk of one token: the plain recurrence."""
    b, c = per_head(b, x.shape[0]), per_head(c, x.shape[0])
    state.mul_(log_decay[:, :, None].exp()).add_(x.transpose(1, 2) * b)
    return (state @ c.transpose(1, 2)).transpose(1, 2)


class State:
    """What one sequence remembers: KV cache, or scan and convolution states, by layer."""

    def __init__(self) -> None:
        self.tokens = 0
        self.layers: list[dict[str, Tensor]] = []


def read_floats(path: Path) -> dict[str, Tensor]:
    """All tensors of one file, as float32."""
    return {name: tensor.float() for name, tensor in safetensors_file.read(path).items()}


class Model:
    def __init__(self, folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        weights: dict[str, Tensor] = {}
        for path in sorted(folder.glob("*.safetensors")):
            weights.update(read_floats(path))
        prefixes = [f"model.layers.{layer}." for layer in range(config["num_hidden_layers"])]
        self.layer_weights = [
            {k[len(p) :]: v for k, v in weights.items() if k.startswith(p)} for p in prefixes
        ]
        self.embedding = weights["model.embed_tokens.weight"]
        self.head = weights.get("lm_head.weight", self.embedding)
        self.final_norm = weights["model.final_layernorm.weight"]
        self.eps = config["rms_norm_eps"]
        self.kv_heads = config["num_key_value_heads"]
        self.head_dim = config["hidden_size"] // config["num_attention_heads"]
        self.ssm_heads, self.ssm_dim = config["mamba_n_heads"], config["mamba_d_head"]
        self.groups, self.d_state = config["mamba_n_groups"], config["mamba_d_state"]
        self.inner = self.ssm_heads * self.ssm_dim
        self.conv_channels = self.inner + 2 * self.groups * self.d_state
        self.conv_width = config["mamba_d_conv"]
        rotary = int(self.head_dim * config["partial_rotary_factor"])
        exponents = torch.arange(0, rotary, 2) / rotary
        self.frequencies = config["rope_theta"] ** -exponents

    def new_state(self, capacity: int) -> State:
        """An empty state for at most `capacity` tokens."""
        state = State()
        for w in self.layer_weights:
            if "self_attn.q_proj.weight" in w:
                shape = (self.kv_heads, capacity, self.head_dim)
                state.layers.append({"k": torch.zeros(shape), "v": torch.zeros(shape)})
            else:
                conv = torch.zeros(self.conv_width - 1, self.conv_channels)
                ssm = torch.zeros(self.ssm_heads, self.ssm_dim, self.d_state)
                state.layers.append({"conv": conv, "ssm": ssm})
        return state

    def mamba(self, w: dict[str, Tensor], x: Tensor, state: dict[str, Tensor]) -> Tensor:
        tokens = x.shape[0]
        gate, conv_in, dt = F.linear(x, w["mamba.in_proj.weight"]).split(
            [self.inner, self.conv_channels, self.ssm_heads], dim=-1
        )
        conv_in = torch.cat([state["conv"], conv_in])
        state["conv"] = conv_in[tokens:].clone()
        conv = causal_conv(conv_in, w["mamba.conv1d.weight"], w["mamba.conv1d.bias"])
        size = self.groups * self.d_state
        u, b, c = F.silu(conv).split([self.inner, size, size])
        u = u.view(self.ssm_heads, self.ssm_dim, tokens).transpose(1, 2)
        b = b.view(self.groups, self.d_state, tokens).transpose(1, 2)
        c = c.view(self.groups, self.d_state, tokens).transpose(1, 2)
        dt = F.softplus(dt + w["mamba.dt_bias"]).t()
        log_decay = dt * -w["mamba.A_log"].exp()[:, None]
        scan = scan_step if tokens == 1 else scan_chunk
        pieces = [t.split(SCAN_CHUNK, 1) for t in (u * dt[:, :, None], log_decay, b, c)]
        y = torch.cat([scan(*piece, state["ssm"]) for piece in zip(*pieces)], dim=1)
        y = (y + u * w["mamba.D"][:, None, None]).transpose(0, 1).reshape(tokens, self.inner)
        y = rms_norm(y * F.silu(gate), w["mamba.norm.weight"], self.eps)
        return F.linear(y, w["mamba.out_proj.weight"])

    def attention(
        self, w: dict[str, Tensor], x: Tensor, state: dict[str, Tensor], past: int
    ) -> Tensor:
        tokens, end = x.shape[0], past + x.shape[0]
        angles = torch.arange(past, end)[:, None] * self.frequencies
        cos, sin = angles.cos(), angles.sin()
        q, k, v = (
            F.linear(x, w[f"self_attn.{name}_proj.weight"])
            .view(tokens, self.kv_heads, -1, self.head_dim)
            .permute(1, 2, 0, 3)
            for name in "qkv"
        )
        q = rotate(q, cos, sin) / math.sqrt(self.head_dim)
        state["k"][:, past:end] = rotate(k, cos, sin)[:, 0]
        state["v"][:, past:end] = v[:, 0]
        out = []
        for begin in range(0, tokens, ATTENTION_CHUNK):
            rows = q[:, :, begin : begin + ATTENTION_CHUNK]
            count, seen = rows.shape[2], past + begin + rows.shape[2]
            keys = state["k"][:, :seen].transpose(1, 2)
            scores = rows.reshape(self.kv_heads, -1, self.head_dim) @ keys
            scores = scores.view(*rows.shape[:3], seen)
            scores[..., seen - count :] += torch.full((count, count), -math.inf).triu(1)
            shares = scores.softmax(-1).view(self.kv_heads, -1, seen)
            out.append((shares @ state["v"][:, :seen]).view(rows.shape))
        heads = torch.cat(out, dim=2).permute(2, 0, 1, 3).reshape(tokens, -1)
        return F.linear(heads, w["self_attn.o_proj.weight"])

    @torch.no_grad()
    def forward(self, ids: list[int], state: State, all_rows: bool = False) -> Tensor:
        """Logits [1 or tokens, vocabulary]: of the last token, or of every one."""
        x = self.embedding[torch.tensor(ids)]
        for w, layer in zip(self.layer_weights, state.layers):
            h = rms_norm(x, w["input_layernorm.weight"], self.eps)
            if "k" in layer:
                x = x + self.attention(w, h, layer, state.tokens)
            else:
                x = x + self.mamba(w, h, layer)
            h = rms_norm(x, w["pre_ff_layernorm.weight"], self.eps)
            up = F.linear(h, w["feed_forward.up_proj.weight"])
            up = up * F.silu(F.linear(h, w["feed_forward.gate_proj.weight"]))
            x = x + F.linear(up, w["feed_forward.down_proj.weight"])
        state.tokens += len(ids)
        return F.linear(rms_norm(x if all_rows else x[-1:], self.final_norm, self.eps), self.head)
