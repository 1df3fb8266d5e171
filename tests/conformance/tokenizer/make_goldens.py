"""Writes the tokenizer conformance data: four tokenizers, lines, and their ids.

Usage: python make_goldens.py BOOKS.txt.xz   (needs the package `tokenizers`)

The four are small, but their normalizer, pre-tokenizer, added tokens and model
options are those of GPT-2, GPT-NeoX, Llama-3 and Qwen2. Everything is drawn
from a fixed seed: the same books and version give the same files.

version.txt          of the package `tokenizers`
lines.jsonl          one JSON string per line
NAME/tokenizer.json
NAME/ids.txt         per line of lines.jsonl, "COUNT HASH" of its ids with
                     special tokens as ordinary text; again with them parsed,
                     where that differs; for the first 500 lines "=" and the
                     former ids. HASH: FNV-1a, 64 bits, over little-endian int32.
NAME_prefix/ids.txt  the same for the first 500 lines with add_prefix_space
"""

import json
import lzma
import pathlib
import random
import struct
import sys

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers, processors, trainers

HERE = pathlib.Path(__file__).parent
LINES = 12000
WHOLE_LINES = 500
SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s"
         r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")

SPACES = [" ", "  ", "    ", "\t", "\n", "\n\n", "\r\n", "\r", "\v", "\f", "\u00a0", "\u0085",
          "\u1680", "\u180e", "\u2003", "\u200a", "\u200b", "\u2028", "\u2029", "\u202f",
          "\u205f", "\u3000", "\ufeff", "\x1c", "\x1f"]
SPECIALS = ["<|endoftext|>", "<|padding|>", "<|begin_of_text|>", "<|eot_id|>", "<|im_start|>",
            "<|im_end|>", "<tool_call>", "</tool_call>", "<|im_", "<|", "|>", "im_start"]
EMOJI = ["😀", "👩‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇩🇪", "❤️", "1️⃣", "🧑🏿‍🚀", "🤷‍♀️", "⌚", "☺"]
WORDS = ("永和九年 歲在癸丑 東京都 ひらがな カタカナ 한국어 문장입니다 ，。「」 السلام عليكم كيف حالك ٠١٢٣٤٥٦ ،؟ "
         "नमस्ते दुनिया हिन्दी क्षत्रिय श्री ०१२३४५ । Привет мир Ελληνικά ñandú Straße İstanbul ıſK שלום "
         "ไทยภาษา தமிழ் ქართული Հայ 0 1 12 123 1234 1234567 ½ ² Ⅷ ① ٣ 𝟗 1,000.50 3e-8 0x1F 2024-01-31 "
         "ﬁ Å Ω 각 한 é e\u0301 a\u0323\u0302 \u0344 ö\u0304 ậ").split(" ")
CODE = ["for (int i = 0; i < n; ++i) {", "    return x[i] ** 2;", "def f(self, *args): # noqa",
        "\t\tif err != nil {", "}\n\n", "std::vector<std::pair<int,int>>", "a_b.c->d", "$HOME/${x}",
        "SELECT * FROM t WHERE a='b';", "<div class=\"x\">&amp;</div>", "!@#$%^&*()_+-=[]{}\\|;:",
        "https://example.com/a?b=c&d=%20#e", "/* ... */", "// ---", "assert(x!=nullptr);", "λx.x+1"]
SHORT = ["'s", "'S", "'t", "'T", "'re", "'RE", "'Re", "'ve", "'VE", "'m", "'M", "'ll", "'LL", "'lL",
         "'d", "'D", "’s", "'ſ", "'x", "''s", "' s", "'"]
RANGES = [(0, 0x7f), (0x80, 0x24f), (0x300, 0x36f), (0x370, 0x1fff), (0x2000, 0x2fff),
          (0x3000, 0xd7ff), (0xe000, 0xffff), (0x10000, 0x1ffff), (0x20000, 0x323af),
          (0xe0000, 0x10ffff)]


def pick(rng, among, low, high, glue=""):
    return glue.join(rng.choice(among) for _ in range(rng.randint(low, high)))


def make_line(rng, books):
    def word():
        return rng.choice(rng.choice(books).split() or ["the"])

    def mixed():
        kinds = [SPACES, EMOJI, WORDS, CODE, SHORT, SPECIALS]
        return "".join(word() if rng.random() < .3 else rng.choice(rng.choice(kinds))
                       for _ in range(rng.randint(2, 12)))

    kinds = [
        lambda: rng.choice(books)[:120],
        mixed,
        mixed,
        lambda: pick(rng, CODE, 1, 3, rng.choice(["\n", "\n    ", "\r\n\t", " "])),
        lambda: pick(rng, EMOJI, 1, 6, rng.choice(["", " ", "\u200d"])),
        lambda: pick(rng, WORDS, 1, 8, rng.choice(["", " ", " ", "\u3000"])),
        lambda: "".join(chr(rng.choice([97, 101, 0x915, 0x1100, 0x1161, 0x11a8, 0x3b1])) + "".join(
            chr(rng.randint(0x300, 0x36f)) for _ in range(rng.randint(0, 4))) for _ in range(6)),
        lambda: "".join(word() + rng.choice(SHORT) + rng.choice(["", " ", "s"]) for _ in range(4)),
        lambda: "".join(rng.choice(SPACES) * rng.choice([1, 1, 2, 3, 7, 30]) +
                        (word() if rng.random() < .5 else "") for _ in range(4)),
        lambda: "".join(str(rng.randrange(10 ** rng.randint(1, 9))) + rng.choice(["", " ", ",", "x"])
                        for _ in range(5)),
        lambda: "".join(chr(rng.randint(*rng.choice(RANGES))) for _ in range(rng.randint(1, 12))),
        lambda: "".join(chr(rng.choice([rng.randrange(32), 127, rng.randrange(0x80, 0xa0), 97]))
                        for _ in range(rng.randint(1, 20))),
        lambda: pick(rng, SPECIALS, 1, 4, rng.choice(["", " ", "user\n", "<|"])) + word(),
    ]
    return rng.choice(kinds)()


