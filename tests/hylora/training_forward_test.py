"""The forward that adapters are trained with computes the server's logits under every policy."""

import lzma
import subprocess
import sys
import unittest
from pathlib import Path

import numpy as np
import torch

from engine.hylora import checkpoint
from engine.hylora.attention import SpanSettings
from engine.hylora.tokenizer import Tokenizer

DUMP_LOGITS, SCRATCH = sys.argv[1], Path(sys.argv[2])
MODEL, BOOK = Path("engine/model/demo"), Path("deploy/book/she.txt.xz")
# Three query chunks and a half, so that the window of 512 leaves 40 distant blocks for a span of 8;
# then tokens of their own, as in decoding.
APPENDED, SINGLE, STRIDE = 1850, 4, 16
POLICIES = ("SE_ATTN", "FULL", "WINDOW")
# Both compute in float32 from the same bf16 weights; they only sum in other orders. Relative to
# the largest logit (1e-6 was seen).
TOLERANCE = 1e-4


class TrainingForward(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        tokenizer = Tokenizer(MODEL)
        text = lzma.open(BOOK, "rt", encoding="utf-8").read()[20_000:40_000]
        cls.ids = tokenizer.encode(text)[: APPENDED + SINGLE]
        (SCRATCH / "ids").write_text("\n".join(map(str, cls.ids)))
        subprocess.run(
            [DUMP_LOGITS, MODEL, SCRATCH / "ids", str(APPENDED), str(STRIDE), SCRATCH], check=True
        )
        cls.model = checkpoint.load(MODEL).eval()
        cls.servers = {p: cls.server_logits(p) for p in POLICIES}

    @classmethod
    def server_logits(cls, policy: str) -> torch.Tensor:
        flat = np.fromfile(SCRATCH / f"{policy}.f32", np.float32)
        return torch.from_numpy(flat).reshape(-1, cls.model.config.vocabulary)

    @torch.no_grad()
    def trainers_logits(self, policy: str) -> torch.Tensor:
        settings, ids = SpanSettings(policy), torch.tensor([self.ids])
        hidden, past = self.model(ids[:, :APPENDED], self.model.new_past(1), settings)
        rows = [hidden[0, ::STRIDE]]
        for i in range(APPENDED, APPENDED + SINGLE):
            hidden, past = self.model(ids[:, i : i + 1], past, settings)
            rows.append(hidden[0])
        return self.model.logits(torch.cat(rows))

    def difference(self, a: torch.Tensor, b: torch.Tensor) -> float:
        return ((a - b).abs().amax(1) / b.abs().amax(1)).max().item()

    def test_equals_the_servers(self) -> None:
        for policy in POLICIES:
            with self.subTest(policy=policy):
                error = self.difference(self.trainers_logits(policy), self.servers[policy])
                print(f"{policy}: largest relative difference {error:.1e}")
                self.assertLess(error, TOLERANCE)

    def test_policies_differ_where_it_is_compared(self) -> None:
        for one, other in (("SE_ATTN", "WINDOW"), ("SE_ATTN", "FULL")):
            last = slice(-SINGLE, None)
            difference = self.difference(self.servers[one][last], self.servers[other][last])
            self.assertGreater(difference, 20 * TOLERANCE, f"{one} and {other}")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
