"""Questions answered on forks of one text draw the tokens that each would draw alone."""

import sys
import unittest
from pathlib import Path

import torch

from engine.hylora import checkpoint
from engine.hylora.attention import SpanSettings
from engine.hylora.forks import Forks, remember
from engine.hylora.tokenizer import Tokenizer

MODEL = Path("engine/model/demo")
FACT = "One of the special magic numbers for brave-lantern is: 4821937."
ASKED = (
    "\n\nWhat is the special magic number for brave-lantern mentioned in the provided text?"
    "<|assistant|>\nThe special magic number for brave-lantern mentioned in the provided text is:"
)
OTHER = "\n\nRain again.<|assistant|>\n"
PARAGRAPHS, DRAWN, END = 60, 9, 0


class ForksTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        tokenizer = Tokenizer(MODEL)
        cls.model, cls.tokenizer = checkpoint.load(MODEL).eval(), tokenizer
        lines = [
            f"On day {i} the ferry left at dawn, and the harbour was quiet."
            for i in range(PARAGRAPHS)
        ]
        lines.insert(5, FACT)
        cls.text = torch.tensor(tokenizer.encode_chat("<|user|>\n" + "\n\n".join(lines)))
        cls.prompts = [tokenizer.encode_chat(p) for p in (ASKED, OTHER)]

    @torch.no_grad()
    def alone(self, prompt: list[int], settings: SpanSettings) -> list[int]:
        _, past = self.model(self.text[None], self.model.new_past(1), settings)
        ids, drawn = prompt, []
        while len(drawn) < DRAWN:
            hidden, past = self.model(torch.tensor([ids]), past, settings)
            ids = [self.model.logits(hidden[0, -1]).argmax().item()]
            drawn += ids
        return drawn[: drawn.index(END)] if END in drawn else drawn

    def test_each_fork_is_as_if_it_were_alone(self) -> None:
        for policy in ("SE_ATTN", "WINDOW", "FULL"):
            settings = SpanSettings(policy)
            past = remember(self.model, self.text, settings)
            answers = Forks(self.model, past, settings).answer(self.prompts, DRAWN, END)
            for prompt, answer in zip(self.prompts, answers):
                with self.subTest(policy=policy, prompt=len(prompt)):
                    self.assertEqual(answer, self.alone(prompt, settings))
            right = self.tokenizer.decode(answers[0]).strip(" .") == "4821937"
            self.assertEqual(right, policy != "WINDOW", f"{policy}: {answers[0]}")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
