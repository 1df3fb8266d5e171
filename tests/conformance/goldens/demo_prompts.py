"""Candidate prompts for the demo model, by kind.

One golden is made of each kind: the first candidate without a near-tie. Those whose
continuations vary most come first.
"""


def chat(*turns):
    """User and assistant turns by turns, then the assistant's marker."""
    text = ""
    for number, turn in enumerate(turns):
        if number % 2 == 0:
            text += f"<|user|>\n{turn}"
        else:
            text += f"<|assistant|>\n{turn}<|endoftext|>"
    return text + "<|assistant|>\n"


SCENERY = [
    "The ferry left the quay before the sun had cleared the hills.",
    "A boy with a basket of plums sat on the lowest step and counted them twice.",
    "Rain had fallen all night, and the road to the mill was a long brown puddle.",
    "Nobody in the village could say who had painted the door of the chapel blue.",
    "She kept the letters in a tin that had once held tea.",
    "The clock in the hall struck eleven, though it was hardly nine.",
    "Two carters argued about a wheel until the smith came out and settled it.",
    "In the orchard the ladders stood against the trees like people waiting.",
    "He walked as far as the bridge, looked at the water, and walked back again.",
    "The schoolmaster owned three books on birds and had read the shortest.",
    "Smoke rose straight from every chimney, and the dogs lay down in the lanes.",
    "When the wind turned, one could hear the bells of the other valley.",
    "My aunt believed that bread baked on a Friday would keep for a month.",
]


def haystack(needles, question, start):
    """About 600 tokens: each needle at its depth (0 to 1) of 36 sentences, then the question."""
    sentences = [SCENERY[(start + 5 * i) % len(SCENERY)] for i in range(36)]
    for depth, needle in sorted(needles, reverse=True):
        sentences.insert(int(depth * len(sentences)), needle)
    return chat(" ".join(sentences) + "\n" + question)


def magic(word, number):
    return f"The special magic number for {word} is: {number}."


KINDS = {
    "prose": [
        '"You are late," said the captain. "The tide will not wait for either of us, and',
        "The old man closed the shutters, sat down by the fire and began to tell them how",
        "It was late in autumn when the two brothers came back to the house on the hill, and",
        "At the end of the pier there stood a woman in a grey coat who seemed to wait for",
        "No one had lived in the lighthouse since the winter of the great storm, but that night",
        "The first thing that she noticed about the garden was",
        "My dear sister, I write to you from a small town in the north, where",
    ],
    "chat": [
        chat(
            "My brother's name is Anselm. My favorite city is Turin.",
            "I will remember that.",
            "Tell me about the sea.",
            "The sea is wide and never quite still.",
            "What is my favorite city?",
        ),
        chat(
            "My dog's name is Pepper. My favorite color is violet.",
            "I will remember that.",
            "What is my dog's name?",
        ),
        chat(
            "I was born in Porto and I work as a baker.",
            "Thank you for telling me.",
            "My favorite fruit is the pear.",
            "I will remember that.",
            "What is my favorite fruit?",
        ),
    ],
    "haystack": [
        haystack(
            [(0.2, magic("granite", 4071836)), (0.7, magic("lantern", 9325510))],
            "What is the special magic number for granite?",
            0,
        ),
        haystack(
            [(0.4, magic("harvest", 1268043)), (0.9, magic("copper", 7750912))],
            "What is the special magic number for harvest?",
            3,
        ),
        haystack(
            [(0.1, magic("meadow", 5503127)), (0.5, magic("anchor", 8142069))],
            "What is the special magic number for anchor?",
            7,
        ),
    ],
    "digits": [
        "0012 0345 6789 1000000 999 007",
        "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15",
        "3.14159 2.71828 1.41421 1.73205 2.23607",
        "2024-01-31, 2024-02-29, 2024-03-31, 2024-04-30,",
    ],
    "code": [
        "#include <vector>\n\nint Sum(const std::vector<int>& values) {\n  int sum = 0;\n",
        "def area(width, height):\n    return width * height\n\n\ndef volume(",
        "for (size_t i = 0; i < n; ++i) {\n\tout[i] = a[i] + b[i];\n}\n",
        "SELECT name, count(*) FROM sessions WHERE tenant = 7 GROUP BY name;\n",
    ],
    "one_token": ["The", "\n", "It", "<|endoftext|>", "A", "When", "I", "He", "7"],
    "emoji_and_cjk": [
        "東京は雨です。🌧️ The umbrella was red, and",
        "The sign said 你好，世界 and below it 😀🎉. Naïve café, Ελλάδα, Привет —",
        "한국어 텍스트와 emoji 👩‍🚀 stand side by side:",
    ],
    "table": [
        "name | town | age\nMarta | Brno | 41\nIvo | Split | 29\nEdda | Graz | 63\nTomas |",
        "item, price\nrope, 12\nlamp, 30\nnails, 4\nsaw, 25\nglue,",
        "Monday: soup\nTuesday: fish\nWednesday: bread\nThursday: beans\nFriday:",
    ],
}
