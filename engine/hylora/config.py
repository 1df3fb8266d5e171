"""The shape of a hybrid model, read from a Hugging Face config.json of the Bamba family."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class ModelConfig:
    raw: dict[str, Any] = field(repr=False)  # the file's own content, written back unchanged

    @staticmethod
    def read(folder: Path) -> "ModelConfig":
        return ModelConfig(json.loads((folder / "config.json").read_text()))

    def write(self, folder: Path) -> None:
        (folder / "config.json").write_text(json.dumps(self.raw, indent=1) + "\n")

    vocabulary = property(lambda self: self.raw["vocab_size"])
    d_model = property(lambda self: self.raw["hidden_size"])
    mlp = property(lambda self: self.raw["intermediate_size"])
    layers = property(lambda self: self.raw["num_hidden_layers"])
    eps = property(lambda self: self.raw["rms_norm_eps"])
    attention_layers = property(lambda self: self.raw["attn_layer_indices"])
    q_heads = property(lambda self: self.raw["num_attention_heads"])
    kv_heads = property(lambda self: self.raw["num_key_value_heads"])
    head_dim = property(lambda self: self.d_model // self.q_heads)
    rotary = property(lambda self: int(self.head_dim * self.raw["partial_rotary_factor"]))
    rope_theta = property(lambda self: self.raw["rope_theta"])
    ssm_heads = property(lambda self: self.raw["mamba_n_heads"])
    ssm_dim = property(lambda self: self.raw["mamba_d_head"])
    d_state = property(lambda self: self.raw["mamba_d_state"])
    groups = property(lambda self: self.raw["mamba_n_groups"])
    conv_width = property(lambda self: self.raw["mamba_d_conv"])
    inner = property(lambda self: self.ssm_heads * self.ssm_dim)
    conv_channels = property(lambda self: self.inner + 2 * self.groups * self.d_state)
    in_proj_rows = property(lambda self: self.inner + self.conv_channels + self.ssm_heads)
    context = property(lambda self: self.raw["max_position_embeddings"])

    @property
    def retrieving_layers(self) -> list[int]:
        """As the server reads it: all attention layers when the key is missing."""
        return self.raw.get("eidetic_retrieving_layers", self.attention_layers)
