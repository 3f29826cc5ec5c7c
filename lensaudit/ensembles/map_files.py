"""``lensaudit ensemble-map``: a set on the map of an ensemble, as numbers and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lensaudit.ensembles.map_picture import CUTOUTS, Shown, map_figure, mark_regions, regions_figure
from lensaudit.ensembles.member_scores import Advance, member_scores
from lensaudit.ensembles.regions import Region, telling_regions
from lensaudit.errors import UsageError
from lensaudit.figures import save_figure
from lensaudit.files import replacing, writable_folder, write_json
from lensaudit.finders import Finder
from lensaudit.finders.ou_tsne import OuTsne
from lensaudit.lensset import LensSet
from lensaudit.provenance import provenance, refuse_other
from lensaudit.statistics import wilson_interval

DPI = 90

DETAIL = "VIS"
"""Band of the cutouts, where the set has it."""


def map_ensemble(
    finder: Finder,
    lens_set: LensSet,
    out: Path,
    regions: Sequence[Region] = (),
    *,
    images: int | None = None,
    progress: Advance | None = None,
) -> dict[str, Any]:
    """Place a set on the map of an ensemble; write ``map.png``, ``regions.png``, ``map.parquet`` and ``map.json``.

    Stopped while it scores, the same call goes on where it was.

    Parameters
    ----------
    finder
        An ensemble on a t-SNE map.
    regions
        Rectangles whose images are shown; none for the most and least lens-like squares and the most mixed one.
    images
        How many of the set's images to take, evenly spread; None: all.
    progress
        Called with (images scored, images in all).

    Returns
    -------
    dict
        What ``map.json`` holds: per region, images, lenses and their share with an interval.

    Raises
    ------
    UsageError
        The finder is no such ensemble.
    """
    if not isinstance(finder.module, OuTsne):
        raise UsageError(f"finder {finder.name}: has no map; give an ensemble made by lensaudit ensemble")
    out = writable_folder(out)
    inputs = {"finder": finder.weights_hash, "set": lens_set.content_hash}
    refuse_other(out / "map.json", inputs, "map")
    scores = member_scores(finder, lens_set, images, out, progress)
    found = finder.module.map
    positions, p_lens = np.full((len(scores.rows), 2), np.nan), np.full(len(scores.rows), np.nan)
    positions[scores.known] = found.place(scores.vectors[scores.known])
    p_lens[scores.known] = found.p_lens(positions[scores.known])
    labels = lens_set.labels[scores.rows].astype(np.int64)
    placed = _Placed(lens_set, scores.rows, positions, p_lens, labels)
    edges = found.positions.min(axis=0), found.positions.max(axis=0)
    chosen = list(regions) or telling_regions(positions, labels, edges)
    picture = map_figure(found, positions[scores.known], labels[scores.known], f"{finder.name} on {lens_set.path.name}")
    mark_regions(picture, chosen)
    _save(picture, out / "map.png")
    (out / "regions.png").unlink(missing_ok=True)
    if chosen:
        _save(
            regions_figure([placed.row(number, one) for number, one in enumerate(chosen, 1)], placed.band),
            out / "regions.png",
        )
    record = {
        "finder": finder.name,
        "n": len(scores.rows),
        "n_placed": int(scores.known.sum()),
        "edges": {"x": [float(edges[0][0]), float(edges[1][0])], "y": [float(edges[0][1]), float(edges[1][1])]},
        "regions": [placed.facts(one) for one in chosen],
        "provenance": provenance(inputs=inputs),
    }
    placed.write(out / "map.parquet")
    write_json(out / "map.json", record)
    return record


class _Placed:
    """Images of a set with their places."""

    def __init__(
        self,
        lens_set: LensSet,
        rows: NDArray[np.intp],
        positions: NDArray[np.float64],
        p_lens: NDArray[np.float64],
        labels: NDArray[np.int64],
    ) -> None:
        self.lens_set, self.rows, self.positions, self.p_lens, self.labels = lens_set, rows, positions, p_lens, labels
        self.band = DETAIL if DETAIL in lens_set.bands else lens_set.bands[0]

    def facts(self, region: Region) -> dict[str, Any]:
        """Where a region lies and what is in it."""
        labels = self.labels[region.holds(self.positions)]
        lenses, known = int((labels == 1).sum()), int((labels >= 0).sum())
        share = None if not known else lenses / known
        interval = None if not known else list(wilson_interval(lenses, known, 0.95))
        return {
            "name": region.name,
            "x": list(region.x),
            "y": list(region.y),
            "n": len(labels),
            "n_labelled": known,
            "n_lenses": lenses,
            "lens_fraction": share,
            "interval_95": interval,
        }

    def row(self, number: int, region: Region) -> tuple[str, list[Shown]]:
        """Words and cutouts of a region: those nearest to its middle."""
        facts = self.facts(region)
        middle = np.array([np.mean(region.x), np.mean(region.y)])
        inside = np.flatnonzero(region.holds(self.positions))
        nearest = inside[np.argsort(np.linalg.norm(self.positions[inside] - middle, axis=1), kind="stable")][:CUTOUTS]
        share = (
            "no labels"
            if facts["lens_fraction"] is None
            else (
                f"{facts['n_lenses']} of {facts['n_labelled']} lenses\n"
                f"({facts['interval_95'][0]:.2f}–{facts['interval_95'][1]:.2f})"
            )
        )
        return f"{number}: {region.name}\n{facts['n']} images\n{share}", [self._shown(int(one)) for one in nearest]

    def _shown(self, one: int) -> Shown:
        index = int(self.rows[one])
        image = self.lens_set.images(self.band, [index])[0]
        kind = {1: "lens", 0: "non-lens"}.get(int(self.labels[one]), "unlabelled")
        width = image.shape[1] * self.lens_set.pixel_scale_arcsec[self.band]
        return Shown(image, f"{self.lens_set.ids[index]}\n{kind}, p = {self.p_lens[one]:.3f}", width)

    def write(self, path: Path) -> None:
        """One row per image: id, label, place and p; NaN where a member cannot scale it."""
        ids = self.lens_set.ids
        table = pa.table(
            {
                "id": [ids[row] for row in self.rows],
                "label": self.labels,
                "x": self.positions[:, 0],
                "y": self.positions[:, 1],
                "p_lens": self.p_lens,
            }
        )
        with replacing(path) as partial:
            pq.write_table(table, partial)


def _save(figure: Figure, path: Path) -> None:
    save_figure(path, figure, dpi=DPI)
