"""Keys and values of needles.

Keys are pairs of common words: small models mistake rare ones for each other, which would measure
their reading and not what they find.
"""

FIRST = """
able amber aware bold blue brief bright broken brown careful civil clean clear cold common
cool crooked curious dark dear deep dry dusty equal exact faint fair firm flat formal free
full glad good great green heavy high inner iron large late left light little local long
loud low main narrow neat new open orange outer pale pink polite poor private public pure
purple""".split()
SECOND = """
arrow bank barn bell bench bird board boat book bowl box branch bread brick brook brush
bucket cake candle canoe cap carpet cart chain chair chest clock coat coin cup curtain deer
dish door dress drum eagle egg farm fence field flag floor fox glass glove goat gold goose
grass gun hall hammer hat hill hotel house jar key kite knife lake lamp leaf""".split()
assert len(set(FIRST)) == len(FIRST) >= 64 and len(set(SECOND)) == len(SECOND) >= 64

DIGITS = 7


class TooFull(ValueError):
    """The text names so many keys or numbers that no new one can be drawn."""


def draw_new(rng, draw, taken, text):
    """A value of draw(rng) that is not in the set `taken`, which gets it, nor in `text`."""
    for _ in range(1000):
        value = draw(rng)
        if value not in taken and value not in text:
            taken.add(value)
            return value
    raise TooFull("text: names such keys and numbers already; give another one")


def number(rng):
    return str(rng.randrange(10 ** (DIGITS - 1), 10**DIGITS))


def key(rng):
    return f"{rng.choice(FIRST)}-{rng.choice(SECOND)}"


def keys_without_shared_words(rng, count, text):
    """`count` keys, at most 64, of which no two share a word and none is in `text`."""
    for _ in range(1000):
        pairs = zip(rng.sample(FIRST, count), rng.sample(SECOND, count))
        keys = [f"{first}-{second}" for first, second in pairs]
        if not any(key in text for key in keys):
            return keys
    raise TooFull("text: names such keys already; give another one")
