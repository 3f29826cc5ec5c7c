"""The clusters on test images: with and without marks, lenses that are rare, the cut, turned and source-only images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from lensaudit.clustering.embed import Posed, embeddings, logits, responsibilities
from lensaudit.clustering.examinations import at_ratios, source_only, splitting_of
from lensaudit.clustering.network import named
from lensaudit.clustering.page import lenses_in_rich_clusters
from lensaudit.errors import DataError, UsageError
from lensaudit.evaluation import evaluate
from lensaudit.finders import Finder
from lensaudit.finders.architectures.cae_bgm import CaeBgm
from lensaudit.spread import StageProgress
from lensaudit.training.finish import measured_record
from lensaudit.training.prepared import PreparedSet, prepare_set

if TYPE_CHECKING:
    from lensaudit.lensset import LensSet


LEAST_PIXELS, LEAST_SNR = 100, 50.0
"""The paper counts lensed pixels above 1 σ of the noise, our truth above 0.5 σ."""


def passes_cut(lens_set: LensSet) -> NDArray[np.bool_]:
    """Which images are kept (n,): lenses with at least 100 lensed pixels and S/N 50, and all non-lenses.

    Raises
    ------
    DataError
        The set has no truth.
    """
    if not {"n_arc_pixels", "arc_snr"} <= set(lens_set.columns):
        raise DataError(f"{lens_set.path}: has no n_arc_pixels and arc_snr to cut at; give a simulated set as --test")
    pixels, ratio = (np.asarray(lens_set.column(name), dtype=np.float64) for name in ("n_arc_pixels", "arc_snr"))
    labels: NDArray[Any] = lens_set.labels
    return (labels == 0) | ((labels == 1) & (pixels >= LEAST_PIXELS) & (ratio >= LEAST_SNR))


@dataclass(frozen=True)
class Extras:
    """Which of the paper's examinations are run on the test set beside the metrics.

    Attributes
    ----------
    ratios
        Non-lenses per lens.
    cut
        Measure again with lenses above 100 lensed pixels and S/N 50 only.
    orientations
        Test images to turn; 0 for none.
    source_only
        Cluster the lensed light alone.
    """

    ratios: tuple[float, ...] = ()
    cut: bool = False
    orientations: int = 0
    source_only: bool = False

    @property
    def any(self) -> bool:
        """Whether a test set is needed."""
        return bool(self.ratios or self.cut or self.orientations or self.source_only)


@dataclass(frozen=True)
class TestImages:
    """Labelled test images and what the finder made of them.

    Attributes
    ----------
    prepared
        The images.
    points
        Embeddings (n, features).
    cache
        Folder for embeddings.
    """

    __test__ = False  # no test case, whatever pytest makes of the name

    lens_set: LensSet
    prepared: PreparedSet
    points: NDArray[np.float32]
    cache: Path

    @property
    def labels(self) -> NDArray[np.int8]:
        """0 or 1 of each."""
        return self.prepared.labels


def embedded_test(finder: Finder, lens_set: LensSet, cache: Path, progress: StageProgress) -> TestImages:
    """Prepare and embed the labelled images of a test set.

    Raises
    ------
    DataError
        None of its images has a label.
    """
    assert isinstance(finder.module, CaeBgm)
    prepared = prepare_set(finder, lens_set, cache, named(progress, "preparing test images"))
    if not len(prepared):
        raise DataError(f"{lens_set.path}: no image has a label; give a labelled set as --test")
    posed = Posed(prepared, np.arange(len(prepared)))
    store = cache / "test-embeddings.safetensors"
    points = embeddings(finder.module, posed, store, named(progress, "embedding test images"))[:, 0]
    return TestImages(lens_set, prepared, points, cache)


def measurements(
    finders: Sequence[tuple[str, Finder]],
    test: TestImages,
    fractions: NDArray[np.float64],
    extras: Extras,
    seed: int,
    progress: StageProgress,
) -> dict[str, Any]:
    """All that is measured on the test images, as plain values.

    Parameters
    ----------
    finders
        (``known``, finder) and, with marks, (``marks``, finder): the same clusters, other lens probabilities.
    fractions
        Known lens fraction of each cluster (K,).
    """
    (_, first), labels = finders[0], test.labels
    assert isinstance(first.module, CaeBgm)
    assigned = responsibilities(first.module.head, test.points).argmax(1)
    found: dict[str, Any] = {
        "set": test.lens_set.content_hash,
        "lenses_in_rich_clusters": lenses_in_rich_clusters(fractions, assigned, labels).to_json(),
    }
    for name, finder in finders:
        assert isinstance(finder.module, CaeBgm)
        scores = logits(finder.module.head, test.points)
        found[name] = {"all": measured_record(labels, scores, finder, seed)}
        if extras.ratios:
            threshold = float(logit(finder.recipe.threshold))
            rare = at_ratios(labels, scores, threshold, extras.ratios, seed)
            found[name]["ratios"] = [one.to_json() for one in rare]
        if extras.cut:
            found[name]["cut"] = {
                "least_pixels": LEAST_PIXELS,
                "least_snr": LEAST_SNR,
                **_cut(finder, test, scores, seed),
            }
    if extras.orientations:
        found["orientations"] = _orientations(first, test, extras.orientations, seed, progress)
    if extras.source_only:
        light = source_only(first, test.lens_set, seed, named(progress, "embedding lensed light"))
        found["source_only"] = light.to_json()
    return found


def auroc_of(finder: Finder, points: NDArray[np.float32], labels: NDArray[np.int8]) -> dict[str, Any]:
    """AUROC of embeddings (n, features), as plain values."""
    assert isinstance(finder.module, CaeBgm)
    scores = logits(finder.module.head, points)
    return evaluate(labels, expit(scores), scores).metric("auroc").to_json()


def _cut(finder: Finder, test: TestImages, scores: NDArray[np.float64], seed: int) -> dict[str, Any]:
    kept = passes_cut(test.lens_set)[test.prepared.rows]
    if not (test.labels[kept] == 1).any():
        raise UsageError(f"{test.lens_set.path}: no lens has {LEAST_PIXELS} lensed pixels and S/N {LEAST_SNR:g}")
    return measured_record(test.labels[kept], scores[kept], finder, seed)


def _orientations(finder: Finder, test: TestImages, count: int, seed: int, progress: StageProgress) -> dict[str, Any]:
    assert isinstance(finder.module, CaeBgm)
    rows = np.arange(min(count, len(test.prepared)))
    store = test.cache / "turned-embeddings.safetensors"
    turned = embeddings(
        finder.module, Posed(test.prepared, rows, turned=True), store, named(progress, "turning images")
    )
    return splitting_of(finder.module.head, turned, seed).to_json()
