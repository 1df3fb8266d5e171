"""A toy HyLoRA on the CPU: its loss falls, its form keeps what was trained, and the server's
logits under the adapter are those of the training."""

import argparse
import json
import lzma
import subprocess
import sys
import unittest
from pathlib import Path

import numpy as np
import torch

from engine.hylora import adapter, checkpoint, corpus, safetensors_file, tune
from engine.hylora.attention import SpanSettings
from engine.hylora.tokenizer import Tokenizer

DUMP_LOGITS, SCRATCH = sys.argv[1], Path(sys.argv[2])
MODEL, BOOK = Path("engine/model/demo"), Path("deploy/book/she.txt.xz")
# Long enough that each row's last query chunk retrieves: window 512, block 32, 8 blocks.
CONTEXT, STEPS = 1024, 8


def arguments(out: Path, **changed: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    tune.add_arguments(parser)
    needed = ["--model", str(MODEL), "--text", str(SCRATCH / "book.bin"), "--out", str(out)]
    options = parser.parse_args(needed)
    toy = {
        "context": CONTEXT,
        "steps": STEPS,
        "book_rows": 1,
        "synthetic_rows": 0,
        "workers": 0,
        "log_every": 1,
        "device": "cpu",
        "lr": 5e-3,
        "warm_up": 2,
    }
    for name, value in {**toy, **changed}.items():
        setattr(options, name, value)
    return options


class Tuning(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        text = lzma.open(BOOK, "rt", encoding="utf-8").read()
        cls.ids = corpus.tokenize([text[20_000:200_000]], Tokenizer(MODEL))
        # One row of text again and again: what a few steps can learn.
        corpus.write(cls.ids[:CONTEXT], SCRATCH / "book.bin")
        corpus.write(cls.ids, SCRATCH / "long.bin")
        cls.out = SCRATCH / "adapter"
        tune.run(arguments(cls.out))

    def losses(self, folder: Path) -> list[float]:
        lines = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
        return [line["loss"] for line in lines if "loss" in line]

    @torch.no_grad()
    def logits(self, model: torch.nn.Module) -> torch.Tensor:
        ids = torch.from_numpy(self.ids[None, 2000 : 2000 + CONTEXT].astype("int64"))
        hidden, _ = model.eval()(ids, model.new_past(1), SpanSettings())
        return model.logits(hidden)

    def test_loss_falls(self) -> None:
        losses = self.losses(self.out)
        self.assertEqual(len(losses), STEPS)
        self.assertLess(losses[-1], losses[0] - 0.15, losses)

    def test_merged_equals_unmerged_and_differs_from_the_base(self) -> None:
        base = checkpoint.load(MODEL)
        plain = self.logits(base)
        adapter.load(base, self.out)
        unmerged = self.logits(base)
        adapter.merge(base)
        merged = self.logits(base)
        scale = plain.abs().max()
        self.assertLess(((merged - unmerged).abs().max() / scale).item(), 1e-4)
        self.assertGreater(((unmerged - plain).abs().max() / scale).item(), 1e-2)

    def test_the_server_computes_what_was_trained(self) -> None:
        model, ids = checkpoint.load(MODEL), self.ids[2000 : 2000 + CONTEXT]
        adapter.load(model, self.out)
        (SCRATCH / "ids").write_text("\n".join(map(str, ids)))
        count, stride = str(CONTEXT), 32
        command = [DUMP_LOGITS, MODEL, SCRATCH / "ids", count, str(stride), SCRATCH, self.out]
        subprocess.run(command, check=True)
        servers = torch.from_numpy(np.fromfile(SCRATCH / "SE_ATTN.f32", np.float32))
        ours = self.logits(model)[0, ::stride]
        difference = (servers.view_as(ours) - ours).abs().max() / ours.abs().max()
        self.assertLess(difference.item(), 1e-4)

    def test_form_keeps_every_tensor(self) -> None:
        model = checkpoint.load(MODEL)
        shape = adapter.load(model, self.out)
        again = SCRATCH / "again"
        adapter.save(model, shape, again)
        for name in (adapter.CONFIG, adapter.TENSORS):
            self.assertEqual((self.out / name).read_bytes(), (again / name).read_bytes(), name)

    def test_form_is_that_of_the_demo_adapter(self) -> None:
        theirs, ours = MODEL / "adapter", self.out
        shapes = [
            {n: (t.dtype, t.shape) for n, t in safetensors_file.read(f / adapter.TENSORS).items()}
            for f in (theirs, ours)
        ]
        self.assertEqual(*shapes)
        configs = [json.loads((f / adapter.CONFIG).read_text()) for f in (theirs, ours)]
        self.assertEqual(*configs)

    def test_a_tensor_too_few_is_refused_by_name(self) -> None:
        broken = SCRATCH / "broken"
        broken.mkdir()
        tensors = safetensors_file.read(self.out / adapter.TENSORS)
        name = "base_model.model.model.layers.2.self_attn.k_proj.lora_B.weight"
        del tensors[name]
        safetensors_file.write(broken / adapter.TENSORS, tensors)
        (broken / adapter.CONFIG).write_bytes((self.out / adapter.CONFIG).read_bytes())
        with self.assertRaisesRegex(ValueError, name):
            adapter.load(checkpoint.load(MODEL), broken)

    def test_goes_on_where_it_was_interrupted(self) -> None:
        whole, halves = SCRATCH / "whole", SCRATCH / "halves"
        short = {"context": 128, "steps": 4, "text": SCRATCH / "long.bin", "save_seconds": 0.0}
        tune.run(arguments(whole, **short))
        first = tune.Run
        try:
            tune.Run = lambda *a, **k: _Interrupted(first(*a, **k), after=2)
            with self.assertRaises(KeyboardInterrupt):
                tune.run(arguments(halves, **short))
        finally:
            tune.Run = first
        tune.run(arguments(halves, **short))
        got, wanted = (safetensors_file.read(f / adapter.TENSORS) for f in (halves, whole))
        for name, tensor in wanted.items():
            torch.testing.assert_close(got[name], tensor, msg=name)


class _Interrupted:
    """A Run that ends in Ctrl-C once `after` steps are saved."""

    def __init__(self, run: object, after: int) -> None:
        self.__dict__.update(run=run, after=after)

    def __getattr__(self, name: str) -> object:
        return getattr(self.run, name)

    def save(self, extra: dict) -> None:
        self.run.save(extra)
        if self.run.step == self.after:
            raise KeyboardInterrupt


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
