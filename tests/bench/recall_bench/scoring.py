"""How right an answer is.

One expected value: 1 if the answer tells it and no other value of its kind that the haystack
tells, else 0, so that a list of guesses is wrong. Several: the share of them that the answer
tells, as RULER scores (arXiv 2404.06654).
"""

import re


def tells(answer, value):
    """Whether the value stands in the answer as a word, whatever its case."""
    return re.search(rf"(?<!\w){re.escape(value)}(?!\w)", answer, re.IGNORECASE) is not None


def score(answer, question):
    told = sum(tells(answer, value) for value in question.expected)
    if len(question.expected) > 1:
        return told / len(question.expected)
    return float(told == 1 and not any(tells(answer, rival) for rival in question.rivals))
