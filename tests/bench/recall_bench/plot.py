"""Plots of results: PNG files, by matplotlib, which only this module needs."""

import pathlib

from tests.bench.recall_bench import perplexity, settings, summary

# As told apart by most people, and in grey; the default rule first.
COLORS = {
    "two_stage": "#0072b2",
    "exact": "#000000",
    "full": "#d55e00",
    "window": "#999999",
    "bound": "#009e73",
    "mean": "#cc79a7",
    "pooled": "#e69f00",
}


def color(name):
    return COLORS.get(name.partition("/")[0], "#56b4e9")


def import_pyplot():
    try:
        import matplotlib
    except ImportError as error:
        raise ValueError("plot: matplotlib is missing; install python3-matplotlib") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def length_axis(axes, lengths):
    axes.set_xscale("log", base=2)
    axes.set_xticks(sorted(lengths), [summary.short_length(n) for n in sorted(lengths)])
    axes.minorticks_off()
    axes.set_xlabel("tokens")
    axes.grid(alpha=0.3)


def curves(axes, cells, value, label, scale=1):
    """A curve for each of the settings, with its intervals if the cells have them."""
    # Brute force last and dotted: it often lies upon the default rule.
    for name in sorted({c["settings"] for c in cells}, key=lambda n: (n == settings.ORACLE, n)):
        points = sorted((c for c in cells if c["settings"] == name), key=lambda c: c["length"])
        x = [c["length"] for c in points]
        y = [scale * c[value] for c in points]
        bounds = None
        if all(c.get("low") is not None for c in points):
            bounds = [
                [max(0, at - scale * c["low"]) for at, c in zip(y, points)],
                [max(0, scale * c["high"] - at) for at, c in zip(y, points)],
            ]
        dashes = "--" if "/" in name else ":" if name == settings.ORACLE else "-"
        axes.errorbar(
            x, y, bounds, fmt="o", ls=dashes, ms=3, capsize=2, color=color(name), label=label(name)
        )


def save(figure, path):
    figure.tight_layout()
    figure.savefig(path, dpi=110, metadata={"Software": None})
    return str(path)


def plot_recall(pyplot, cells, folder):
    """A row a task, a column a set of phrasings; tasks of one form have their row alone."""
    tasks = sorted({c["task"] for c in cells})
    sets = sorted({c["phrasings"] for c in cells}, reverse=True)
    panels = [
        (task, phrasing)
        for task in tasks
        for phrasing in sets
        if any(c["task"] == task and c["phrasings"] == phrasing for c in cells)
    ]
    columns = min(4, len(panels))
    rows = -(-len(panels) // columns)
    figure, grid = pyplot.subplots(
        rows, columns, figsize=(3.4 * columns, 2.8 * rows), squeeze=False, sharey=True
    )
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for axes, (task, phrasing) in zip(grid.flat, panels):
        shown = [c for c in cells if c["task"] == task and c["phrasings"] == phrasing]
        curves(axes, shown, "recall", lambda name: name, scale=100)
        length_axis(axes, {c["length"] for c in shown})
        axes.set_title(f"{task}, {phrasing}", fontsize=9)
        axes.set_ylim(-3, 103)
    for row in grid:
        row[0].set_ylabel("recall, %")
    handles = {}
    for axes in grid.flat:
        for handle, label in zip(*axes.get_legend_handles_labels()):
            handles.setdefault(label, handle)
    grid.flat[0].legend(handles.values(), handles.keys(), fontsize=6)
    return save(figure, folder / "recall.png")


def plot_perplexity(pyplot, cells, folder):
    figure, axes = pyplot.subplots(figsize=(5, 3.4))
    # The intervals are of the books' difference, the same for all settings: they say nothing here.
    curves(
        axes,
        [{**c, "low": None} for c in cells],
        "perplexity",
        lambda name: name,
    )
    length_axis(axes, {c["length"] for c in cells})
    axes.set_ylabel(f"perplexity of the last {perplexity.SCORED_TOKENS} tokens")
    axes.legend(fontsize=7)
    return save(figure, folder / "perplexity.png")


def plot_choices(pyplot, cells, folder):
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(8.5, 3.4))
    hits = [c for c in cells if "hit_share" in c and c["settings"] != settings.ORACLE]
    curves(left, hits, "hit_share", lambda name: name, scale=100)
    read = [c for c in cells if "read_bytes_a_token" in c]
    curves(right, read, "read_bytes_a_token", lambda name: name, scale=1e-6)
    for axes, shown in ((left, hits), (right, read)):
        if shown:
            length_axis(axes, {c["length"] for c in shown})
            axes.legend(fontsize=7)
    left.set_ylabel("of brute force's blocks chosen, %")
    right.set_yscale("log")
    right.set_ylabel("MB read to choose for a token")
    return save(figure, folder / "choices.png")


def plot_all(lines, folder):
    """The files made."""
    pyplot = import_pyplot()
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for cells, draw in (
        (summary.recall_cells(lines), plot_recall),
        (summary.perplexity_cells(lines), plot_perplexity),
        (summary.choice_cells(lines), plot_choices),
    ):
        if cells:
            made.append(draw(pyplot, cells, folder))
    return made
