"""Clustering a set, from its images to finders, a page to mark, and numbers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lensaudit.clustering.embed import Fitted, Posed, clusters_hash, embeddings, fit_mixture, responsibilities
from lensaudit.clustering.network import (
    ClusterOptions,
    Images,
    Network,
    Workplace,
    check_recipe,
    drawn_images,
    named,
    train_network,
)
from lensaudit.clustering.outputs import (
    Extras,
    clustering_card,
    embedded_test,
    measurements,
    plot_curves,
    write_history,
    write_members,
)
from lensaudit.clustering.page import (
    MARKS_FILE,
    Cluster,
    Marks,
    Page,
    clusters_of,
    known_fractions,
    members_shown,
    read_marks,
    sheet_of,
)
from lensaudit.documents import Json
from lensaudit.errors import LensauditError, UsageError
from lensaudit.files import writable_folder, write_json
from lensaudit.finders import Finder, Recipe, choose_device, save_finder
from lensaudit.finders.architectures.cae_bgm import CaeBgm
from lensaudit.finders.facts import FinderMetrics, TrainingFacts
from lensaudit.provenance import Provenance, provenance, refuse_other
from lensaudit.spread import StageProgress

if TYPE_CHECKING:
    from lensaudit.lensset import LensSet

PAGE_FILE, RECORD_FILE, MEMBERS_FILE = "clusters.html", "clusters.json", "members.parquet"
KNOWN_FOLDER, MARKED_FOLDER = "finder", "finder-marked"


@dataclass(frozen=True)
class ClusterPlace:
    """Where a clustering writes.

    Attributes
    ----------
    out
        Gets the finders, the page, and ``out/clustering`` with all that a stopped run goes on from.
    marks
        File of marks; None takes ``out/marks.json`` where there is one.
    restart
        Forget an earlier clustering there.
    device
        ``auto``, ``cpu`` or ``cuda``, for the training.
    processes
        That each training is divided over.
    """

    out: Path
    marks: Path | None = None
    restart: bool = False
    device: str = "auto"
    processes: int = 1

    @property
    def work(self) -> Path:
        """Prepared images, checkpoints and embeddings."""
        return self.out / "clustering"


@dataclass(frozen=True)
class ClusterData:
    """The set that is clustered, and one that is measured; labels are not needed in the first."""

    lens_set: LensSet
    test: LensSet | None = None

    def check(self, untrained: Finder, extras: Extras) -> None:
        """Refuse sets the finder cannot take as input, twice the same set, and examinations without a test set.

        Raises
        ------
        DataError
            A band is missing or the field of view is another.
        UsageError
            Both sets are the same, or a test set is needed.
        """
        untrained.check(self.lens_set)
        if self.test is None:
            if extras.any:
                raise UsageError("--ratios, --cut, --orientations and --source-only measure a test set; give --test")
            return
        untrained.check(self.test)
        if self.test.content_hash == self.lens_set.content_hash:
            raise UsageError(f"{self.test.path}: is the set that is clustered; give --test other images")

    def inputs(self) -> dict[str, str]:
        """Content hashes, for the provenance."""
        sets = {"clustered": self.lens_set, "test": self.test}
        return {name: one.content_hash for name, one in sets.items() if one is not None}


@dataclass(frozen=True)
class Clustered:
    """A finished clustering: the finder by known fractions, the one by marks if there are any, clusters and record."""

    finder: Finder
    marked: Finder | None
    clusters: tuple[Cluster, ...]
    record: Json


def cluster(
    start: Recipe | Finder,
    data: ClusterData,
    place: ClusterPlace,
    options: ClusterOptions | None = None,
    extras: Extras | None = None,
    progress: StageProgress | None = None,
) -> Clustered:
    """Cluster a set as Cheng et al. 2020, or go on with a run that was stopped.

    Parameters
    ----------
    start
        A recipe of architecture ``cae-bgm``, to be trained; or a finder of it, whose clusters are taken as they are.
    data, place
        What to read and where to write.
    options
        By default the recipe's own protocol.
    extras
        Examinations of the test set beside the metrics.
    progress
        Called with (what, steps done, steps in all).

    Raises
    ------
    UsageError
        The folder holds another clustering, or an option does not fit.
    DataError
        A set, or a file of marks, is for something else; or the images cannot make so many clusters.
    """
    recipe = start.recipe if isinstance(start, Finder) else start
    check_recipe(recipe)
    options, extras, progress = options or ClusterOptions.of(recipe), extras or Extras(), progress or _silent
    untrained = Finder(recipe, nn.Identity(), "clustering")
    data.check(untrained, extras)
    if not place.restart:
        refuse_other(place.out / RECORD_FILE, data.inputs(), "clustering", "or add --restart")
    work = writable_folder(_emptied(place))
    images = drawn_images(untrained, data.lens_set, options, work, progress)
    network = None
    if not isinstance(start, Finder):
        where = Workplace(work, work, device=place.device, processes=place.processes)
        network = train_network(recipe, images, options, where, progress)
    module = start.module if isinstance(start, Finder) else network.module if network else None
    assert isinstance(module, CaeBgm)
    with _on(choose_device(place.device), module):
        made = _made(recipe.name, module, images, network, options, work, progress)
        marks = _marks(place, data, made, module)
        clusters = made.clusters(None if marks is None else marks.marks)
        _give_probabilities(module, clusters, marks, fit=network is not None)
        finders = _finders(recipe if network is None else _as_trained(recipe, options), module, place, marks)
        measured = {}
        if data.test is not None:
            test = embedded_test(finders[0][1], data.test, work, progress)
            measured = measurements(finders, test, known_fractions(clusters), extras, options.seed, progress)
    ended = _Ended(recipe, data, options, made, clusters, measured)
    record = _write(ended, finders, place, marks)
    return Clustered(finders[0][1], finders[1][1] if len(finders) > 1 else None, clusters, record)


@contextmanager
def _on(device: torch.device, module: CaeBgm) -> Iterator[None]:
    """Have denoiser and encoder on `device` while the block runs, and on the CPU, where the mixture is, afterwards."""
    try:
        for part in (module.denoiser, module.encoder):
            part.to(device)
        yield
    finally:
        module.to("cpu")


@dataclass(frozen=True)
class _Made:
    """The clusters of the images: responsibilities (n, K), how the fit ended, and what names the clusters.

    `network` is None for the clusters of a finder that was given.
    """

    name: str
    images: Images
    network: Network | None
    posterior: NDArray[np.float64]
    mixture: Fitted | None
    identity: str

    def clusters(self, marks: dict[int, float] | None = None) -> tuple[Cluster, ...]:
        return clusters_of(self.posterior.argmax(1), self.images.prepared.labels, self.posterior.shape[1], marks)


@dataclass(frozen=True)
class _Ended:
    """All that is written down."""

    recipe: Recipe
    data: ClusterData
    options: ClusterOptions
    made: _Made
    clusters: tuple[Cluster, ...]
    measured: dict[str, Any]

    def facts(self, marks: Marks | None) -> dict[str, Any]:
        """What `save_finder` takes beside the finder."""
        options, lens_set, labels = self.options, self.data.lens_set, self.made.images.prepared.labels
        inputs = self.data.inputs() | ({} if marks is None else {"marks": marks.digest})
        mixture = {} if self.made.mixture is None else asdict(self.made.mixture)
        metrics: dict[str, Any] = {"mixture": mixture, "clusters": self.made.identity}
        if self.made.network is not None:
            metrics["validation_cross_entropy"] = {
                name: rows[-1][1] for name, rows in self.made.network.history.items()
            }
        trained = "Trained without labels" if self.made.network else "Clusters of another finder"
        return {
            "origin": f"{trained} by lensaudit on {len(labels)} images, seed {options.seed}",
            "training_data": {
                "set": lens_set.content_hash,
                "instrument": lens_set.instrument,
                "population": lens_set.population,
                "n_images": len(labels),
                "n_training": len(self.made.images.training),
                "n_validation": len(self.made.images.validation),
                "n_lenses": int((labels == 1).sum()),
                "n_non_lenses": int((labels == 0).sum()),
                "options": options.model_dump(mode="json"),
            }
            if self.made.network
            else {},
            "metrics": {**metrics, **({"test": self.measured} if self.measured else {})},
            "provenance": provenance(seed=options.seed, inputs=inputs),
        }


def _emptied(place: ClusterPlace) -> Path:
    if place.restart and place.work.exists():
        shutil.rmtree(place.work)
    return place.work


def _made(
    name: str,
    module: CaeBgm,
    images: Images,
    network: Network | None,
    options: ClusterOptions,
    work: Path,
    progress: StageProgress,
) -> _Made:
    """Embed the images and, for a new network, fit the mixture."""
    posed = Posed(images.prepared, np.arange(len(images.prepared)))
    points = embeddings(module, posed, work / "embeddings.safetensors", named(progress, "embedding images"))[:, 0]
    mixture = None if network is None else fit_mixture(module.head, points, options.seed)
    return _Made(name, images, network, responsibilities(module.head, points), mixture, clusters_hash(module))


def _marks(place: ClusterPlace, data: ClusterData, made: _Made, module: CaeBgm) -> Marks | None:
    """The marks that were given, or that lie in the folder; where they do not fit, the page is written before the
    error, so that there is one to mark."""
    path = place.marks or place.out / MARKS_FILE
    if place.marks is None and not path.is_file():
        return None
    try:
        marks = read_marks(path, made.identity, made.posterior.shape[1])
    except LensauditError:
        _page(data, made, made.clusters(), module).write(place.out / PAGE_FILE)
        raise
    marks.write(place.out / MARKS_FILE)
    return marks


def _give_probabilities(module: CaeBgm, clusters: Sequence[Cluster], marks: Marks | None, *, fit: bool) -> None:
    """Give the mixture's clusters their lens probabilities; a finder that is given keeps its known ones."""
    if fit:
        module.head.known.copy_(torch.from_numpy(known_fractions(clusters)))
    if marks is not None:
        module.head.marks.copy_(torch.from_numpy(marks.values(len(clusters))))


