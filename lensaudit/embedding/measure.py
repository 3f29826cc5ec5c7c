"""Embed a set and say what is in it: neighbours of errors, a map, what can be read, concepts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lensaudit.embedding.neighbours import METRICS, Asked, neighbours_of
from lensaudit.embedding.result import Concepts, EmbeddedSet, Embedding, Layer, Map, Neighbours, Readable
from lensaudit.embedding.vectors import Vectors, VectorStore, embed_set, layer_of, spread_over, store_in, write_npy
from lensaudit.errors import DataError, UsageError
from lensaudit.lensset import Cutouts
from lensaudit.provenance import Provenance
from lensaudit.records import Cells, Facts, Shown
from lensaudit.spread import StageProgress

if TYPE_CHECKING:
    import pyarrow as pa
    from matplotlib.axes import Axes

    from lensaudit.finders import Finder
    from lensaudit.realism_gate.last_layer import LastLayer

_STREAMS = {"neighbours": 1, "reading": 2}
LEAST_ON_MAP = 20
MOST_IN_GALLERY = 200_000
"""Images among which neighbours are looked for, evenly spread over a larger set: 400 MB of 500 numbers each."""

NPY_NAME = "embedding.npy"
VECTORS, TRAINING_VECTORS = "vectors", "training-vectors"


@dataclass(frozen=True)
class EmbedOptions:
    """What is asked of an embedding.

    Attributes
    ----------
    layer
        Name of the layer whose output is taken; empty for the input of the last linear layer.
    metric, k
        Distance, ``cosine`` or ``euclidean``, and how many neighbours of each error.
    map_n, perplexity
        Images on the t-SNE map at most, 0 for no map, and its perplexity.
    colours
        Columns of the catalogue that the map is coloured by too.
    read
        Whether to read the columns of the catalogue.
    concepts, concept_n, concept_layer
        Names of concepts (``arcs``, ``companions``, ``spirals``), pairs of scenes for each, and the layer whose output
        they are asked at; empty for `layer`, or the last convolution.
    seed
        Of map, folds, permutations and resamples.
    batch
        Cutouts per forward pass; None takes what runs fastest.
    """

    layer: str = ""
    metric: str = "cosine"
    k: int = 10
    map_n: int = 2000
    perplexity: float = 30.0
    colours: tuple[str, ...] = ()
    read: bool = True
    concepts: tuple[str, ...] = ()
    concept_n: int = 100
    concept_layer: str = ""
    seed: int = 0
    batch: int | None = None

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise UsageError(f"--metric '{self.metric}' is not known; allowed: {', '.join(METRICS)}")
        for name, value, least in (("neighbours", self.k, 0), ("map-n", self.map_n, 0), ("seed", self.seed, 0)):
            if value < least:
                raise UsageError(f"--{name} {value}: must be {least} or more")
        if not self.perplexity >= 2:
            raise UsageError(f"--perplexity {self.perplexity:g}: at least 2 is needed")

    def draws(self, stream: str) -> np.random.Generator:
        """Random numbers of one purpose."""
        return np.random.default_rng([self.seed, _STREAMS[stream]])


@dataclass(frozen=True, eq=False, repr=False)
class Embedded(Shown):
    """An embedding in hand: the record, the numbers of every image, and the sets for pictures.

    Attributes
    ----------
    record
        All that was measured, see `lensaudit.embedding.Embedding`.
    store
        The numbers, read from their files when they are asked for.
    errors
        Every false negative and false positive that was looked at, with its neighbours: a row each; None without.
    data, training
        The sets.
    """

    record: Embedding
    store: VectorStore
    errors: pa.Table | None
    data: Cutouts
    training: Cutouts | None

    def read(self) -> Vectors:
        """Ids, labels, log-odds and numbers of all images."""
        return self.store.read()

    @property
    def vectors(self) -> NDArray[np.float32]:
        """The numbers of every image, float32 (n, features)."""
        return self.read().values

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw how well each column can be read, beside image statistics."""
        from lensaudit.embedding.pictures import draw_readability

        return draw_readability(self.record.readability, ax)

    def write(self, out: Path | str) -> Path:
        """Write record, tables, pictures and page into the folder `out`; returns the path of the page."""
        from lensaudit.embedding.page import write_embedding

        return write_embedding(self.record, self.errors, (self.data, self.training), Path(out))

    def _facts(self) -> Facts:
        one = self.record
        return {"finder": one.finder, "images": one.set.n, "layer": one.layer.words, "says": one.sentences}

    def _rows(self) -> list[Cells]:
        return [{"column": r.column, r.measure: r.value, "interval": (r.low, r.high)} for r in self.record.readability]


