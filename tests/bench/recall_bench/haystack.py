"""Texts of a given length with tellings hidden in them, and the questions that they answer.

A haystack is a user's open turn, or several turns of which the last is open; a question is
appended to it and ends where the assistant's answer begins. Only pieces marked `special` spell
special tokens: the text itself can not pose as a turn.
"""

import bisect
from dataclasses import dataclass

# What the haystack may give to tellings: beyond it the text would be no haystack.
MAX_TOLD_SHARE = 0.25
# Of the text, to tell its bytes a token from.
SAMPLE_BYTES = 256 << 10

# A sentence of no interest, over and over: what the passkey task and variable tracking hide in.
NOISE = "The lake is calm. The road is long. The hill is green. On we go, home and away again.\n\n"


@dataclass(frozen=True)
class Question:
    prompt: str
    expected: tuple  # what the answer must tell
    rivals: frozenset  # values of the same kind that it must not tell, if one is expected
    phrasing: str  # the set of phrasings that it and its fact are from


@dataclass(frozen=True)
class Piece:
    text: str
    special: bool = False


@dataclass(frozen=True)
class Haystack:
    pieces: tuple
    questions: tuple


class Book:
    """A text with blank lines between paragraphs, read from any paragraph on, over and over."""

    def __init__(self, text):
        paragraphs = [p.strip() for p in text.split("\n\n")]
        # Some collections mark where a book begins with a line of their own.
        self._paragraphs = [p + "\n\n" for p in paragraphs if p and not p.startswith("<|")]
        if not self._paragraphs:
            raise ValueError("text: has no paragraphs; give one with blank lines between them")
        self.text = "".join(self._paragraphs)
        self._ends = []
        end = 0
        for paragraph in self._paragraphs:
            end += len(paragraph.encode())
            self._ends.append(end)
        self.bytes = end

    def paragraphs(self, rng, size):
        """About `size` bytes from a paragraph drawn: whole paragraphs, at least one."""
        chosen = []
        at = rng.randrange(len(self._paragraphs))
        left = size
        while left > 0:
            paragraph = self._paragraphs[at]
            length = self._length(at)
            if chosen and length > 2 * left:
                break
            chosen.append(paragraph)
            left -= length
            at = (at + 1) % len(self._paragraphs)
        return chosen

    def slice(self, begin, end):
        """Whole paragraphs between the bytes `begin` and `end`, but for less than one at each."""
        first = bisect.bisect_left(self._ends, begin)
        last = bisect.bisect_left(self._ends, end)
        return "".join(self._paragraphs[first:last])

    def _length(self, at):
        return self._ends[at] - (self._ends[at - 1] if at else 0)


class Noise:
    text = NOISE

    @staticmethod
    def paragraphs(rng, size):
        del rng  # it is the same everywhere
        return [NOISE] * max(1, round(size / len(NOISE)))


def weave(paragraphs, tellings, rng):
    """Pieces: each telling before a paragraph drawn from its own of as many equal stretches."""
    pieces = []
    told = 0
    for i, telling in enumerate(tellings):
        first = len(paragraphs) * i // len(tellings)
        last = len(paragraphs) * (i + 1) // len(tellings)
        place = rng.randrange(first, max(first + 1, last))  # fewer paragraphs: some share a place
        pieces += [Piece("".join(paragraphs[told:place])), telling]
        told = place
    return [*pieces, Piece("".join(paragraphs[told:]))]


def merged(pieces):
    """The same text in as few pieces as possible."""
    result = []
    for piece in pieces:
        if not piece.text:
            continue
        if result and result[-1].special == piece.special:
            result[-1] = Piece(result[-1].text + piece.text, piece.special)
        else:
            result.append(piece)
    return tuple(result)


def hide(background, opening, tellings, questions, length, count, rng):
    """The tellings in so much of the background that the whole has about `length` tokens.

    `count(text)` tells a text's tokens. A background that is shorter is repeated; tellings never.
    """
    told = count(opening.text + "".join(t.text for t in tellings))
    room = length - told
    if room <= 0:
        raise ValueError(f"length: {length} tokens hold no {told} of tellings; give a greater one")
    sample = "".join(background.paragraphs(rng, min(SAMPLE_BYTES, 4 * room)))
    bytes_per_token = len(sample.encode()) / count(sample)
    paragraphs = background.paragraphs(rng, room * bytes_per_token)
    pieces = merged([opening] + weave(paragraphs, tellings, rng))
    return Haystack(pieces, tuple(questions))
