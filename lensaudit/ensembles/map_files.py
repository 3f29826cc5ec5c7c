"""``lensaudit ensemble-map``: a set on the map of an ensemble, as numbers and pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lensaudit.display.figures import save_figure
from lensaudit.display.images import main_band
from lensaudit.display.numbers import interval
from lensaudit.ensembles.map_picture import (
    CUTOUTS,
    Region,
    ShownCutout,
    map_figure,
    mark_regions,
    regions_figure,
    telling_regions,
)
from lensaudit.errors import UsageError
from lensaudit.files import replacing, writable_folder
from lensaudit.finders import Finder
from lensaudit.finders.finder import weights_hash
from lensaudit.finders.ou_tsne import OuTsne, native_pixels
from lensaudit.finders.score import NO_BATCH, out_of_memory_explained
from lensaudit.kept import Arrays, Piece, TensorsForm, key_of
from lensaudit.lensset import Cutouts
from lensaudit.provenance import Provenance, refuse_other
from lensaudit.records import Record
from lensaudit.statistics import wilson_interval
from lensaudit.untrusted import path_within

PIECE = 100
"""Images whose scores are kept together: some seconds of work."""

BATCH = 25
"""Images read and prepared at once: 4 bands of 200×200 are 16 MB."""

Advance = Callable[[int, int], None]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class MemberScores:
    """What the members of an ensemble say of some images of a set.

    Attributes
    ----------
    rows
        Which images of the set (n,).
    vectors
        p(lens) of each member (n, members), float64; NaN where one cannot scale the image.
    """

    rows: NDArray[np.intp]
    vectors: Floats

    @property
    def known(self) -> NDArray[np.bool_]:
        """Images with a score from every member (n,)."""
        known: NDArray[np.bool_] = np.asarray(np.isfinite(self.vectors).all(axis=1))
        return known


def spread_rows(total: int, images: int | None) -> list[range]:
    """Pieces of up to 100 neighbours, evenly spread over a set of `total`, that make up `images` (None: all).

    Raises
    ------
    UsageError
        `images` is below 1.
    """
    if images is not None and images < 1:
        raise UsageError(f"--images {images}: at least 1 is needed")
    wanted = total if images is None else min(images, total)
    lengths = [min(PIECE, wanted - done) for done in range(0, wanted, PIECE)]
    gap = (total - wanted) / max(1, len(lengths) - 1)
    starts = [PIECE * number + int(gap * number) for number in range(len(lengths))]
    return [range(start, start + length) for start, length in zip(starts, lengths, strict=True)]


def member_scores(
    ensemble: Finder, lens_set: Cutouts, images: int | None, folder: Path, progress: Advance | None = None
) -> MemberScores:
    """Score `images` images of a set, evenly spread (None: all), with every member.

    Pieces are kept below `folder`, member by member: those of an earlier run with the same member and set are taken
    as they are, so that a stopped run goes on, and another ensemble of some of these members need not wait for them.

    Raises
    ------
    DataError
        A band is missing or the field of view is another.
    """
    ensemble.check(lens_set)
    module = cast(OuTsne, ensemble.module)
    spans = spread_rows(len(lens_set), images)
    total, done = sum(map(len, spans)), 0
    stores = {name: _folder_of(folder, name, ensemble, lens_set) for name in module.members}
    found: list[Floats] = []
    for span in spans:
        pieces = {name: _piece(store, span) for name, store in stores.items()}
        kept = {name: arrays for name, piece in pieces.items() if (arrays := piece.load()) is not None}
        for name, scores in _scored(ensemble, lens_set, span, [name for name in stores if name not in kept]).items():
            kept[name] = {"p_lens": scores}
            pieces[name].write(kept[name])
        found.append(np.stack([kept[name]["p_lens"].astype(np.float64) for name in stores], axis=1))
        done += len(span)
        if progress is not None:
            progress(done, total)
    return MemberScores(np.concatenate([np.asarray(span, np.intp) for span in spans]), np.concatenate(found))


def _folder_of(folder: Path, name: str, ensemble: Finder, lens_set: Cutouts) -> Path:
    """Where pieces of a member and a set lie below `folder`; the member's input is part of its name."""
    recipe = ensemble.recipe
    member = next(one for one in recipe.members if one.name == name)
    facts = {
        "weights": weights_hash(cast(OuTsne, ensemble.module).members[name]),
        "member": member.model_dump(mode="json"),
        "size": recipe.size,
        "native": dict(zip(recipe.bands, native_pixels(recipe), strict=True)),
        "set": lens_set.content_hash,
    }
    return path_within(folder, "scores", f"{name}-{key_of(facts)[:16]}")


