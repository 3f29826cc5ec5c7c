"""AUROC against the size of the embedding, with reruns: Figure 7 of Cheng et al. 2020."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import JsonValue
from torch import nn

from lensaudit.clustering.embed import Posed, embeddings, fit_mixture, responsibilities
from lensaudit.clustering.network import (
    ClusterOptions,
    Images,
    Workplace,
    check_recipe,
    drawn_images,
    train_network,
)
from lensaudit.clustering.outputs import auroc_of
from lensaudit.clustering.page import clusters_of, known_fractions
from lensaudit.clustering.run import ClusterData, ClusterPlace
from lensaudit.display.colour import FAINT, SERIES
from lensaudit.display.figures import axes_or_new, figure_of, legend_under, save_figure, styled
from lensaudit.errors import DataError, UsageError
from lensaudit.files import writable_folder
from lensaudit.finders import Finder, Recipe
from lensaudit.kept import JsonForm, Piece
from lensaudit.provenance import Provenance, refuse_other
from lensaudit.records import Number, Record
from lensaudit.spread import StageProgress
from lensaudit.training.prepared import PreparedSet, prepare_set

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class AtSize(Record):
    """AUROC of each rerun with one size of the embedding."""

    embedding: int
    auroc: tuple[Number, ...]


@dataclass(frozen=True)
class SweepResult(Record):
    """What ``sweep.json`` holds: AUROC by size of the embedding, of `n` images of the set that `measured_on` names."""

    sizes: tuple[AtSize, ...]
    reruns: int
    stretch: str
    n: int
    measured_on: str
    n_training: int
    filters: int
    options: dict[str, JsonValue]
    provenance: Provenance

    @styled
    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw AUROC against the size: mean of the reruns, and a band from the lowest to the highest."""
        axes = axes_or_new(ax, 6, 3.8)
        sizes = [one.embedding for one in self.sizes]
        means, lows, highs = ([float(part(one.auroc)) for one in self.sizes] for part in (np.mean, np.min, np.max))
        axes.fill_between(sizes, lows, highs, color=SERIES[0], alpha=0.25, linewidth=0, label="lowest to highest rerun")
        axes.plot(sizes, means, color=SERIES[0], marker="o", label=f"mean of {self.reruns} reruns")
        axes.axhline(0.5, color=FAINT, linewidth=1, linestyle="--", label="chance")
        axes.set(
            xlabel="features of the embedding = clusters",
            ylabel="AUROC",
            title=f"{self.n} {self.measured_on} images, trained on {self.n_training}, {self.stretch}",
            xticks=sizes,
        )
        legend_under(axes)
        return axes


@dataclass(frozen=True)
class Sweep:
    """Sizes of the embedding, each of which is also the number of clusters, and how often each is trained."""

    sizes: tuple[int, ...]
    reruns: int = 3

    def __post_init__(self) -> None:
        if not self.sizes or min(self.sizes) < 1 or self.reruns < 1:
            raise UsageError("--sweep-embedding takes sizes of 1 or more, as in 4,8,16,24, and --reruns 1 or more")


def sweep_embedding(
    recipe: Recipe,
    data: ClusterData,
    place: ClusterPlace,
    options: ClusterOptions,
    sweep: Sweep,
    progress: StageProgress,
) -> SweepResult:
    """Train the extractor for every size and rerun and measure each; writes ``sweep.json`` and ``sweep.png``.

    Measured is the AUROC by known fractions, on the test set, or else, as in the paper, on the images themselves. A
    rerun has weights and an order of its own, the same images and denoiser. Stopped, the same call goes on.

    Raises
    ------
    DataError
        A class is missing, so that there is no AUROC.
    """
    check_recipe(recipe)
    untrained = Finder(recipe, nn.Identity(), "clustering")
    untrained.check(data.lens_set)
    refuse_other(place.out / "sweep.json", data.inputs(), "sweep")
    work = writable_folder(place.work)
    images = drawn_images(untrained, data.lens_set, options, work, progress)
    test = images.prepared if data.test is None else prepare_set(untrained, data.test, work)
    if len(set(test.labels.tolist()) & {0, 1}) < 2:
        raise DataError("a sweep is measured on lenses and non-lenses with labels; give a set with both as --test")
    rows = []
    for size in sweep.sizes:
        words = recipe.model_copy(update={"architecture_options": {**recipe.architecture_options, "embedding": size}})
        runs = [_Run(words, images, test, options, work, rerun) for rerun in range(sweep.reruns)]
        rows.append(AtSize(size, tuple(run.auroc(place, progress) for run in runs)))
    result = SweepResult(
        sizes=tuple(rows),
        reruns=sweep.reruns,
        stretch=recipe.stretch,
        n=len(test),
        measured_on="training" if data.test is None else "test",
        n_training=len(images.training),
        filters=int(recipe.architecture_options.get("filters", 128)),
        options=options.model_dump(mode="json"),
        provenance=Provenance.here(seed=options.seed, inputs=data.inputs()),
    )
    save_figure(place.out / "sweep.png", figure_of(result.plot()))
    result.write(place.out / "sweep.json")
    return result


@dataclass(frozen=True)
class _Run:
    """One training of the extractor."""

    recipe: Recipe
    images: Images
    test: PreparedSet
    options: ClusterOptions
    work: Path
    rerun: int

    @property
    def size(self) -> int:
        return int(self.recipe.architecture_options["embedding"])

    def auroc(self, place: ClusterPlace, progress: StageProgress) -> float:
        """By known fractions; from the file of an earlier call where there is one."""
        folder = self.work / f"sweep-{self.size}-{self.rerun}"
        form: JsonForm[float] = JsonForm("auroc", "identity", decode=float)
        kept = Piece(folder / "auroc.json", form, self._identity())
        return kept.or_made(lambda: self._measured(folder, place, progress))

    def _identity(self) -> list[Any]:
        words = self.recipe.model_dump(mode="json", exclude={"training"})
        return [words, self.options.model_dump(mode="json"), self.images.prepared.folder.name, self.test.folder.name]

    def _measured(self, folder: Path, place: ClusterPlace, progress: StageProgress) -> float:
        def named(what: str, done: int, total: int) -> None:
            progress(f"{self.size} features, run {self.rerun + 1}: {what}", done, total)

        seed = self.options.seed + self.rerun
        where = Workplace(self.work, folder, seed, place.device, place.processes)
        network = train_network(self.recipe, self.images, self.options, where, named)
        finder = Finder(self.recipe, network.module, "sweep")
        shown = Posed(self.images.prepared, np.arange(len(self.images.prepared)))
        points = embeddings(network.module, shown, advance=lambda d, n: named("embedding", d, n))[:, 0]
        fit_mixture(network.module.head, points, seed)
        assigned = responsibilities(network.module.head, points).argmax(1)
        fractions = known_fractions(clusters_of(assigned, self.images.prepared.labels, self.size))
        network.module.head.known.copy_(torch.from_numpy(fractions))
        if self.test is not self.images.prepared:
            posed = Posed(self.test, np.arange(len(self.test)))
            points = embeddings(network.module, posed, advance=lambda d, n: named("embedding test", d, n))[:, 0]
        return float(auroc_of(finder, points, self.test.labels)["value"])
