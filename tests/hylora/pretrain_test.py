"""Pretraining of a tiny model: states cross rows, an interrupted run goes on as if it never was."""

import argparse
import json
import lzma
import shutil
import sys
import unittest
from pathlib import Path

import torch

from engine.hylora import checkpoint, corpus, pretrain
from engine.hylora.config import ModelConfig
from engine.hylora.model import HybridModel
from engine.hylora.tokenizer import Tokenizer
from engine.hylora.training import Run

SCRATCH = Path(sys.argv[1])
MODEL, BOOK = Path("engine/model/demo"), Path("deploy/book/she.txt.xz")
TINY = {
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "num_key_value_heads": 1,
    "attn_layer_indices": [1],
    "eidetic_retrieving_layers": [1],
    "mamba_n_heads": 4,
    "mamba_d_head": 24,
    "mamba_d_state": 8,
}
STEPS = 6


def tiny_folder(name: str, **changed: object) -> Path:
    folder = SCRATCH / name
    folder.mkdir()
    config = json.loads((MODEL / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **TINY, **changed}))
    shutil.copyfile(MODEL / "tokenizer.json", folder / "tokenizer.json")
    return folder


class Pretraining(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.like = tiny_folder("like")
        text = lzma.open(BOOK, "rt", encoding="utf-8").read()
        cls.ids = corpus.tokenize([text[:60_000]], Tokenizer(cls.like))
        corpus.write(cls.ids, SCRATCH / "book.bin")

    def arguments(self, out: Path) -> argparse.Namespace:
        parser = argparse.ArgumentParser()
        pretrain.add_arguments(parser)
        words = f"--like {self.like} --text {SCRATCH}/book.bin --out {out} --steps {STEPS}"
        words += " --context 96 --book-rows 2 --synthetic-rows 1 --workers 1 --device cpu"
        return parser.parse_args((words + " --save-seconds 0 --shards 2").split())

    def test_a_state_carried_on_is_as_if_the_row_went_on(self) -> None:
        # Without attention, which stays within rows, nothing else passes from row to row.
        folder = tiny_folder("recurrent", attn_layer_indices=[], eidetic_retrieving_layers=[])
        model = HybridModel(ModelConfig.read(folder)).eval()
        ids = torch.from_numpy(self.ids[None, :200].astype("int64")).repeat(2, 1)
        with torch.no_grad():
            whole, _ = model.rows(ids, model.new_past(2), 0.0)
            _, past = model.rows(ids[:, :120], model.new_past(2), 0.0)
            past = pretrain.carry(past, torch.tensor([1.0, 0.0]))
            rest, _ = model.rows(ids[:, 120:], past, 0.0)
        torch.testing.assert_close(rest[0], whole[0, 120:], rtol=1e-4, atol=1e-5)
        self.assertGreater((rest[1] - whole[1, 120:]).abs().max().item(), 1e-2)

    def test_an_interrupted_run_ends_with_the_same_weights(self) -> None:
        whole, halves = SCRATCH / "whole", SCRATCH / "halves"
        pretrain.run(self.arguments(whole))
        save = Run.save

        def interrupt(run: Run, extra: dict) -> None:
            save(run, extra)
            if run.step == STEPS // 2:
                raise KeyboardInterrupt

        Run.save = interrupt
        try:
            with self.assertRaises(KeyboardInterrupt):
                pretrain.run(self.arguments(halves))
        finally:
            Run.save = save
        pretrain.run(self.arguments(halves))
        got, wanted = (checkpoint.load(f).state_dict() for f in (halves, whole))
        for name, tensor in wanted.items():
            torch.testing.assert_close(got[name], tensor, msg=name)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
