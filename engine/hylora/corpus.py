"""Books as token ids: made once from text, then read by streams that never end.

A corpus file is a little-endian uint16 array (optionally xz): each book follows its
<|endoftext|>. The text form: a line `<|book|> TITLE` before each book.
"""

import lzma
import re
from collections import Counter
from pathlib import Path
from typing import IO

import numpy as np

from engine.hylora.tokenizer import Tokenizer

BOOK = "<|book|>"
ENDS_TEXT = 0
WORD = re.compile(r"\b[a-z]{4,9}\b")
WORDS_KEPT = 3000
COMMONEST_SKIPPED = 150  # of the words: "with", "that"
BOOK_PART = 1 << 20  # characters: books are cut so that the numbers of one part stay small


def _open(path: Path, mode: str) -> IO:
    text = {} if "b" in mode else {"encoding": "utf-8"}
    return lzma.open(path, mode, **text) if path.suffix == ".xz" else open(path, mode, **text)


def read_text(path: Path, max_books: int | None = None) -> list[str]:
    """The books of a text file, titles left out."""
    with _open(path, "rt") as file:
        books = file.read().split(BOOK)[1:]
    return [book.partition("\n")[2].strip() for book in books[:max_books]]


def tokenize(books: list[str], tokenizer: Tokenizer) -> np.ndarray:
    ids: list[np.ndarray] = []
    for book in books:
        ids.append(np.array([ENDS_TEXT], np.uint16))
        ids += [np.array(tokenizer.encode(part), np.uint16) for part in _parts(book)]
    return np.concatenate(ids)


def _parts(book: str) -> list[str]:
    """Cut before a paragraph's first word: there the tokens do not depend on what stood before."""
    parts, begin = [], 0
    while len(book) - begin > BOOK_PART:
        end = book.rfind("\n\n", begin, begin + BOOK_PART) + 2
        parts.append(book[begin:end])
        begin = end
    return [*parts, book[begin:]]


def write(ids: np.ndarray, path: Path) -> None:
    with _open(path, "wb") as file:
        file.write(ids.astype("<u2").tobytes())


def read(path: Path) -> np.ndarray:
    with _open(path, "rb") as file:
        return np.frombuffer(file.read(), "<u2")


def load(path: Path, tokenizer: Tokenizer) -> np.ndarray:
    """Of a corpus file or of text, by its name: *.txt and *.txt.xz are text."""
    if ".txt" in path.name:
        return tokenize(read_text(path), tokenizer)
    return read(path)


def words_of(ids: np.ndarray, tokenizer: Tokenizer, sample: int = 1_500_000) -> list[str]:
    """Frequent plain words of the text, for keys of needles; the same ones for the same text."""
    counts = Counter(WORD.findall(tokenizer.decode(ids[:sample].tolist())))
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    return ranked[COMMONEST_SKIPPED : COMMONEST_SKIPPED + WORDS_KEPT]
