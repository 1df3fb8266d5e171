"""Reads and writes the safetensors format: length in 8 bytes, JSON header, data.

Our own forty lines because Debian 12 has no package of it.
"""

import json
import math
from pathlib import Path

import torch
from torch import Tensor

DTYPES = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
ALIGNMENT = 8


def read(path: Path) -> dict[str, Tensor]:
    """All tensors of one file, in their own dtypes."""
    data = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        dtype, shape = DTYPES[entry["dtype"]], entry["shape"]
        offset = start + entry["data_offsets"][0]
        flat = torch.frombuffer(data, dtype=dtype, count=math.prod(shape), offset=offset)
        tensors[name] = flat.reshape(shape)
    return tensors


def write(path: Path, tensors: dict[str, Tensor]) -> None:
    """Replaces `path` whole; tensors may live on any device."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    pieces, offset = [], 0
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        raw = tensor.reshape(-1).view(torch.uint8).numpy().tobytes()
        header[name] = {
            "dtype": NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + len(raw)],
        }
        pieces.append(raw)
        offset += len(raw)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    draft = path.with_name(path.name + ".new")
    draft.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(pieces))
    draft.replace(path)
