"""Recall of a model in torch: facts told in a long text, each asked on a fork of it.

A quick look while a model is made; the honest figures come from the server (tests/bench).
"""

import argparse
import json
import random
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from engine.hylora import checkpoint, corpus
from engine.hylora.attention import SpanSettings
from engine.hylora.documents import Draft, Documents, Prose
from engine.hylora.facts import Fact, Maker
from engine.hylora.forks import Forks, remember
from engine.hylora.tokenizer import Tokenizer

MOST_TOKENS = 64  # of an answer
SHORT, HAYSTACKS_WHEN_SHORT = 16_000, 2
# Questions of a kind in a text of 16,000 tokens or more; fewer in shorter ones.
COUNTS = {"number": 24, "alike": 24, "other": 24, "corrected": 12, "several_keys": 12,
          "several_values": 8, "untold": 16}
CHAT_COUNTS = {"chat": 32, "chat_corrected": 12, "chat_untold": 16}
# Up to so many questions at once: bounds the scores' memory.
FORKS = 32


@dataclass
class Question:
    kind: str
    prompt: str
    values: list[str]  # all must be in the answer
    wrong: list[str]  # none of these may be


def is_right(answer: str, question: Question) -> bool:
    return (all(value in answer for value in question.values)
            and not any(value in answer for value in question.wrong))


