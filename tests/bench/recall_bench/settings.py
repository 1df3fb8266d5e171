"""How a question attends to a haystack: "full", "window", or a rule of retrieval.

A rule's name may be followed by the number of blocks in its span: "exact/4"; default: the
server's, 8.
"""

RULES = ("two_stage", "exact", "bound", "mean", "pooled")
FULL, WINDOW = "full", "window"
ORACLE = "exact"  # brute force: what the other rules' choices are compared with
DEFAULT_RULE = "two_stage"


def parse(name):
    """The settings' eidetic.v1.AttentionSettings in JSON. ValueError: no such settings."""
    if name in (FULL, WINDOW):
        return {"policy": f"ATTENTION_POLICY_{name.upper()}"}
    rule, _, blocks = name.partition("/")
    if rule not in RULES or (blocks and not blocks.isdecimal()) or name.endswith("/"):
        raise ValueError(
            f"settings: '{name}' is none of full, window, {', '.join(RULES)}, or RULE/BLOCKS"
        )
    settings = {
        "policy": "ATTENTION_POLICY_SE_ATTN",
        "rule": f"RETRIEVAL_RULE_{rule.upper()}",
    }
    if blocks:
        settings["span_blocks"] = int(blocks)
    return settings
