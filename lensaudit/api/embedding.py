"""What a finder knows of images: the numbers of a layer, and what is in them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

from lensaudit.api.calling import (
    AnyData,
    Watcher,
    as_cutouts,
    as_pair,
    front_door,
    kept_with,
    temporary_folder,
    watching,
)
from lensaudit.finders import Finder

if TYPE_CHECKING:
    from lensaudit.embedding import Embedded


class EmbedOptions(TypedDict, total=False):
    """What may be asked otherwise; see `lensaudit.embedding.EmbedOptions` for each.

    Attributes
    ----------
    layer
        Name of the layer whose output is taken, maps averaged; by default the input of the last linear one.
    metric
        ``cosine`` or ``euclidean``.
    neighbours
        Nearest images of each error; 0: none.
    map_n, perplexity
        Images on the t-SNE map at most (0: no map), and its perplexity.
    colours
        Columns of the catalogue that the map is coloured by too.
    read
        Whether the columns of the catalogue are read.
    concepts, concept_n, concept_layer
        ``arcs``, ``companions``, ``spirals`` (none by default), pairs of scenes, and the layer they are asked at.
    batch_size
        Images at a time.
    """

    layer: str
    metric: str
    neighbours: int
    map_n: int
    perplexity: float
    colours: tuple[str, ...]
    read: bool
    concepts: tuple[str, ...]
    concept_n: int
    concept_layer: str
    batch_size: int


@front_door
def embed(
    finder: Finder | str | Path,
    data: AnyData,
    *,
    training: AnyData | None = None,
    seed: int = 0,
    out: Path | str | None = None,
    progress: bool | Watcher = False,
    **options: Unpack[EmbedOptions],
) -> Embedded:
    """Take a layer's numbers of every image: neighbours of errors, a map, and what can be read from them linearly.

    Parameters
    ----------
    finder
        A finder, or what `load_finder` takes.
    data
        A set, or its folder; without labels there are no errors, without truth columns nothing to read.
    training
        Where the errors' neighbours are looked for, best what the finder was trained on; None: the set itself.
    seed
        Of map, folds, permutations and bootstrap.
    out
        Folder for vectors, tables and page; an interrupted run there goes on. None: kept until the result is gone.
    progress
        Whether to show bars, or a function called with (stage, done, total).
    **options
        See `lensaudit.api.embedding.EmbedOptions`.

    Returns
    -------
    Embedded
        ``vectors`` float32 (n, features), and ``record`` with neighbours, map, and R² or AUROC of every column beside
        those from image statistics.

    Raises
    ------
    UsageError
        The finder has no such layer, or an option is out of range. Also a `ValueError`.
    DataError
        The finder cannot take a set as input. Also a `ValueError`.

    See Also
    --------
    kernels : what single kernels go with.
    realism : real and simulated cutouts told apart by the same numbers.

    Examples
    --------
    >>> import lensaudit as la
    >>> found = la.embed("ou66", la.simulate("euclid", n=60, seed=7), map_n=0)
    >>> found.vectors.shape, found.record.layer.words
    ((60, 500), 'input of layer 33, 500 numbers')
    """
    from lensaudit.embedding import EmbedOptions, measure_embedding

    named = {"neighbours": "k", "batch_size": "batch"}
    asked = EmbedOptions(seed=seed, **{named.get(name, name): value for name, value in options.items()})  # type: ignore[arg-type]
    loaded, opened = as_pair(finder, data)
    other = None if training is None else as_cutouts(training)
    if other is not None:
        loaded.for_units(other).check(other)
    folder = temporary_folder("embedding") if out is None else Path(out)
    with watching(progress) as watch:
        found = measure_embedding(loaded, opened, folder, asked, watch, other)
    if out is None:
        return kept_with(found, folder)
    found.write(folder)
    return found