def measure_embedding(
    finder: Finder,
    lens_set: Cutouts,
    folder: Path,
    options: EmbedOptions,
    progress: StageProgress,
    training: Cutouts | None = None,
) -> Embedded:
    """Embed `lens_set` into files of `folder`, which a run after a stopped one takes up, and measure.

    Parameters
    ----------
    finder
        Reads both sets.
    folder
        Of ``vectors/`` and, with `training`, ``training-vectors/``.
    progress
        Called with the name of a stage, its steps done and its steps in all.
    training
        Where neighbours are looked for; None, or the set once more, for the set itself.

    Raises
    ------
    UsageError
        The finder has no such layer, or the catalogue no such column.
    DataError
        The finder cannot take a set as input, or no image can be scored.
    """
    if training is not None and training.content_hash == lens_set.content_hash:
        training = None  # else every image is its own neighbour
    check_colours(lens_set, options)
    check_concepts(finder, options)
    layer = layer_of(finder, options.layer)
    store = embedded_in(folder / VECTORS, finder, lens_set, layer, options, progress, "embedding")
    notes: list[str] = []
    vectors = store.read(spread_over(store.n, MOST_IN_GALLERY))
    good = vectors.good
    if not good.any():
        raise DataError(f"{lens_set.path}: none of {store.n} cutouts can be embedded (first: {vectors.status[0]})")
    gallery, known = vectors, None
    if training is not None:
        other = embedded_in(folder / TRAINING_VECTORS, finder, training, layer, options, progress, "embedding training")
        gallery = other.read(spread_over(other.n, MOST_IN_GALLERY))
        known = _set_facts(training, other.n, gallery)
    for place, one in ((lens_set, vectors), (training, gallery)):
        if place is not None and len(one.rows) < len(place):
            notes.append(f"Neighbours: {len(one.rows)} of the {len(place)} images of {place.path.name}, evenly spread.")
    neighbours, errors = _neighbours(finder, vectors, gallery, lens_set, training, options)
    readability, read_n, statistics_n = _reading(finder, lens_set, vectors, options, progress)
    record = Embedding(
        finder=finder.name,
        set=_set_facts(lens_set, store.n, vectors),
        training=known,
        layer=layer_facts(layer),
        threshold=finder.recipe.threshold,
        neighbours=neighbours,
        map=_map(lens_set, vectors, options, progress),
        readability=readability,
        read_n=read_n,
        statistics_n=statistics_n,
        concepts=_concepts(finder, lens_set, options, progress),
        notes=tuple(notes),
        provenance=Provenance.here(seed=options.seed, inputs=inputs_of(finder, lens_set, training)),
    )
    return Embedded(record, store, errors, lens_set, training)


def embedded_in(
    folder: Path,
    finder: Finder,
    lens_set: Cutouts,
    layer: LastLayer,
    options: EmbedOptions,
    progress: StageProgress,
    stage: str,
) -> VectorStore:
    """The numbers of a set, made or taken up."""
    store = store_in(folder, finder, lens_set, layer, options.batch)
    embed_set(finder, lens_set, layer, store, options.batch, lambda done, n: progress(stage, done, n))
    return store


def npy_of(store: VectorStore, folder: Path) -> Path:
    """The numbers as one file beside the others."""
    return write_npy(store, folder / NPY_NAME)


def inputs_of(finder: Finder, lens_set: Cutouts, training: Cutouts | None) -> dict[str, str]:
    """What a result rests on."""
    found = {"finder": finder.weights_hash, "set": lens_set.content_hash}
    return found if training is None else {**found, "training": training.content_hash}


