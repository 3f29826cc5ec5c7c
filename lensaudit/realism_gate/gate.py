"""The comparison of two sets in hand: the record, the numbers of every cutout, and the sets for pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lensaudit.realism_gate.cutouts import Cutouts
from lensaudit.records import MOST_ROWS, Cells, Facts, Shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lensaudit.lensset import LensSet
    from lensaudit.realism_gate.result import Realism


@dataclass(frozen=True, eq=False, repr=False)
class Gate(Shown):
    """How far simulated cutouts stand from real ones.

    Attributes
    ----------
    record
        All numbers and the sentence that follows from them, see `lensaudit.realism_gate.Realism`.
    cutouts
        Distance, flag and p(real) of every cutout.
    real, simulated
        The sets.
    """

    record: Realism
    cutouts: Cutouts
    real: LensSet
    simulated: LensSet

    @property
    def sentence(self) -> str:
        """How far effects on simulated scenes carry over."""
        return self.record.sentence

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the image statistics that differ most, see `Realism.plot`."""
        return self.record.plot(ax)

    def write(self, out: Path | str) -> Path:
        """Write record, table, pictures and page into the folder `out`; returns the path of the page."""
        from lensaudit.realism_gate.page import write_realism

        return write_realism(self.record, self.cutouts, (self.real, self.simulated), Path(out))

    def _facts(self) -> Facts:
        one, domain = self.record.leading, self.record.domain
        facts: dict[str, Any] = {"compared": self.record.compared, "told apart by": one.of, "AUROC": one.auroc}
        facts |= {"interval": (one.low, one.high), "n": f"{one.n_real} real, {one.n_simulated} simulated"}
        return facts | {"outside": f"{domain.outside.k} of {domain.outside.n} real"}

    def _rows(self) -> list[Cells]:
        shown = self.record.shifts[:MOST_ROWS]
        return [{"statistic": s.name, "AUROC": s.auroc, "real": s.real, "simulated": s.simulated} for s in shown]
