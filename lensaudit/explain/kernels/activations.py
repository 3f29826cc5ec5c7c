"""Kernel activation values of a whole set in one pass (Wilde et al. 2022, Section 5.3)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from lensaudit.errors import DataError
from lensaudit.explain.kernels.kav_table import KavTable, KavWriter, Kernel, writing
from lensaudit.explain.kernels.recorder import Recorder, recording
from lensaudit.explain.layers import convolutions
from lensaudit.explain.trace import evaluating
from lensaudit.finders import Finder
from lensaudit.finders.score import OK, ScoredBatch, scored_batches
from lensaudit.lensset import LensSet
from lensaudit.provenance import provenance

Progress = Callable[[int, int], None]


def kernel_activations(
    finder: Finder,
    lens_set: LensSet,
    path: Path,
    *,
    batch_size: int | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> KavTable:
    """Mean feature map of every kernel of every convolution, for every image of a set, as a Parquet table.

    The mean is over height and width of the convolution's own output, before ReLU, batch norm or whatever follows. One
    forward pass per image, streamed: memory grows neither with the set nor with its images. A value does not depend on
    the other images of the batch.

    Parameters
    ----------
    finder, lens_set
        The set must have the finder's bands and field of view.
    path
        The table; one that is there already, of the same finder, set and field of view, is kept.
    batch_size
        Images at a time; by default what runs fastest.
    force
        Make the table anew.
    progress
        Called with images done and all images; not where the table is kept.

    Raises
    ------
    DataError
        A band is missing, the field of view is another, or no image could be scored.
    UsageError
        The module has no convolution, `batch_size` is below 1, or `path` cannot be written.
    MachineError
        Memory or the disk ran out.
    """
    kept = None if force else kept_activations(path, finder, lens_set)
    if kept is not None:
        return kept
    batches = scored_batches(finder, lens_set, batch_size)
    kernels = tuple(Kernel(layer.name, k) for layer in convolutions(finder.module) for k in range(layer.kernels))
    facts, n = _facts(lens_set), len(lens_set)
    with (
        writing(path, kernels, {**_identity(finder, lens_set), **_record(finder, lens_set)}, "kind" in facts) as table,
        evaluating(finder.module),
        recording(finder.module) as recorder,
        closing(batches),
    ):
        done, scored = 0, False
        for batch in batches:
            span = slice(done, done + len(batch.status))
            _add(table, recorder, batch, {name: column[span] for name, column in facts.items()})
            done, scored = span.stop, scored or OK in batch.status
            if progress is not None:
                progress(done, n)
        if not scored:
            raise DataError(f"{lens_set.path}: none of {n} images could be scored (first: {batch.status[0]})")
    return KavTable.open(path)


def _add(table: KavWriter, recorder: Recorder, batch: ScoredBatch, facts: Mapping[str, NDArray[Any]]) -> None:
    """Hand the batch that was just scored over to the table; what could not be scored has no values either."""
    values, highest = recorder.take(len(batch.status))
    good = np.array([word == OK for word in batch.status])
    if highest is not None:
        table.search(highest[good])
    columns = {**facts, "p_lens": expit(batch.logit), "logit": batch.logit, "status": batch.status}
    table.add(columns, np.where(good[:, None], values, np.float32(np.nan)))


def _facts(lens_set: LensSet) -> dict[str, NDArray[Any]]:
    """Columns of the catalogue that the table repeats: id, label, and kind where the set knows it."""
    facts: dict[str, NDArray[Any]] = {"id": np.array(lens_set.ids, object), "label": lens_set.labels}
    return facts | ({"kind": lens_set.column("kind")} if "kind" in lens_set.columns else {})


def _identity(finder: Finder, lens_set: LensSet) -> dict[str, Any]:
    """What makes two tables the same, up to rounding."""
    return {
        "finder_hash": finder.weights_hash,
        "set_hash": lens_set.content_hash,
        "field_arcsec": finder.field_arcsec,
        "recipe": finder.recipe.model_dump(mode="json"),
        "layers": [[layer.name, layer.kernels] for layer in convolutions(finder.module)],
    }


def _record(finder: Finder, lens_set: LensSet) -> dict[str, Any]:
    inputs = {"finder": finder.weights_hash, "set": lens_set.content_hash}
    return {"finder": finder.name, "provenance": provenance(inputs=inputs)}


def kept_activations(path: Path, finder: Finder, lens_set: LensSet) -> KavTable | None:
    """The table that is there already, if it is whole and the same."""
    finder.check(lens_set)
    if not path.is_file():
        return None
    try:
        table = KavTable.open(path)
    except DataError:
        return None
    wanted = _identity(finder, lens_set)
    same = {name: table.record.get(name) for name in wanted} == json.loads(json.dumps(wanted))
    return table if same and table.n == len(lens_set) else None