def _scored(ensemble: Finder, lens_set: Cutouts, span: range, names: Sequence[str]) -> dict[str, Floats]:
    """p(lens) of the members `names` for the images `span`."""
    module = cast(OuTsne, ensemble.module)
    found: dict[str, list[Floats]] = {name: [] for name in names}
    with torch.inference_mode(), out_of_memory_explained(BATCH, NO_BATCH):
        for first in range(span.start, span.stop, BATCH) if names else ():
            part = slice(first, min(first + BATCH, span.stop))
            images, _ = ensemble.prepare({band: lens_set.images(band, part) for band in ensemble.recipe.bands})
            columns = module.scores(images, names).double().cpu().numpy()
            for name, column in zip(names, columns.T, strict=True):
                found[name].append(column.copy())
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _piece(store: Path, span: range) -> Piece[Arrays]:
    """Scores of the images `span` by the member that `store` is named by."""

    def check(arrays: Arrays) -> None:
        scores = arrays["p_lens"]
        if scores.shape != (len(span),) or scores.dtype.kind != "f" or ((scores < 0) | (scores > 1)).any():
            raise ValueError("no scores of these images")

    return Piece(store / f"{span.start:08d}-{len(span)}.safetensors", TensorsForm(check=check))


DPI = 90


@dataclass(frozen=True)
class RegionContent(Record):
    """Where a region of the map lies, and the images in it; the fraction of lenses is that of the labelled ones."""

    name: str
    x: tuple[float, float]
    y: tuple[float, float]
    n: int
    n_labelled: int
    n_lenses: int
    lens_fraction: float | None
    interval_95: tuple[float, float] | None


@dataclass(frozen=True)
class SetOnMap(Record):
    """What ``map.json`` holds: a set on the map of an ensemble; images that a member cannot scale have no place."""

    finder: str
    n: int
    n_placed: int
    edges: dict[str, tuple[float, float]]
    regions: tuple[RegionContent, ...]
    provenance: Provenance


def map_ensemble(
    finder: Finder,
    lens_set: Cutouts,
    out: Path,
    regions: Sequence[Region] = (),
    *,
    images: int | None = None,
    progress: Advance | None = None,
) -> SetOnMap:
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
    SetOnMap
        Per region, images, lenses and their fraction with an interval.

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
    record = SetOnMap(
        finder=finder.name,
        n=len(scores.rows),
        n_placed=int(scores.known.sum()),
        edges={axis: (float(edges[0][k]), float(edges[1][k])) for k, axis in enumerate("xy")},
        regions=tuple(placed.content(one) for one in chosen),
        provenance=Provenance.here(inputs=inputs),
    )
    placed.write(out / "map.parquet")
    record.write(out / "map.json")
    return record


class _Placed:
    """Images of a set with their places."""

    def __init__(
        self,
        lens_set: Cutouts,
        rows: NDArray[np.intp],
        positions: NDArray[np.float64],
        p_lens: NDArray[np.float64],
        labels: NDArray[np.int64],
    ) -> None:
        self.lens_set, self.rows, self.positions, self.p_lens, self.labels = lens_set, rows, positions, p_lens, labels
        self.band = main_band(lens_set.bands)

    def content(self, region: Region) -> RegionContent:
        """Where a region lies and what is in it."""
        labels = self.labels[region.holds(self.positions)]
        lenses, known = int((labels == 1).sum()), int((labels >= 0).sum())
        return RegionContent(
            name=region.name,
            x=region.x,
            y=region.y,
            n=len(labels),
            n_labelled=known,
            n_lenses=lenses,
            lens_fraction=lenses / known if known else None,
            interval_95=wilson_interval(lenses, known, 0.95) if known else None,
        )

    def row(self, number: int, region: Region) -> tuple[str, list[ShownCutout]]:
        """Words and cutouts of a region: those nearest to its middle."""
        content = self.content(region)
        middle = np.array([np.mean(region.x), np.mean(region.y)])
        inside = np.flatnonzero(region.holds(self.positions))
        nearest = inside[np.argsort(np.linalg.norm(self.positions[inside] - middle, axis=1), kind="stable")][:CUTOUTS]
        fraction = "no labels"
        if content.interval_95 is not None:
            found = interval(*content.interval_95, 2)
            fraction = f"{content.n_lenses} of {content.n_labelled} lenses\n({found})"
        return f"{number}: {region.name}\n{content.n} images\n{fraction}", [self._shown(int(one)) for one in nearest]

    def _shown(self, one: int) -> ShownCutout:
        index = int(self.rows[one])
        image = self.lens_set.images(self.band, [index])[0]
        kind = {1: "lens", 0: "non-lens"}.get(int(self.labels[one]), "unlabelled")
        width = image.shape[1] * self.lens_set.pixel_scale_arcsec[self.band]
        return ShownCutout(image, f"{self.lens_set.ids[index]}\n{kind}, p = {self.p_lens[one]:.3f}", width)

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
    save_figure(path, figure)