class Quiz:
    """A text of `tokens` tokens with facts, and the questions about them.

    split: "trained" or "held_out" sentences; "plain" for the two forms that the first demo model
    was trained on, a needle's answer begun for it.
    """

    def __init__(self, documents: Documents, tokens: int, split: str, chat: bool) -> None:
        self.documents, self.tokens, self.split, self.chat = documents, tokens, split, chat
        self.rng = documents.rng
        self.maker = Maker(documents.words, self.rng, "trained" if split == "plain" else split)
        self.told: list[str] = []
        self.late: list[str] = []
        self.questions: list[Question] = []
        share = min(1.0, tokens / SHORT)
        if split == "plain":
            self._plain(max(2, int((48 if chat else 64) * share)))
        else:
            for kind, count in (CHAT_COUNTS if chat else COUNTS).items():
                self._kind(kind, max(1, int(count * share)))
            self.rng.shuffle(self.told)

    def _ask(self, kind: str, question: str, values: list[str], wrong: list[str] = ()) -> None:
        opening = "<|user|>\n" if self.chat else "\n\n"
        prompt = f"{opening}{question}<|assistant|>\n"
        self.questions.append(Question(kind, prompt, values, list(wrong)))

    def _tell(self, fact: Fact) -> Fact:
        self.told += [self.maker.statement(fact, v, self.chat) for v in fact.values]
        return fact

    def _kind(self, kind: str, count: int) -> None:
        for _ in range(count):
            if kind.startswith("chat"):
                family = self.maker.family("chat")
            else:
                other = kind in ("other", "corrected")
                name = None if other else "magic_number"
                family = self.maker.family("text", name)
            if kind.endswith("corrected"):
                self._corrected(kind, family)
            elif kind.endswith("untold"):
                key = self.maker.free_key(family)
                if key:
                    self._ask(kind, self.maker.question(family, key), ["not told"])
            elif kind == "several_keys":
                facts = [self._tell(self.maker.fact(family, alike=True)) for _ in range(4)]
                self._ask(kind, self.maker.several_keys(facts)[0], [f.value for f in facts])
            else:
                values = 4 if kind == "several_values" else 1
                fact = self.maker.fact(family, kind == "alike", values)
                if fact is None:
                    continue
                self._tell(fact)
                if values > 1:
                    self._ask(kind, self.maker.several_values(fact)[0], fact.values)
                else:
                    self._ask(kind, self.maker.question(family, fact.key), [fact.value])

    def _corrected(self, kind: str, family: dict) -> None:
        names = list(self.maker.phrasings["corrections"]["trained"])
        names = [f["name"] for f in self.maker.families
                 if f["name"] in names and f["setting"] == family["setting"]]
        family = self.maker.family(name=self.rng.choice(names))
        fact = self.maker.fact(family)
        if fact is None:
            return
        self._tell(fact)
        self.late.append(self.maker.correct(fact))
        self._ask(kind, self.maker.question(family, fact.key), [fact.value], fact.values[:-1])

    def _plain(self, count: int) -> None:
        for i in range(count):
            name = ("relation_name", "relation_city")[i % 2] if self.chat else "magic_number"
            family = self.maker.family(name=name)
            fact = self.maker.fact(family)
            if fact is None:
                continue
            forms = {n: family["trained"][n][0].format(key=fact.key, value=fact.value)
                     for n in ("statements", "questions", "answers")}
            self.told.append(forms["statements"])
            self._ask("plain_chat" if self.chat else "plain", forms["questions"], [fact.value])
            if not self.chat:
                self.questions[-1].prompt += forms["answers"][: -len(fact.value) - 1]

    def ids(self) -> np.ndarray:
        """The text; corrections stand in its second half."""
        documents, draft = self.documents, Draft(self.documents.tokenizer)
        halves = [self.told, self.late] if self.late else [self.told]
        draft.say("<|user|>\n" + self.maker.choice("passage_openings" if self.chat else
                                                   "text_openings") + ("\n" if self.chat else "\n\n"))
        for statements in halves:
            self._half(documents, draft, statements, self.tokens // len(halves))
        if self.chat:
            draft.reply(self.maker.choice("passage_replies"))
        return np.concatenate([np.asarray(part, np.int64) for part, _ in draft.parts])

    def _half(self, documents: Documents, draft: Draft, statements: list[str], tokens: int) -> None:
        if not self.chat:
            room = tokens - sum(len(documents.tokenizer.encode(s)) + 2 for s in statements)
            documents._scatter(draft, statements, room)
            return
        each = tokens // (len(statements) + 1)
        for statement in statements:
            documents._scatter(draft, [], max(24, each - 60))
            draft.reply(self.maker.choice("passage_replies"))
            draft.say("<|user|>\n" + statement)
            draft.reply(self.maker.choice("acknowledgements"))
            draft.say("<|user|>\n" + self.maker.choice("passage_openings") + "\n")
        documents._scatter(draft, [], max(24, each - 60))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--text", type=Path, required=True, help="held-out books or their ids")
    parser.add_argument("--out", type=Path, help="JSON lines")
    parser.add_argument("--lengths", type=int, nargs="+", default=[2048, 8192, 32768, 131072])
    parser.add_argument("--splits", nargs="+", default=["plain", "trained", "held_out"])
    parser.add_argument("--policies", nargs="+", default=["SE_ATTN"])
    parser.add_argument("--retrieving-layers", type=int, nargs="+", help="instead of the model's")
    parser.add_argument("--show", type=int, default=0, help="so many wrong answers a cell")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")


@torch.no_grad()
def run(options: argparse.Namespace) -> None:
    torch.set_float32_matmul_precision("high")
    tokenizer = Tokenizer(options.model)
    model = checkpoint.load(options.model, options.device).eval()
    if options.retrieving_layers:
        model.config.raw["eidetic_retrieving_layers"] = options.retrieving_layers
    ids = corpus.load(options.text, tokenizer)
    words = corpus.words_of(ids, tokenizer)
    for tokens in options.lengths:
        for split in options.splits:
            begin, counts = time.monotonic(), defaultdict(lambda: [0, 0])
            for seed in range(HAYSTACKS_WHEN_SHORT if tokens < SHORT else 1):
                for chat in (False, True):
                    rng = random.Random(f"{tokens}{split}{seed}{chat}")
                    documents = Documents(Prose(ids, tokenizer, rng), tokenizer, words, rng)
                    _count(options, model, tokenizer, Quiz(documents, tokens, split, chat), counts)
            for (kind, policy), (right, asked) in sorted(counts.items()):
                line = {"model": str(options.model), "tokens": tokens, "split": split, "kind": kind,
                        "policy": policy, "retrieving": model.config.retrieving_layers,
                        "right": right, "asked": asked, "recall": round(right / asked, 3)}
                if options.out:
                    with open(options.out, "a") as file:
                        file.write(json.dumps(line) + "\n")
            shown = " ".join(f"{k[0]}{'' if k[1] == 'SE_ATTN' else k[1]}={r}/{a}"
                             for k, (r, a) in sorted(counts.items()))
            print(f"{options.model} {model.config.retrieving_layers} {tokens} {split}: {shown} "
                  f"({time.monotonic() - begin:.1f} s)", flush=True)


def _count(options, model, tokenizer, quiz, counts) -> None:  # noqa: ANN001
    text = torch.from_numpy(quiz.ids()).to(options.device)
    past = remember(model, text, SpanSettings("WINDOW"))
    for policy in options.policies:
        forks = Forks(model, past, SpanSettings(policy))
        for at in range(0, len(quiz.questions), FORKS):
            asked = quiz.questions[at : at + FORKS]
            prompts = [tokenizer.encode_chat(q.prompt) for q in asked]
            shown = 0
            for question, ids in zip(asked, forks.answer(prompts, MOST_TOKENS, corpus.ENDS_TEXT)):
                answer = tokenizer.decode(ids)
                cell = counts[question.kind, policy]
                cell[0] += is_right(answer, question)
                cell[1] += 1
                if shown < options.show and not is_right(answer, question):
                    shown += 1
                    print(f"  {question.kind}: {question.prompt!r} wants {question.values}: {answer!r}")
