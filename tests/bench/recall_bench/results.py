"""The file of results: JSON lines, the first of which tells what is measured.

A line is added when its haystack or slice is finished, so that a run that was stopped goes on
where it was. A last line that was cut by a crash is dropped.
"""

import json
import os


class OtherRun(ValueError):
    """The file is of a run with other settings."""


def load(path):
    """All whole lines of the file, as objects."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    lines = text.split("\n")[:-1]  # what follows the last line feed was cut
    return [json.loads(line) for line in lines]


class Results:
    """Appends to `path`. `run`: what must not change between runs that share the file."""

    def __init__(self, path, run):
        self._path = path
        self._done = set()
        if not os.path.exists(path) or not load(path):
            self._rewrite([{"type": "run", **run}])
            return
        lines = load(path)
        differing = [k for k in run if lines[0].get(k) != run[k]]
        if lines[0].get("type") != "run" or differing:
            raise OtherRun(
                f"{path}: is of another run ({', '.join(differing) or 'no run'} differ); "
                "give another --out"
            )
        self._rewrite(lines)  # without what was cut
        self._done = {self._unit(line) for line in lines[1:]}

    @staticmethod
    def _unit(line):
        return (line["task"], line["length"], line["haystack"])

    def is_done(self, task, length, haystack):
        return (task, length, haystack) in self._done

    def add(self, line):
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._done.add(self._unit(line))

    def _rewrite(self, lines):
        temporary = f"{self._path}.new"
        with open(temporary, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
        os.replace(temporary, self._path)
