"""Forward passes of the reference model, and the files that goldens are written to.

A golden folder holds goldens.json (prompts, ids, versions) and goldens.safetensors (float32
arrays that goldens.json names). Sequence = prompt ids followed by all greedy ids but the last;
position p's logits predict the token at p + 1. End tokens do not stop the greedy continuation.
"""

import json
import os
import re
import sys

import torch
import transformers
from safetensors.torch import save_file
from transformers import BambaForCausalLM


def load(folder, device):
    """The model of `folder` in float32 with eager attention."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    model = BambaForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    )
    return model.to(device).eval()


@torch.no_grad()
def full_forward(model, rows):
    """Logits [batch, length, vocabulary] of equally long id lists, without a cache."""
    ids = torch.tensor(rows, device=model.device)
    return model(input_ids=ids, use_cache=False).logits.float()


def margins(logits):
    """top-1 minus top-2 of the last dimension, over the largest |logit|."""
    top = logits.topk(2, dim=-1).values
    return (top[..., 0] - top[..., 1]) / logits.abs().amax(dim=-1)


def versions(device):
    name = torch.cuda.get_device_name() if str(device).startswith("cuda") else "CPU"
    return {
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "device": name,
        "arithmetic": "float32, eager attention, no cache, TF32 off",
    }


def golden(name, text, ids, greedy_ids, logits, positions):
    """One prompt's golden. logits: [length, vocabulary] of the whole sequence."""
    logits = logits.cpu()
    assert logits.shape[0] == len(ids) + len(greedy_ids) - 1
    tensors = {
        f"{name}.logits": logits[positions].contiguous(),
        f"{name}.top1_logit": logits.amax(dim=-1).contiguous(),
        f"{name}.max_abs_logit": logits.abs().amax(dim=-1).contiguous(),
        f"{name}.margin": margins(logits).contiguous(),
    }
    first = len(ids) - 1
    record = {
        "name": name,
        "ids": ids,
        "greedy_ids": greedy_ids,
        "top1_ids": logits.argmax(dim=-1).tolist(),
        "logits_positions": positions,
        "min_greedy_margin": margins(logits[first:]).min().item(),
    }
    if text is not None:
        record["text"] = text
    assert record["top1_ids"][first:] == greedy_ids
    return record, tensors


def write(folder, description, goldens, device):
    """description: what the json says of all prompts; goldens: results of golden()."""
    os.makedirs(folder, exist_ok=True)
    document = dict(description)
    document["versions"] = versions(device)
    document["tensors"] = {
        "<name>.logits": "[len(logits_positions), vocabulary]: all logits at logits_positions",
        "<name>.top1_logit": "[positions of the sequence]",
        "<name>.max_abs_logit": "[positions of the sequence]",
        "<name>.margin": "[positions of the sequence]: (top1 - top2) / max |logit|",
    }
    document["prompts"] = [record for record, _ in goldens]
    text = json.dumps(document, indent=1, ensure_ascii=False)
    # Lists of numbers on one line each.
    text = re.sub(r"\[[\d,\s]+\]", lambda match: " ".join(match.group().split()), text)
    with open(os.path.join(folder, "goldens.json"), "w", encoding="utf-8") as file:
        file.write(text + "\n")
    arrays = {}
    for _, tensors in goldens:
        arrays.update(tensors)
    save_file(arrays, os.path.join(folder, "goldens.safetensors"))
    for name in os.listdir(folder):
        os.chmod(os.path.join(folder, name), 0o644)
