"""A line on standard error that tells how far a run is."""

import sys
import time

WIDTH = 24


def clock(seconds):
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def bar(done, total, elapsed, already=0):
    """"[######------]  25%  3/12  ETA 0:09"; what was done `already` took no time."""
    share = done / total if total else 1.0
    filled = int(share * WIDTH)
    made = done - already
    rest = clock(elapsed / made * (total - done)) if made > 0 else "-"
    return f"[{'#' * filled}{'-' * (WIDTH - filled)}] {share:4.0%}  {done}/{total}  ETA {rest}"


class Progress:
    """Redraws on a terminal; elsewhere prints a line a step."""

    def __init__(self, total, already, stream=sys.stderr):
        self._total, self._done, self._already = total, already, already
        self._stream = stream
        self._begin = time.monotonic()

    def step(self, count, what):
        self._done += count
        drawn = bar(self._done, self._total, time.monotonic() - self._begin, self._already)
        end = "\r" if self._stream.isatty() and self._done < self._total else "\n"
        self._stream.write(f"{drawn}  {what:<48}{end}")
        self._stream.flush()
