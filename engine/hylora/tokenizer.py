"""A byte-level BPE tokenizer over a model folder's tokenizer.json: what training needs of it.

Equal to the server's for the pattern of the demo model (Qwen2's split, which it checks); any other
is refused. Pieces are cached, so that books encode at about a million tokens a second.
"""

import json
import re
import sys
import unicodedata
from functools import lru_cache
from pathlib import Path

PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CACHED_PIECES = 1 << 18


def _byte_alphabet() -> list[str]:
    """GPT-2's spelling of each byte: printable ones as they are, the others from U+0100 on."""
    plain = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = (chr(256 + i) for i in range(256 - len(plain)))
    return [chr(b) if b in plain else next(others) for b in range(256)]


def _compile(pattern: str) -> re.Pattern[str]:
    """Python's re knows no \\p{..}: \\w less digits and _ are the letters and some numerals."""
    classes = (chr(i) for i in range(sys.maxunicode + 1))
    numerals = "".join(c for c in classes if unicodedata.category(c) in ("No", "Nl"))
    letter = rf"[^\W\d_{numerals}]"
    # Neither are U+001C to U+001F white space elsewhere.
    for theirs, ours in (
        (r"[^\r\n\p{L}\p{N}]?", r"(?:[^\r\n\w]|_)?"),
        (r"[^\s\p{L}\p{N}]", r"(?:[^\s\w]|[_\x1c-\x1f])"),
        (r"(?!\S)", r"(?![\S\x1c-\x1f])"),
        (r"\s+", r"[^\S\x1c-\x1f]+"),
        (r"\s*", r"[^\S\x1c-\x1f]*"),
        (r"\p{L}", letter),
        (r"\p{N}", rf"[\d{numerals}]"),
    ):
        pattern = pattern.replace(theirs, ours)
    return re.compile(pattern)


class Tokenizer:
    def __init__(self, folder: Path) -> None:
        document = json.loads((folder / "tokenizer.json").read_text())
        split = document["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"]
        if split != PATTERN:
            raise ValueError(f"{folder}/tokenizer.json: pre_tokenizer: not Qwen2's pattern")
        if document["normalizer"] is not None:
            raise ValueError(f"{folder}/tokenizer.json: normalizer: there must be none")
        self.ids = document["model"]["vocab"]
        self.special = {t["content"]: t["id"] for t in document["added_tokens"]}
        merges = (
            tuple(m) if isinstance(m, list) else tuple(m.split())
            for m in document["model"]["merges"]
        )
        self._ranks = {pair: rank for rank, pair in enumerate(merges)}
        self._alphabet = _byte_alphabet()
        self._pattern = _compile(split)
        self._bytes = {c: b for b, c in enumerate(self._alphabet)}
        self._spellings = {i: s for s, i in {**self.ids, **self.special}.items()}
        self._specials = re.compile("(" + "|".join(map(re.escape, self.special)) + ")")
        self._piece = lru_cache(CACHED_PIECES)(self._merge)

    def _merge(self, piece: str) -> tuple[int, ...]:
        parts = [self._alphabet[b] for b in piece.encode()]
        while len(parts) > 1:
            pairs = [(self._ranks.get(p, len(self._ranks)), p) for p in zip(parts, parts[1:])]
            rank, best = min(pairs)
            if rank == len(self._ranks):
                break
            merged, i = [], 0
            while i < len(parts):
                if tuple(parts[i : i + 2]) == best:
                    merged.append(parts[i] + parts[i + 1])
                    i += 2
                else:
                    merged.append(parts[i])
                    i += 1
            parts = merged
        return tuple(self.ids[p] for p in parts)

    def encode(self, text: str) -> list[int]:
        """Ids of plain text: the spelling of a special token in it is ordinary text."""
        return [i for m in self._pattern.finditer(text) for i in self._piece(m.group())]

    def encode_chat(self, text: str) -> list[int]:
        """Ids of text in which special tokens are spelled out."""
        ids: list[int] = []
        for part in self._specials.split(text):
            ids += [self.special[part]] if part in self.special else self.encode(part)
        return ids

    def decode(self, ids: list[int]) -> str:
        """Text; specials are spelled out."""
        out, raw = [], bytearray()
        for i in ids:
            spelling = self._spellings[i]
            if spelling in self.special:
                out.append(raw.decode(errors="replace") + spelling)
                raw.clear()
            else:
                raw += bytes(self._bytes[c] for c in spelling)
        return "".join(out) + raw.decode(errors="replace")
