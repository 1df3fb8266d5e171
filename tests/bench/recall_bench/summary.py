"""Cells of results: task, length, phrasings and settings, each with mean and interval."""

import math
from collections import defaultdict

from tests.bench.recall_bench import intervals, perplexity, settings


def rounded(values, digits=4):
    return [None if v is None else round(v, digits) for v in values]


def recall_cells(lines):
    """One a task, length, set of phrasings and settings; refused settings have none."""
    clusters = defaultdict(lambda: defaultdict(list))
    tokens = defaultdict(list)
    for line in lines:
        if line["type"] != "haystack":
            continue
        tokens[line["task"], line["length"]].append(line["tokens"])
        for name, answer in line["answers"].items():
            for phrasing, score in zip(line["phrasings"], answer.get("scores", ())):
                cell = (line["task"], line["length"], phrasing, name)
                clusters[cell][line["haystack"]].append(score)
    cells = []
    for (task, length, phrasing, name), haystacks in clusters.items():
        mean, low, high = rounded(intervals.share_interval(list(haystacks.values())))
        measured = tokens[task, length]
        cells.append(
            {
                "type": "recall",
                "task": task,
                "length": length,
                "tokens": round(sum(measured) / len(measured)),
                "phrasings": phrasing,
                "settings": name,
                "recall": mean,
                "low": low,
                "high": high,
                "questions": sum(len(h) for h in haystacks.values()),
                "haystacks": len(haystacks),
            }
        )
    return cells


def perplexity_cells(lines):
    clusters = defaultdict(dict)
    scored = defaultdict(int)
    for line in lines:
        if line["type"] != "slice":
            continue
        for name, answer in line["answers"].items():
            cell = (line["length"], name)
            clusters[cell][line["haystack"]] = [answer["nats_a_token"]]
            scored[cell] += answer["scored_tokens"]
    cells = []
    for (length, name), slices in clusters.items():
        nats = intervals.interval(list(slices.values()))
        of = [None if n is None else round(perplexity.of_nats(n), 3) for n in nats]
        cells.append(
            {
                "type": "perplexity",
                "task": perplexity.TASK,
                "length": length,
                "settings": name,
                "perplexity": of[0],
                "low": of[1],
                "high": of[2],
                "scored_tokens": scored[length, name],
                "haystacks": len(slices),
            }
        )
    return cells


def choice_cells(lines):
    """Of each length and rule, over all tasks: what choosing read, and whether it chose as brute
    force did."""
    sums = defaultdict(lambda: defaultdict(int))
    for line in lines:
        if line["type"] != "haystack":
            continue
        for name, answer in line["answers"].items():
            if name in (settings.FULL, settings.WINDOW) or "refused" in answer:
                continue
            cell = sums[line["length"], name]
            for key, value in answer.items():
                if key != "scores":
                    cell[key] += value
    cells = []
    for (length, name), total in sums.items():
        cell = {"type": "choice", "length": length, "settings": name}
        choices, wanted = total["choices"], total["blocks_wanted"]
        if wanted:
            cell["hit_share"] = round(total["blocks_found"] / wanted, 5)
        if choices:
            cell["candidate_blocks_a_choice"] = round(total["candidates"] / choices, 1)
            cell["proven_share"] = round(total["proven"] / choices, 4)
        if total["read_bytes"]:
            cell["read_bytes_a_token"] = round(total["read_bytes"] / total["tokens"])
        cell["answered_tokens_per_second"] = round(total["tokens"] / total["seconds"], 1)
        cells.append(cell)
    return cells


def difference_cells(lines):
    """Of each task, length and set of phrasings: the default rule's recall over brute force's on
    the same questions, in points, and the share of its bytes."""
    clusters = defaultdict(lambda: defaultdict(list))
    read = defaultdict(lambda: [0, 0])
    for line in lines:
        if line["type"] != "haystack":
            continue
        ours = line["answers"].get(settings.DEFAULT_RULE, {})
        oracle = line["answers"].get(settings.ORACLE, {})
        if "scores" not in ours or "scores" not in oracle:
            continue
        for phrasing, a, b in zip(line["phrasings"], ours["scores"], oracle["scores"]):
            clusters[line["task"], line["length"], phrasing][line["haystack"]].append(100 * (a - b))
        for key in {(line["task"], line["length"], p) for p in line["phrasings"]}:
            for i, answer in enumerate((ours, oracle)):
                read[key][i] += answer.get("read_bytes", 0) / answer["tokens"]
    cells = []
    for (task, length, phrasing), haystacks in clusters.items():
        points = intervals.interval(list(haystacks.values()))
        mine, theirs = read[task, length, phrasing]
        cells.append(
            {
                "type": "difference",
                "task": task,
                "length": length,
                "phrasings": phrasing,
                "points": round(points[0], 2),
                "low": rounded(points, 2)[1],
                "high": rounded(points, 2)[2],
                "bytes_share": round(mine / theirs, 4) if theirs else None,
            }
        )
    return cells