def check_colours(lens_set: Cutouts, options: EmbedOptions) -> None:
    """Raise UsageError where the catalogue lacks a column that the map is to be coloured by, or it has no numbers."""
    for name in options.colours:
        if name not in lens_set.columns:
            raise UsageError(
                f"--colour {name}: {lens_set.path} has no such column; it has {', '.join(lens_set.columns)}"
            )
        if np.asarray(lens_set.column(name)[:1]).dtype.kind not in "biuf":
            raise UsageError(f"--colour {name}: holds words, not numbers; name a column of numbers")


def check_concepts(finder: Finder, options: EmbedOptions) -> None:
    """Raise UsageError for concepts that cannot be asked for."""
    if options.concepts:
        from lensaudit.embedding import concepts

        concepts.check_concepts(finder, options.concepts, options.concept_n)


def _concepts(finder: Finder, lens_set: Cutouts, options: EmbedOptions, progress: StageProgress) -> Concepts | None:
    if not options.concepts:
        return None
    from lensaudit.embedding.concepts import measure_concepts

    layer = options.concept_layer or options.layer
    told = partial(progress, "rendering concepts")
    return measure_concepts(finder, lens_set, options.concepts, layer, options.concept_n, options.seed, told)


def layer_facts(layer: LastLayer) -> Layer:
    """The layer as a record has it."""
    return Layer(layer.name, layer.side, layer.features, layer.wide, layer.pooled)


def _set_facts(lens_set: Cutouts, n: int, vectors: Vectors) -> EmbeddedSet:
    return EmbeddedSet(lens_set.path.name, lens_set.content_hash, n, int((~vectors.good).sum()))


def _neighbours(
    finder: Finder,
    vectors: Vectors,
    gallery: Vectors,
    lens_set: Cutouts,
    training: Cutouts | None,
    options: EmbedOptions,
) -> tuple[Neighbours | None, pa.Table | None]:
    if not options.k:
        return None, None
    among = (training or lens_set).path.name
    asked = Asked(options.metric, options.k)
    draws = options.draws("neighbours")
    return neighbours_of(vectors, gallery, finder.recipe.threshold, asked, among, draws)


def _reading(
    finder: Finder, lens_set: Cutouts, vectors: Vectors, options: EmbedOptions, progress: StageProgress
) -> tuple[tuple[Readable, ...], int, int]:
    """Columns read, from so many images, beside so many statistics."""
    from lensaudit.embedding.readability import MOST, questions, read_all, statistics_of
    from lensaudit.realism_gate.describing import SYSTEM_COLUMNS

    if not options.read:
        return (), 0, 0
    good = vectors.taken(vectors.good)
    some = good.taken(spread_over(len(good.rows), MOST))
    asked = questions(lens_set, some.rows)
    if not asked:
        return (), len(some.rows), 0
    named = next((name for name in SYSTEM_COLUMNS if name in lens_set.columns), None)
    systems = some.ids if named is None else [str(one) for one in lens_set.column(named)[some.rows]]
    progress("reading columns", 0, len(asked))
    baseline = statistics_of(lens_set, finder.recipe.bands, some.rows)
    found = read_all(
        some.values.astype(np.float64),
        baseline,
        asked,
        systems,
        options.draws("reading"),
        lambda done, n: progress("reading columns", done, n),
    )
    return found, len(some.rows), baseline.shape[1]


def _map(lens_set: Cutouts, vectors: Vectors, options: EmbedOptions, progress: StageProgress) -> Map | None:
    """t-SNE of the images, or of some evenly spread; None where there are too few or none is asked for."""
    from lensaudit.ensembles.map_picture import embedded

    good = vectors.taken(vectors.good)
    some = good.taken(spread_over(len(good.rows), options.map_n)) if options.map_n else good
    n = len(some.rows)
    if n < LEAST_ON_MAP or not options.map_n:
        return None
    progress("map", 0, 1)
    values = some.values.astype(np.float64)
    if options.metric == "cosine":  # squared distances of unit vectors are twice it
        values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
    perplexity = min(options.perplexity, (n - 1) / 3)
    positions = embedded(values, perplexity, options.seed)
    progress("map", 1, 1)
    columns = {name: np.asarray(lens_set.column(name)[some.rows], np.float64) for name in options.colours}
    return Map(positions, some.p, some.labels.astype(np.int64), len(lens_set), perplexity, options.seed, columns)
