"""Several finders as one, and what to label next."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypedDict, Unpack

from lensaudit.api.calling import (
    AnyData,
    Data,
    Watcher,
    as_finder,
    as_pair,
    as_set,
    front_door,
    kept_with,
    of_this_set,
    temporary_folder,
    watching,
)
from lensaudit.api.finders import scored
from lensaudit.errors import UsageError
from lensaudit.finders import Finder, Scores

if TYPE_CHECKING:
    from lensaudit.ensembles import Fitted
    from lensaudit.evaluation.label_table import LabelTable


class EnsembleOptions(TypedDict, total=False):
    """What may be asked otherwise; see `lensaudit.ensembles.CommitteePlan` and `EnsemblePlan` for each.

    Attributes
    ----------
    name
        Of the finder; by default after its kind.
    images
        Of the data that are taken; by default all.
    seed
        Of t-SNE, and of the parts of a stack.
    perplexity, cells
        Of the map of ``tsne``; cells None: as fits its images.
    """

    name: str
    images: int | None
    seed: int
    perplexity: float
    cells: int | None


class LabelOptions(TypedDict, total=False):
    """What may be asked otherwise; see `lensaudit.evaluation.to_label.LabelSettings`.

    Attributes
    ----------
    random
        Fraction drawn at random (0.2), with weights that keep estimates over all images unbiased.
    gain
        ``information``, mutual information of label and member (of a committee, its default), or ``entropy`` of p.
    seed
        Of the random ones.
    labelled
        Ids that have a label already.
    embedding
        Vectors by which the images are spread out: what `embed` wrote, Parquet with ``id``, or ``.npy``; by default
        the members' log-odds.
    """

    random: float
    gain: str
    seed: int
    labelled: Collection[str]
    embedding: Path | str


@front_door
def ensemble(
    finders: Sequence[Finder | str | Path],
    data: Data | None = None,
    *,
    kind: str = "tsne",
    test: Data | None = None,
    out: Path | str | None = None,
    progress: bool | Watcher = False,
    **options: Unpack[EnsembleOptions],
) -> Fitted:
    """Combine finders; the result is a finder like any other.

    Parameters
    ----------
    finders
        Two or more, or what `load_finder` takes; networks in files of other programs too, but for ``tsne``.
    data
        Labelled set whose scores make the map of ``tsne`` or weigh a ``stack``; of ``mean`` and ``median`` it is only
        needed where members take different inputs, and then says how large native pixels are.
    kind
        ``tsne``, a map of the members' scores (OU-T-SNE, Wilde et al. 2022); or how log-odds become one: ``mean``,
        ``median``, or ``stack``, a logistic regression.
    test
        Labelled set that measures the result.
    out
        Becomes the finder's folder, with copies of members' files. None: a folder that is removed with the result.
    progress
        Whether to show bars, or a function called with (stage, done, total).
    **options
        See `lensaudit.api.retraining.EnsembleOptions`.

    Returns
    -------
    Fitted
        ``finder`` and its ``record``. Scores of a committee have ``members``: how far these are apart on each image.

    Raises
    ------
    UsageError
        The members do not go together, data are missing, or `out` holds another finder. Also a `ValueError`.
    DataError
        A set lacks a band or a class, or has too few images. Also a `ValueError`.

    See Also
    --------
    to_label : which images to label next, by the members' disagreement.

    Examples
    --------
    >>> import lensaudit as la
    >>> made = la.ensemble(["ou66", "ou66"], kind="mean")
    >>> la.score(made.finder, la.simulate("euclid", n=3, seed=7)).members.disagreement.tolist()
    [0.0, 0.0, 0.0]
    """
    from lensaudit.ensembles import CommitteePlan, EnsemblePlan, fit_committee, fit_ensemble
    from lensaudit.ensembles.fit import Sets

    if strange := options.keys() - EnsembleOptions.__annotations__.keys():
        raise TypeError(f"ensemble() got an unexpected keyword argument '{min(strange)}'")
    if len(finders) < 2 or isinstance(finders, str | Path):
        raise UsageError("finders: an ensemble needs two members or more; give a list of them")
    training, measured = (None if one is None else as_set(one) for one in (data, test))
    if kind == "tsne" and training is None:
        raise UsageError("--kind tsne: needs data, the set whose scores make the map")
    if kind != "tsne" and (strange := options.keys() & {"perplexity", "cells"}):
        raise UsageError(f"{min(strange)}: is of the map of --kind tsne; leave it out")
    plan = EnsemblePlan(**options) if kind == "tsne" else None
    words = {"name": f"committee-{kind}", **options}
    committee = None if plan else CommitteePlan(kind, **words)  # type: ignore[arg-type]
    members = [as_finder(one) for one in finders]
    folder = temporary_folder("ensemble") if out is None else Path(out)
    with watching(progress) as watch:
        steps = {"training": partial(watch, "scoring the members"), "test": partial(watch, "measuring")}
        if plan is not None:
            assert training is not None
            made = fit_ensemble(members, Sets(training, measured), folder, plan, steps)
        else:
            assert committee is not None
            made = fit_committee(members, folder, committee, (training, measured), steps)
    if out is None:
        kept_with(made.finder.module, folder)  # which copies of the finder share
    return made


@front_door
def to_label(
    finders: Finder | str | Path | Sequence[Finder | str | Path],
    data: AnyData,
    *,
    n: int = 100,
    scores: Sequence[Scores] | None = None,
    out: Path | str | None = None,
    progress: bool | Watcher = False,
    **options: Unpack[LabelOptions],
) -> LabelTable:
    """Choose which images to label next: those that teach most, spread out, and some at random.

    Parameters
    ----------
    finders
        One, a committee, or several, which then are one; or what `load_finder` takes.
    data
        Images to choose from, or their folder.
    n
        Images to label.
    scores
        Of `score` for each finder and these data, to save scoring.
    out
        Table to write, .csv (with a column ``label`` to fill in) or .parquet; it must be new.
    progress
        Whether to show a bar, or a function called with (stage, done, total).
    **options
        See `lensaudit.api.retraining.LabelOptions`.

    Returns
    -------
    LabelTable
        ``plan``, ``table`` (id, reason, gain, p, weight …) and ``ids``, in the order of labelling.

    Raises
    ------
    UsageError
        An option is out of range, fewer images are left than asked for, or `out` is there. Also a `ValueError`.
    DataError
        A finder cannot take the data as input, or vectors are missing. Also a `ValueError`.

    See Also
    --------
    ensemble : several finders as one.
    embed : vectors of images.

    Examples
    --------
    >>> import lensaudit as la
    >>> chosen = la.to_label("ou66", la.simulate("euclid", n=20, seed=7), n=4, random=0.5)
    >>> len(chosen.ids), chosen.table["weight"].to_pylist()
    (4, [1.0, 9.0, 1.0, 9.0])
    """
    from lensaudit.evaluation.label_table import LabelTable, checked_ending
    from lensaudit.evaluation.scored_rows import ScoredRows
    from lensaudit.evaluation.to_label import LabelSettings
    from lensaudit.evaluation.to_label import to_label as chosen
    from lensaudit.finders import write_scores
    from lensaudit.provenance import provenance
    from lensaudit.untrusted import path_within

    if strange := options.keys() - LabelOptions.__annotations__.keys():
        raise TypeError(f"to_label() got an unexpected keyword argument '{min(strange)}'")
    asked = {name: value for name, value in options.items() if name not in ("labelled", "embedding")}
    settings = LabelSettings(n, **asked)  # type: ignore[arg-type]
    if out is not None and checked_ending(Path(out)).exists():
        raise UsageError(f"out {out}: is there, perhaps with labels; choose another")
    named = [finders] if isinstance(finders, Finder | str | Path) else list(finders)
    if scores is not None and len(scores) != len(named):
        raise UsageError(f"scores: {len(scores)} are given for {len(named)} finders; give those of each, or none")
    with TemporaryDirectory(prefix="lensaudit-") as folder:
        opened: list[ScoredRows] = []
        for place, one in enumerate(named):
            finder, images = as_pair(one, data)
            found = of_this_set(None if scores is None else scores[place], images)
            path = path_within(Path(folder), f"{place}.parquet")
            inputs = {"finder": finder.weights_hash, "set": images.content_hash}
            record = {"finder": finder.name, "provenance": provenance(inputs=inputs)}
            write_scores(found or scored(finder, images, None, progress), path, record)
            opened.append(ScoredRows.open(path))
        where = Path(options["embedding"]) if "embedding" in options else None
        made = LabelTable(*chosen(opened, settings, frozenset(options.get("labelled", ())), where))
    if out is not None:
        made.write(out)
    return made
