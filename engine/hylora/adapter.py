"""HyLoRA adapters: low-rank deltas of projections beside tensors trained whole, in PEFT's form.

Form (what the server's LoadAdapter takes; adapter/ of the demo model is an example), a folder of
  adapter_config.json        peft_type LORA, r, lora_alpha, bias "none"; target_modules: the
                             projections with a delta; modules_to_save: the modules trained whole;
  adapter_model.safetensors  F32 tensors. base_model.model.NAME.lora_A.weight [r, inputs] and
                             .lora_B.weight [outputs, r]: W becomes W + alpha / r * B A.
                             base_model.model.NAME.weight or .bias: replaces the base's tensor.
NAME is the model's own (model.layers.2.self_attn.q_proj, model.layers.0.mamba.conv1d).
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.hylora import safetensors_file
from engine.hylora.model import HybridModel

CONFIG, TENSORS, PREFIX = "adapter_config.json", "adapter_model.safetensors", "base_model.model."
ATTENTION_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj")
MAMBA_TARGETS = ("in_proj", "out_proj")
# HyLoRA trains convolutions and norms whole; plain LoRA nothing, LongLoRA the norms.
CONVOLUTIONS = ("conv1d",)
NORMS = ("final_layernorm", "input_layernorm", "norm", "pre_ff_layernorm")


@dataclass(frozen=True)
class AdapterShape:
    rank: int
    alpha: float
    targets: tuple[str, ...]
    whole: tuple[str, ...]


class LowRankLinear(nn.Module):
    """A frozen projection and its delta, computed apart from it as the server does."""

    def __init__(self, base: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        self.base, self.scale = base, alpha / rank
        bound = 1 / math.sqrt(base.in_features)
        device = base.weight.device
        self.lora_A = nn.Parameter(
            torch.empty(rank, base.in_features, device=device).uniform_(-bound, bound)
        )
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, rank, device=device))

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + F.linear(F.linear(x, self.lora_A), self.lora_B) * self.scale

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        self.base.weight += self.scale * self.lora_B @ self.lora_A
        return self.base


def _modules(model: HybridModel, names: tuple[str, ...]) -> dict[str, nn.Module]:
    return {n: m for n, m in model.named_modules() if n.rsplit(".", 1)[-1] in names}


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, module)


def attach(model: HybridModel, shape: AdapterShape) -> None:
    """Freezes `model` but for an adapter of `shape`, which begins as no change at all."""
    model.requires_grad_(False)
    for name, base in _modules(model, shape.targets).items():
        _replace(model, name, LowRankLinear(base, shape.rank, shape.alpha))
    for module in _modules(model, shape.whole).values():
        module.requires_grad_(True)


def merge(model: HybridModel) -> None:
    """Folds every delta into its projection: afterwards a plain model."""
    found = [(n, m) for n, m in model.named_modules() if isinstance(m, LowRankLinear)]
    for name, module in found:
        _replace(model, name, module.merged())


def tensors(model: HybridModel, shape: AdapterShape) -> dict[str, Tensor]:
    """The adapter under PEFT's names."""
    found = {}
    for name, module in model.named_modules():
        if isinstance(module, LowRankLinear):
            found[f"{PREFIX}{name}.lora_A.weight"] = module.lora_A
            found[f"{PREFIX}{name}.lora_B.weight"] = module.lora_B
    for name, module in _modules(model, shape.whole).items():
        for part, parameter in module.named_parameters(recurse=False):
            found[f"{PREFIX}{name}.{part}"] = parameter
    return {name: tensor.detach().float() for name, tensor in found.items()}


def save(model: HybridModel, shape: AdapterShape, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    safetensors_file.write(folder / TENSORS, tensors(model, shape))
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": shape.rank,
        "lora_alpha": shape.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "target_modules": list(shape.targets),
        "modules_to_save": sorted(shape.whole),
        "base_model_name_or_path": ".",
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=1) + "\n")


@torch.no_grad()
def load(model: HybridModel, folder: Path) -> AdapterShape:
    """Attaches the adapter of `folder`. ValueError names what is wrong."""
    config = json.loads((folder / CONFIG).read_text())
    shape = AdapterShape(
        config["r"],
        config["lora_alpha"],
        tuple(config["target_modules"]),
        tuple(config["modules_to_save"] or ()),
    )
    attach(model, shape)
    own, given = dict(model.named_parameters()), safetensors_file.read(folder / TENSORS)
    wanted = set(tensors(model, shape))
    if wanted != set(given):
        raise ValueError(
            f"{folder / TENSORS}: {sorted(wanted ^ set(given))[0]}: missing or unknown"
        )
    for name, tensor in given.items():
        place = own[
            name[len(PREFIX) :]
            .replace(".lora_A.weight", ".lora_A")
            .replace(".lora_B.weight", ".lora_B")
        ]
        if place.shape != tensor.shape:
            raise ValueError(
                f"{folder / TENSORS}: {name}: shape {list(tensor.shape)}, "
                f"the model's is {list(place.shape)}"
            )
        place.copy_(tensor)
    return shape