def long_lines(rng):
    """Pre-tokens far longer than a first look at the text, each scanned in its own way."""
    for size in (255, 256, 257, 1023, 1025, 5000):
        yield from ("a" * size, " " * size + "x", "\n" + " " * size + "x", "-" * size + "\n\n",
                    " \n" * size, "1" * size, "é" * size, "日" * size + "'s",
                    "".join(rng.choice("ab \n'") for _ in range(size)))


def make_lines(books):
    rng = random.Random(20240601)
    lines = ["", " ", "a", "\0", "\n", "'s", "<|endoftext|>"] + SPACES + EMOJI + SHORT + SPECIALS
    while len(lines) < LINES:
        lines.append(make_line(rng, books))
    return lines + list(long_lines(rng))


def token(text, special=True, normalized=False):
    return AddedToken(text, special=special, normalized=normalized)


def split_then_bytes(pattern):
    return pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])


def train(pre_tokenizer, normalizer, specials, size, corpus):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.train_from_iterator(corpus, trainers.BpeTrainer(
        vocab_size=size, special_tokens=specials, show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())))
    return tokenizer


def merges_as_strings(data):
    data["model"]["merges"] = [" ".join(pair) for pair in data["model"]["merges"]]


def gpt2(corpus):
    bytes_only = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = train(bytes_only, None, [token("<|endoftext|>")], 2000, corpus)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    data = json.loads(tokenizer.to_str())
    merges_as_strings(data)
    del data["model"]["type"], data["model"]["ignore_merges"]  # as in old files
    return data


def gpt_neox(corpus):
    bytes_only = pre_tokenizers.ByteLevel(add_prefix_space=False)
    specials = [token("<|endoftext|>"), token("<|padding|>")]
    tokenizer = train(bytes_only, normalizers.NFC(), specials, 1800, corpus)
    tokenizer.add_tokens([token(" " * n, False, True) for n in range(24, 1, -1)])
    data = json.loads(tokenizer.to_str())
    merges_as_strings(data)
    return data


def llama3(corpus):
    tokenizer = train(split_then_bytes(SPLIT % r"\p{N}{1,3}"), None, [], 2200, corpus)
    tokenizer.add_special_tokens([token("<|begin_of_text|>"), token("<|eot_id|>")])
    begin = "<|begin_of_text|>"
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single=begin + " $A", special_tokens=[
            (begin, tokenizer.token_to_id(begin))])])
    data = json.loads(tokenizer.to_str())
    data["model"]["ignore_merges"] = True
    # Merges that a whole word in the vocabulary must make unnecessary.
    data["model"]["merges"] = [m for i, m in enumerate(data["model"]["merges"]) if i % 9 != 8]
    made = {a + b for a, b in data["model"]["merges"]}
    data["model"]["merges"] = [(a, b) for a, b in data["model"]["merges"]
                               if all(len(t) == 1 or t in made for t in (a, b))]
    return data


def qwen2(corpus):
    tokenizer = train(split_then_bytes(SPLIT % r"\p{N}"), normalizers.NFC(), [], 2000, corpus)
    tokenizer.add_special_tokens([token(t) for t in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")])
    tokenizer.add_tokens([token("<tool_call>", False), token("</tool_call>", False)])
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return json.loads(tokenizer.to_str())


def fnv(ids):
    value = 0xcbf29ce484222325
    for byte in struct.pack(f"<{len(ids)}i", *ids):
        value = (value ^ byte) * 0x100000001b3 % 2 ** 64
    return f"{len(ids)} {value:016x}"


def write_ids(path, data, lines):
    tokenizer = Tokenizer.from_str(json.dumps(data))
    rows = []
    tokenizer.encode_special_tokens = False
    parsed = [tokenizer.encode(line, add_special_tokens=False).ids for line in lines]
    tokenizer.encode_special_tokens = True
    plain = [tokenizer.encode(line, add_special_tokens=False).ids for line in lines]
    for i, (ids, with_special) in enumerate(zip(plain, parsed)):
        differs = "" if ids == with_special else " " + fnv(with_special)
        whole = " = " + " ".join(map(str, ids)) if i < WHOLE_LINES else ""
        rows.append(f"{fnv(ids)}{differs}{whole}\n")
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(rows))


def main():
    books = lzma.open(sys.argv[1], "rt", encoding="utf-8").read(3_000_000).split("\n")
    books = [line for line in books if line]
    lines = make_lines(books)
    corpus = books[:2000] + lines
    with open(HERE / "lines.jsonl", "w", encoding="utf-8") as out:
        # Escaped wherever an editor or a reader of lines could trip.
        for line in lines:
            out.write(json.dumps(line, ensure_ascii=not line.isprintable()) + "\n")
    for make in (gpt2, gpt_neox, llama3, qwen2):
        data = make(corpus)
        folder = HERE / make.__name__
        folder.mkdir(exist_ok=True)
        (folder / "tokenizer.json").write_text(
            json.dumps(data, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
        write_ids(folder / "ids.txt", data, lines)
        if make in (gpt2, gpt_neox):
            data["pre_tokenizer"]["add_prefix_space"] = True
            write_ids(HERE / (make.__name__ + "_prefix") / "ids.txt", data, lines[:WHOLE_LINES])
    (HERE / "version.txt").write_text(tokenizers.__version__ + "\n")


main()