def cells_of(lines):
    return [
        *recall_cells(lines),
        *difference_cells(lines),
        *choice_cells(lines),
        *perplexity_cells(lines),
    ]


def short_length(length):
    """16384 as "16k", 1048576 as "1M"."""
    for unit, name in ((1 << 20, "M"), (1 << 10, "k")):
        if length >= unit and math.isclose(length / unit, round(length / unit, 1)):
            return f"{length / unit:g}{name}"
    return str(length)


def share_text(cell):
    if cell is None:
        return "-"
    if cell["low"] is None:
        return f"{100 * cell['recall']:.1f}"
    return f"{100 * cell['recall']:.1f} ({100 * cell['low']:.1f}-{100 * cell['high']:.1f})"


def table(rows):
    """Lines of a Markdown table; the first row is its head."""
    widths = [max(len(str(row[i])) for row in rows) for i in range(len(rows[0]))]
    lines = ["| " + " | ".join(str(v).ljust(w) for v, w in zip(row, widths)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return lines


def ordered(values, order):
    """In the order in which the run names them; what it does not name comes last."""
    return sorted(values, key=lambda v: (order.index(v) if v in order else len(order), str(v)))


def report(lines):
    """Tables for people: recall in percent with its interval, then perplexity, then choices."""
    cells = cells_of(lines)
    names = lines[0].get("settings", [])
    text = []
    recall = {
        (c["task"], c["length"], c["phrasings"], c["settings"]): c
        for c in cells
        if c["type"] == "recall"
    }
    if recall:
        shown = ordered({key[3] for key in recall}, names)
        rows = [["task", "tokens", "phrasings", "n", *shown]]
        for task, length, phrasing in sorted({key[:3] for key in recall}):
            found = [recall.get((task, length, phrasing, name)) for name in shown]
            any_cell = next(c for c in found if c is not None)
            count = f"{any_cell['questions']}/{any_cell['haystacks']}"
            rows.append(
                [task, short_length(length), phrasing, count, *(share_text(c) for c in found)]
            )
        text += ["Recall, % (95 % interval, clustered by haystack); n: questions/haystacks", ""]
        text += table(rows)
    text += perplexity_table([c for c in cells if c["type"] == "perplexity"], names)
    text += choice_table(
        [c for c in cells if c["type"] == "choice"], [c for c in cells if c["type"] == "difference"]
    )
    return "\n".join(text)


def perplexity_table(cells, names):
    if not cells:
        return []
    shown = ordered({c["settings"] for c in cells}, names)
    found = {(c["length"], c["settings"]): c for c in cells}
    rows = [["tokens", *shown]]
    for length in sorted({c["length"] for c in cells}):
        row = [found.get((length, name)) for name in shown]
        rows.append(
            [short_length(length), *("-" if c is None else f"{c['perplexity']:.2f}" for c in row)]
        )
    return ["", "Perplexity", "", *table(rows)]


def choice_table(choices, differences):
    text = []
    if choices:
        keys = ("hit_share", "read_bytes_a_token", "candidate_blocks_a_choice", "proven_share")
        rows = [["tokens", "settings", *keys]]
        for cell in sorted(choices, key=lambda c: (c["length"], c["settings"])):
            row = [cell.get(key, "-") for key in keys]
            rows.append([short_length(cell["length"]), cell["settings"], *row])
        text += ["", "Choices of spans; hit_share: of brute force's blocks", "", *table(rows)]
    if differences:
        rows = [["task", "tokens", "phrasings", "points", "95 %", "bytes"]]
        for cell in sorted(differences, key=lambda c: (c["task"], c["length"], c["phrasings"])):
            low, high, share = cell["low"], cell["high"], cell["bytes_share"]
            rows.append(
                [
                    cell["task"],
                    short_length(cell["length"]),
                    cell["phrasings"],
                    f"{cell['points']:+.2f}",
                    "-" if low is None else f"{low:+.2f} to {high:+.2f}",
                    "-" if share is None else f"{100 * share:.1f} %",
                ]
            )
        title = f"{settings.DEFAULT_RULE} less {settings.ORACLE}, same questions; bytes read for it"
        text += ["", title, "", *table(rows)]
    return text
