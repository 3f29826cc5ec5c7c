"""``clusters.html``: one page, of one file, on which a person marks the clusters; it asks the network for nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from markupsafe import Markup
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from lensaudit.display.images import png_uri, prepared_grey
from lensaudit.display.page import render_page
from lensaudit.documents import read_json, validated
from lensaudit.errors import DataError, NoSuchFile
from lensaudit.evaluation import CONFIDENCE
from lensaudit.files import write_text
from lensaudit.finders.architectures.cae_bgm import CaeBgm
from lensaudit.records import Record
from lensaudit.statistics import Proportion
from lensaudit.training.prepared import PreparedSet, Rows, decoded
from lensaudit.untrusted import printable

SHOWN = 10
"""Members of a cluster on its sheet."""
_GREYS = 48
_GAP = 2


@dataclass(frozen=True)
class Sheet:
    """One cluster's picture: a PNG as ``data:`` URI with its size in pixels, and which images it shows."""

    uri: str
    width: int
    height: int
    rows: tuple[str, ...]
    shown: Rows


def members_shown(fractions: NDArray[np.float64], number: int, count: int = SHOWN) -> Rows:
    """Members of cluster `number`, evenly spaced from the most to the least certain one.

    Parameters
    ----------
    fractions
        Responsibilities (n, K).
    """
    members = np.flatnonzero(fractions.argmax(axis=1) == number)
    ordered = members[np.argsort(-fractions[members, number], kind="stable")]
    spaced = np.linspace(0, len(ordered) - 1, min(count, len(ordered))).round().astype(np.int64)
    return ordered[spaced].astype(np.int64)


@torch.inference_mode()
def sheet_of(module: CaeBgm, mirrored: nn.Module | None, prepared: PreparedSet, shown: Rows) -> Sheet:
    """Rows of cutouts, first band: as the finder gets them, denoised, and reconstructed where there is a decoder.

    Every cutout runs from black at its 1 % percentile to white at its 99.5 % percentile, so that arcs beside a bright
    core can be seen; its first row is at the bottom, as in DS9.
    """
    images = decoded(*prepared.read(shown)).to(next(module.parameters()).device)
    denoised = module.denoiser(images)
    rows = {"as the finder gets them": images, "denoised": denoised}
    if mirrored is not None:
        rows["from the embedding"] = torch.sigmoid(mirrored(module.encoder(denoised).cpu()))
    strips = [_strip(block[:, 0].cpu().numpy()) for block in rows.values()]
    picture = np.concatenate([part for strip in strips for part in (strip, _blank(strip))][:-1])
    return Sheet(
        png_uri(np.repeat(picture[..., None], 3, axis=2), _GREYS),
        picture.shape[1],
        picture.shape[0],
        tuple(rows),
        shown,
    )


def _strip(block: NDArray[np.float32]) -> NDArray[np.uint8]:
    grey = np.rint(prepared_grey(block) * (_GREYS - 1)) * (255 / (_GREYS - 1))
    gap = np.full((block.shape[1], _GAP), 255, np.uint8)
    cutouts = [np.flipud(one).astype(np.uint8) for one in grey]
    return np.concatenate([part for one in cutouts for part in (one, gap)][:-1], axis=1)


