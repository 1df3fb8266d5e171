"""Mamba-2's scan by chunks (SSD, Dao & Gu 2024, section 6) and its short convolution.

Plain torch, differentiable, batched; fp32 decays whatever autocast makes of the products.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK = 128


def causal_conv(x: Tensor, before: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Depthwise. x: [batch, tokens, channels]; before: the width - 1 inputs ahead of x;
    weight: [channels, 1, width]. Sums of shifted products: they fuse, a grouped conv1d does not."""
    tokens, width = x.shape[1], weight.shape[-1]
    x = torch.cat([before.to(x.dtype), x], dim=1)
    out = bias.to(x.dtype).expand(x.shape[0], tokens, -1)
    for tap in range(width):
        out = out + x[:, tap : tap + tokens] * weight[:, 0, tap].to(x.dtype)
    return out


def scan(
    x: Tensor, log_decay: Tensor, b: Tensor, c: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """x: [batch, tokens, heads, P], times dt already; log_decay: [batch, tokens, heads] fp32;
    b, c: [batch, tokens, groups, N]; state: [batch, heads, P, N] before the first token.
    Returns y like x and the state after the last token (fp32)."""
    tokens, heads, groups = x.shape[1], x.shape[2], b.shape[2]
    size = min(CHUNK, tokens)
    pad = -tokens % size
    if pad:  # x = 0 and decay 1 leave the state as it is
        x, b, c = (F.pad(t, (0, 0, 0, 0, 0, pad)) for t in (x, b, c))
        log_decay = F.pad(log_decay, (0, 0, 0, pad))
    batch, chunks, shared = x.shape[0], (tokens + pad) // size, heads // groups
    split = (batch, chunks, size, groups)
    x = x.reshape(*split, shared, -1).permute(0, 1, 3, 4, 2, 5)  # [batch, chunk, group, head, i, P]
    b, c = (t.reshape(*split, -1).transpose(2, 3) for t in (b, c))  # [batch, chunk, group, i, N]
    total = log_decay.reshape(*split, shared).permute(0, 1, 3, 4, 2).cumsum(-1)

    # Masked before exp: above the diagonal the differences are positive and would overflow.
    future = torch.ones(size, size, dtype=torch.bool, device=x.device).triu(1)
    decay = (total[..., :, None] - total[..., None, :]).masked_fill(future, float("-inf")).exp()
    y = ((c @ b.transpose(-1, -2))[:, :, :, None] * decay).to(x.dtype) @ x

    # The heads of a group side by side: one product each with what they share, b or c.
    rows = (x * (total[..., -1:] - total).exp()[..., None]).to(x.dtype).transpose(-1, -2)
    added = (rows.flatten(3, 4) @ b).float()  # [batch, chunk, group, head * P, N]
    ends = total[..., -1].exp().repeat_interleave(x.shape[-1], dim=-1)[..., None]
    states = [state.float().reshape(batch, groups, -1, state.shape[-1])]
    for i in range(chunks):
        states.append(states[-1] * ends[:, i] + added[:, i])
    before = torch.stack(states[:-1], dim=1).to(x.dtype)
    carried = (c @ before.transpose(-1, -2)).unflatten(-1, (shared, -1)).transpose(3, 4)
    y = y + carried * total.exp()[..., None]
    y = y.permute(0, 1, 4, 2, 3, 5).reshape(batch, tokens + pad, heads, -1)
    return y[:, :tokens].to(x.dtype), states[-1].reshape(state.shape)
