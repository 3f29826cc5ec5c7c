"""Parts of a judgement in other processes or on a cluster: each is written into its folder by whoever made it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from lensaudit.explaining.judging.judge import Run, Watcher, samples_of
from lensaudit.explaining.judging.records import JudgeSettings
from lensaudit.finders.score_parts import ReadAs, finder_in_worker, with_threads
from lensaudit.lensset import open_cutouts


@dataclass(frozen=True)
class JudgeParts:
    """Finishes one part of a judgement: an explainer on one kind of scene, or its check; picklable.

    Attributes
    ----------
    finder, sets
        Names as they are opened: paths are absolute.
    reading
        The options of that name: how a finder reads a set.
    out, settings
        Those of `lensaudit.explaining.judge`.
    """

    finder: str
    sets: tuple[Path, ...]
    reading: ReadAs
    out: Path
    settings: JudgeSettings

    def __call__(self, part: int) -> tuple[int, str]:
        """(number of the part, why its method failed); with one thread, so that no number depends on the machine."""
        with _ALONE, with_threads(self.reading.threads or 1):
            return part, _opened(self).finish(part)


_held: dict[JudgeParts, Run] = {}
"""Of this process: finder and sets, opened once for all parts."""

_ALONE = threading.Lock()
"""One part at a time, also where a worker has several threads: tracing a network changes what all of them see."""


def _opened(task: JudgeParts) -> Run:
    if task not in _held:
        sets = [open_cutouts(path) for path in task.sets]
        loaded = finder_in_worker(task.finder, task.reading, sets[0])
        settings = task.settings.settled()
        samples, _ = samples_of(loaded, sets, settings)
        _held.clear()
        _held[task] = Run(loaded, sets, task.out, settings, samples, Watcher())
    return _held[task]
