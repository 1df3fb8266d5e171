"""Model folders in Hugging Face form (config.json, model*.safetensors), tied embeddings."""

import json
import shutil
from pathlib import Path

import torch

from engine.hylora import safetensors_file
from engine.hylora.config import ModelConfig
from engine.hylora.model import HybridModel

INDEX = "model.safetensors.index.json"
COPIED = ("tokenizer.json", "tokenizer_config.json")


def load(folder: Path, device: str = "cpu") -> HybridModel:
    """The model of `folder` in fp32. Fails when a tensor is missing, left over or misshaped."""
    model = HybridModel(ModelConfig.read(folder))
    tensors = {}
    for path in sorted(folder.glob("model*.safetensors")):
        tensors.update(safetensors_file.read(path))
    model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    return model.to(device)


def save(model: HybridModel, folder: Path, like: Path, shards: int = 1) -> None:
    """Writes bf16 weights in `shards` files; tokenizer files are copied from the folder `like`."""
    folder.mkdir(parents=True, exist_ok=True)
    model.config.write(folder)
    for name in COPIED:
        if (like / name).exists():
            shutil.copyfile(like / name, folder / name)
    tensors = {name: t.detach().to(torch.bfloat16) for name, t in model.state_dict().items()}
    if shards == 1:
        safetensors_file.write(folder / "model.safetensors", tensors)
        return
    total, weight_map, pieces = sum(t.numel() for t in tensors.values()), {}, {}
    so_far = 0
    for name, tensor in tensors.items():
        shard = min(shards - 1, so_far * shards // total) + 1
        file = f"model-{shard:05}-of-{shards:05}.safetensors"
        pieces.setdefault(file, {})[name] = tensor
        weight_map[name] = file
        so_far += tensor.numel()
    for file, piece in pieces.items():
        safetensors_file.write(folder / file, piece)
    document = {"metadata": {"total_size": 2 * total}, "weight_map": weight_map}
    (folder / INDEX).write_text(json.dumps(document, indent=1) + "\n")