def _as_trained(recipe: Recipe, options: ClusterOptions) -> Recipe:
    """The recipe with the protocol that was used in place of the one it came with."""
    used = options.model_dump(include={"epochs", "batch_size", "learning_rate", "validation_fraction"})
    return recipe.model_copy(update={"training": recipe.training.model_copy(update=used)})


def _finders(recipe: Recipe, module: CaeBgm, place: ClusterPlace, marks: Marks | None) -> list[tuple[str, Finder]]:
    """(``known``, finder) and, with marks, (``marks``, finder): one network, and a head each."""
    found = []
    for name, folder, marked in (("known", KNOWN_FOLDER, False), ("marks", MARKED_FOLDER, True)):
        if marked and marks is None:
            continue
        taken = {key: value for key, value in recipe.architecture_options.items() if key != "marked"}
        words = recipe.model_copy(update={"architecture_options": taken | ({"marked": True} if marked else {})})
        own = CaeBgm(module.denoiser, module.encoder, module.head.going_by(marked), module.pose_free)
        found.append((name, Finder(words, own, str(place.out / folder))))
    return found


def _write(
    ended: _Ended, finders: Sequence[tuple[str, Finder]], place: ClusterPlace, marks: Marks | None
) -> dict[str, Any]:
    facts = ended.facts(marks)
    for _, finder in finders:
        card = clustering_card(finder, ended.clusters, facts)
        save_finder(
            finder,
            Path(finder.origin),
            origin=facts["origin"],
            training_data=TrainingFacts.model_validate(facts["training_data"]),
            metrics=FinderMetrics.model_validate(facts["metrics"]),
            provenance=Provenance.from_json(facts["provenance"]),
            card=card,
        )
        if ended.made.network is not None:
            write_history(Path(finder.origin) / "history.csv", ended.made.network.history)
            title = f"{finder.name}, {len(ended.made.images.training)} training images"
            plot_curves(Path(finder.origin) / "curves.png", ended.made.network.history, title)
    record = {
        "finder": ended.recipe.name,
        "clusters": [one.to_json() for one in ended.clusters],
        "weights": {name: finder.weights_hash for name, finder in finders},
        **facts,
    }
    ids = ended.data.lens_set.ids
    rows = ended.made.images.prepared.rows
    write_members(
        place.out / MEMBERS_FILE, [ids[row] for row in rows], ended.made.images.prepared.labels, ended.made.posterior
    )
    module = finders[0][1].module
    assert isinstance(module, CaeBgm)
    _page(ended.data, ended.made, ended.clusters, module).write(place.out / PAGE_FILE)
    write_json(place.out / RECORD_FILE, record)
    return record


def _page(data: ClusterData, made: _Made, clusters: Sequence[Cluster], module: CaeBgm) -> Page:
    """The page to mark; a pose-free embedding is no picture that a decoder could draw."""
    mirrored = None if made.network is None or module.pose_free else made.network.decoder
    sheets = [
        None
        if one.is_empty
        else sheet_of(module, mirrored, made.images.prepared, members_shown(made.posterior, one.number))
        for one in clusters
    ]
    return Page(made.name, data.lens_set.path.name, made.identity, clusters, sheets)


def _silent(what: str, done: int, total: int) -> None:
    pass
