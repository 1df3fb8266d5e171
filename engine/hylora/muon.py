"""Muon: momentum whose step is orthogonalised (Jordan et al. 2024), for projection matrices.

AdamW takes everything else. Matrices of one shape are stepped together.
"""

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn

# Of the quintic Newton-Schulz iteration; they bring singular values near 1 in five rounds.
COEFFICIENTS, ROUNDS = (3.4445, -4.7750, 2.0315), 5


def orthogonalize(matrices: Tensor) -> Tensor:
    """[n, rows, columns] to the nearest orthogonal ones, roughly; bf16 on a GPU."""
    x = matrices.bfloat16() if matrices.is_cuda else matrices.float()
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.transpose(1, 2)
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(ROUNDS):
        gram = x @ x.transpose(1, 2)
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.transpose(1, 2) if tall else x


class Muon(torch.optim.Optimizer):
    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.1,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            by_shape = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape[parameter.shape].append(parameter)
            for parameters in by_shape.values():
                self._step_shape(parameters, group)

    def _step_shape(self, parameters: list[Tensor], group: dict) -> None:
        steps = []
        for parameter in parameters:
            state = self.state[parameter]
            if not state:
                state["momentum"] = torch.zeros_like(parameter)
            buffer = state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
            steps.append(parameter.grad.lerp(buffer, group["momentum"]))  # Nesterov
        rows, columns = parameters[0].shape
        scale = group["lr"] * max(1, rows / columns) ** 0.5
        for parameter, step in zip(parameters, orthogonalize(torch.stack(steps))):
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
            parameter.add_(step.to(parameter.dtype), alpha=-scale)


def optimizers(model: nn.Module, muon_lr: float, adam_lr: float) -> list[torch.optim.Optimizer]:
    """Muon over the trainable projection matrices, AdamW over the other trainable parameters."""
    matrices, others = [], []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            matrix = parameter.dim() == 2 and "_proj" in name and muon_lr > 0
            (matrices if matrix else others).append(parameter)
    found: list[torch.optim.Optimizer] = []
    if matrices:
        found.append(Muon(matrices, muon_lr))
    found.append(torch.optim.AdamW(others, adam_lr, betas=(0.9, 0.95), weight_decay=0.0))
    return found
