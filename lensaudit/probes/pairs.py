"""A pair: one drawn scene, edited for each arm, rendered twice with the same noise.

Each arm is a lens set of its own, so that a pair can also be scored, opened and explained like any other cutout, and an
interrupted run goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from lensaudit.imaging import INSTRUMENTS, render
from lensaudit.lensset import LensSet
from lensaudit.lensset.header import Header
from lensaudit.lensset.simulation import as_records, simulation_header, write_chunks
from lensaudit.lensset.writer import LensSetWriter
from lensaudit.probes.edits import EDITS
from lensaudit.scenes import draw_scene

ARMS = ("control", "treated")


@dataclass(frozen=True)
class PairPlan:
    """Which pairs to render: scenes 0 … n − 1 of `population` at `seed`, one edit per arm, one instrument.

    Pair i depends on (population, seed, edits, instrument) and i alone.
    """

    population: str
    seed: int
    n: int
    control: str
    treated: str
    instrument: str

    def pair_id(self, index: int) -> str:
        """Name of pair `index`, the same in both arms: ``compound-arcs-000012``."""
        return f"{self.population}-{index:06d}"

    def header(self, arm: str) -> Header:
        """Header of the lens set of one arm."""
        header = simulation_header(self.instrument, self.population, self.n, self.seed)
        edit = getattr(self, arm)
        command = f"lensaudit probe … --n {self.n} --seed {self.seed}"
        return header.model_copy(
            update={
                "source": {"arm": arm, "edit": edit, "edit_description": EDITS[edit].description},
                "provenance": header.provenance | {"command": command},  # the pairs do not depend on the finder
            }
        )


@dataclass(frozen=True)
class PairSets:
    """The rendered pairs: system i of `control` and system i of `treated` are pair i."""

    plan: PairPlan
    control: LensSet
    treated: LensSet

    def arm(self, name: str) -> LensSet:
        """The lens set of ``control`` or ``treated``."""
        return {"control": self.control, "treated": self.treated}[name]

    def truth(self, arm: str, column: str) -> NDArray[Any]:
        """One truth column of one arm (n,)."""
        return self.arm(arm).column(column)


@dataclass(frozen=True)
class ArmTask:
    """Renders and writes one chunk of one arm."""

    root: Path
    header: Header
    plan: PairPlan
    edit: str

    def __call__(self, chunk: int) -> int:
        """Write chunk `chunk`; returns how many pairs it holds."""
        span, edit = self.header.span(chunk), EDITS[self.edit].apply
        indices = range(span.start, span.stop)
        scenes = [edit(draw_scene(self.plan.population, self.plan.seed, index)) for index in indices]
        rendered = [render(scene, INSTRUMENTS[self.plan.instrument]) for scene in scenes]
        ids = [self.plan.pair_id(index) for index in indices]
        LensSetWriter(self.root, self.header).write(chunk, as_records(ids, scenes, rendered, self.header))
        return len(ids)


def render_pairs(
    plan: PairPlan, folder: Path, workers: int | str = 1, progress: Callable[[int, int], None] | None = None
) -> PairSets:
    """Render what is missing of ``folder/control`` and ``folder/treated``.

    `progress` is told (images done, images in all) over both arms.

    Raises
    ------
    UsageError
        The folder holds pairs of another plan, or cannot be written.
    MachineError
        The disk is full, or a worker died.
    """
    sets = {}
    for k, arm in enumerate(ARMS):
        task = ArmTask(Path(folder) / arm, plan.header(arm), plan, getattr(plan, arm))
        sets[arm] = write_chunks(task, workers, _shifted(progress, k * plan.n, len(ARMS) * plan.n))
    return PairSets(plan, sets["control"], sets["treated"])


def _shifted(progress: Callable[[int, int], None] | None, before: int, total: int) -> Callable[[int, int], None] | None:
    """Progress of one arm as a part of both."""
    if progress is None:
        return None
    return lambda done, _: progress(before + done, total)
