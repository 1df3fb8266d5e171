"""What pretraining and tuning share: schedule, log of figures, progress, resumable checkpoints."""

import json
import math
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STATE = "training_state.pt"
LOG = "log.jsonl"
BAR = 24  # characters
CLIP = 1.0


def weighted_loss(hidden: Tensor, embedding: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    logits = F.linear(hidden, embedding.to(hidden.dtype)).flatten(0, 1).float()
    losses = F.cross_entropy(logits, targets.flatten(), reduction="none")
    weights = weights.flatten()
    return (losses * weights).sum() / weights.sum().clamp(min=1.0)


def learning_share(step: int, steps: int, warm_up: int) -> float:
    """Linear to 1 over the warm-up, linear to 0 over the last half."""
    rising = (step + 1) / max(1, min(warm_up, steps // 4))
    falling = (steps - step) / max(1.0, steps / 2)
    return min(1.0, rising, falling)


@dataclass
class Run:
    """One training run: where it writes, how far it is, and its optimisers."""

    out: Path
    model: nn.Module
    optimizers: list[torch.optim.Optimizer]
    steps: int
    warm_up: int
    save_seconds: float = 300.0
    max_seconds: float = 0.0  # when set, `steps` is cut to what fits (measured after 100 steps)
    step: int = 0
    began: float = field(default_factory=time.monotonic)
    saved: float = field(default_factory=time.monotonic)
    rates: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        self.rates = [group["lr"] for o in self.optimizers for group in o.param_groups]

    def resume(self) -> dict[str, Any] | None:
        """What save() was given, with model, optimisers and step as they were; None at a start."""
        path = self.out / STATE
        if not path.exists():
            return None
        state = torch.load(path, map_location="cpu")
        self.model.load_state_dict(state["model"], strict=False)
        for optimizer, saved in zip(self.optimizers, state["optimizers"]):
            optimizer.load_state_dict(saved)
        self.step, self.steps = state["step"], state["steps"]
        return state["extra"]

    def save(self, extra: dict[str, Any]) -> None:
        trained = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        state = {
            "model": {name: p.detach().cpu() for name, p in trained.items()},
            "optimizers": [o.state_dict() for o in self.optimizers],
            "step": self.step,
            "steps": self.steps,
            "extra": extra,
        }
        draft = self.out / (STATE + ".new")
        torch.save(state, draft)
        draft.replace(self.out / STATE)
        self.saved = time.monotonic()

    def save_is_due(self) -> bool:
        return time.monotonic() - self.saved > self.save_seconds

    def apply(self, loss: Tensor) -> Tensor:
        """Backward and one step of every optimiser. Returns the gradient's norm."""
        share = learning_share(self.step, self.steps, self.warm_up)
        groups = [group for o in self.optimizers for group in o.param_groups]
        for group, rate in zip(groups, self.rates):
            group["lr"] = rate * share
        loss.backward()
        norm = nn.utils.clip_grad_norm_([p for g in groups for p in g["params"]], CLIP)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return norm

    def fit_into_time(self, first: int, first_seconds: float) -> None:
        """After a step `first`, reached at `first_seconds`: cuts `steps` to max_seconds."""
        now = time.monotonic() - self.began
        a_step = (now - first_seconds) / (self.step - first)
        self.steps = min(self.steps, self.step + int((self.max_seconds - now) / a_step))

    def log(self, **figures: float | str) -> None:
        """One line of JSON in log.jsonl; a bar on stderr."""
        seconds = time.monotonic() - self.began
        rounded = {k: float(f"{v:.5g}") if isinstance(v, float) else v for k, v in figures.items()}
        line = {"step": self.step, "steps": self.steps, "seconds": round(seconds, 2), **rounded}
        with open(self.out / LOG, "a") as file:
            file.write(json.dumps(line) + "\n")
        done = int(BAR * self.step / max(1, self.steps))
        shown = " ".join(f"{k}={v}" for k, v in rounded.items())
        bar = "#" * done + "." * (BAR - done)
        print(
            f"[{bar}] {self.step}/{self.steps} {seconds:.0f} s {shown}", file=sys.stderr, flush=True
        )


def perplexity(loss: float) -> float:
    return math.exp(min(loss, 50.0))