def _blank(strip: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.full((_GAP, strip.shape[1]), 255, np.uint8)


MARKS = (0.0, 0.5, 1.0)
"""No lenses, cannot be told, lenses (Cheng et al. 2020, Section 3.3)."""
UNMARKED = 0.5
MARKS_FILE = "marks.json"


class Marks(BaseModel):
    """Content of ``marks.json``, as the page of clusters writes it.

    Attributes
    ----------
    clusters
        `clusters_hash` of the clusters that were looked at.
    marks
        Number of the cluster → mark; a cluster that is left out counts as 0.5.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    clusters: str = Field(max_length=128)
    marks: dict[int, float] = Field(max_length=100_000)

    def values(self, components: int) -> NDArray[np.float64]:
        """Lens probability of each cluster (K,)."""
        found = np.full(components, UNMARKED)
        for number, mark in self.marks.items():
            found[number] = mark
        return found

    @property
    def digest(self) -> str:
        """SHA-256 of the content, for the provenance of what used it."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def write(self, path: Path) -> None:
        """Write to `path`, whole or not at all."""
        write_text(path, self.model_dump_json(indent=2) + "\n")


def read_marks(path: Path, clusters: str, components: int) -> Marks:
    """Read `path`, which must be of these clusters.

    Parameters
    ----------
    clusters, components
        `clusters_hash` and number of the clusters at hand.

    Raises
    ------
    UsageError
        There is no such file.
    DataError
        It is no file of marks, marks other clusters or a cluster that does not exist, or says something other than
        0, 0.5 and 1.
    """
    if not path.is_file():
        raise NoSuchFile(f"{path}: no such file; save it from clusters.html, or leave --marks out")
    fix = "save the marks from clusters.html"
    words = read_json(path, fix)
    marks = validated(words, Marks, f"{path}", fix)
    if len(marks.marks) < len(words["marks"]):
        raise DataError(f"{path}: a cluster is marked twice; {fix}")
    if marks.clusters != clusters:
        raise DataError(
            f"{path}: marks the clusters {printable(marks.clusters[:12])}, these are {clusters[:12]}; mark "
            f"clusters.html of this run, or cluster with what it was written for"
        )
    for number, mark in marks.marks.items():
        if not 0 <= number < components:
            raise DataError(f"{path}: marks cluster {number}, there are 0 to {components - 1}; correct the number")
        if mark not in MARKS:
            raise DataError(f"{path}: marks cluster {number} with {mark:g}; 0, 0.5 and 1 are allowed")
    return marks


LENS_RICH = 0.6
"""Lens fraction from which Cheng et al. 2020 count a cluster among those of lenses."""


@dataclass(frozen=True)
class Cluster(Record):
    """One cluster.

    Attributes
    ----------
    number
        From 0.
    n
        Images whose most likely cluster it is.
    lenses
        Lenses among those of them with a label.
    mark
        A person's 0, 0.5 or 1; None where nobody has marked it.
    """

    number: int
    n: int
    lenses: Proportion
    mark: float | None = None

    @property
    def is_empty(self) -> bool:
        """Whether no image is in it."""
        return self.n == 0


def clusters_of(
    assigned: ArrayLike, labels: ArrayLike, components: int, marks: dict[int, float] | None = None
) -> tuple[Cluster, ...]:
    """Count the images of each cluster.

    Parameters
    ----------
    assigned
        Most likely cluster of each image (n,).
    labels
        1 lens, 0 non-lens, −1 unknown (n,).
    components
        Number of clusters.
    marks
        Number → mark.
    """
    cluster, label = np.asarray(assigned), np.asarray(labels)
    found = []
    for number in range(components):
        inside = label[cluster == number]
        lenses = Proportion.of(int((inside == 1).sum()), int((inside >= 0).sum()), CONFIDENCE)
        found.append(Cluster(number, len(inside), lenses, (marks or {}).get(number)))
    return tuple(found)


def known_fractions(clusters: Sequence[Cluster]) -> NDArray[np.float64]:
    """Lens probability of each cluster by its lens fraction (K,).

    A cluster without a labelled image has none of its own: it gets that of all clusters together, and 0.5 where nothing
    is labelled.
    """
    k, n = sum(one.lenses.k for one in clusters), sum(one.lenses.n for one in clusters)
    overall = k / n if n else 0.5
    return np.array([one.lenses.value if one.lenses.n else overall for one in clusters])


def lenses_in_rich_clusters(
    fractions: ArrayLike, assigned: ArrayLike, labels: ArrayLike, least: float = LENS_RICH
) -> Proportion:
    """Fraction of the lenses whose most likely cluster has a lens fraction of at least `least`.

    Parameters
    ----------
    fractions
        Lens fraction of each cluster (K,), by the images that made the clusters.
    assigned, labels
        Of the images that are counted (n,).
    """
    rich = np.asarray(fractions) >= least
    lenses = np.asarray(assigned)[np.asarray(labels) == 1]
    return Proportion.among(rich[lenses], CONFIDENCE)


_TEMPLATE = Path(__file__).parent / "template"
_MEANING = {0.0: "no lenses", 0.5: "cannot be told", 1.0: "lenses"}


@dataclass(frozen=True)
class Page:
    """What the page shows.

    Attributes
    ----------
    name, set_name
        Of the finder and the lens set.
    identity
        `clusters_hash` of the clusters.
    clusters, sheets
        One of each per cluster; None for an empty one.
    """

    name: str
    set_name: str
    identity: str
    clusters: Sequence[Cluster]
    sheets: Sequence[Sheet | None]

    def html(self) -> str:
        """The page as text.

        The script may build and hand out the file of marks, nothing else: the Content-Security-Policy names it and the
        style by their hashes.
        """
        return render_page(
            _TEMPLATE,
            "clusters.html.j2",
            styles=("clusters.css",),
            script="clusters.js",
            page=self,
            pairs=list(zip(self.clusters, self.sheets, strict=True)),
            marks=[(f"{mark:g}", _MEANING[mark]) for mark in MARKS],
            marks_file=MARKS_FILE,
            n=sum(cluster.n for cluster in self.clusters),
            labelled=any(cluster.lenses.n for cluster in self.clusters),
            facts=Markup(json.dumps({"clusters": self.identity, "file": MARKS_FILE})),
        )

    def write(self, path: Path) -> None:
        """Write to `path`, whole or not at all."""
        write_text(path, self.html())
