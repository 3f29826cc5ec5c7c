"""Groups of a set's images in which two finders are compared: kinds, and terciles of what is known of the lenses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.display.numbers import significant
from lensaudit.errors import UsageError
from lensaudit.evaluation.selection.parameters import Parameter, WithTruth, parameters_of
from lensaudit.untrusted import printable

KIND = "kind"

BY_DEFAULT = ("theta_e_arcsec", "arc_snr", "source_r_eff_arcsec", "mag_source", "colour_source", "mag_lens")
"""Columns, or how their names begin, whose terciles are compared where nothing else is asked for."""

PARTS = 3
"""Groups that a column of numbers makes, as large as each other."""

MOST_VALUES = 12
"""Of a column of words or of few numbers, each of which is a group of its own."""


@dataclass(frozen=True, eq=False)
class Subgroup:
    """Lenses, or non-lenses, that have something in common.

    Attributes
    ----------
    column
        Of the catalogue; empty for all of a class.
    words
        Which they are, as in ``lenses of kind single``.
    lenses
        Whether they are lenses.
    rows
        Which of the images, bool (n,).
    """

    column: str
    words: str
    lenses: bool
    rows: NDArray[np.bool_]


def subgroups_of(lens_set: WithTruth, kept: NDArray[np.bool_], columns: Sequence[str] = ()) -> list[Subgroup]:
    """The groups of the labelled images `kept` (n,) of a set.

    Parameters
    ----------
    columns
        Of the catalogue, by which lenses are divided; by default Einstein radius, S/N of the arc, size, magnitude and
        colour of the source, and the magnitude of the lens, as far as the set has them. Non-lenses are divided by the
        columns that are named, and by their kind.

    Raises
    ------
    UsageError
        The set has no such column, or one has too many words.
    """
    labels = lens_set.labels
    classes = [(one, kept & (labels == int(one))) for one in (True, False)]
    found = [Subgroup("", f"all {_of(lenses)}", lenses, rows) for lenses, rows in classes if rows.any()]
    if KIND in lens_set.columns:
        kinds = np.asarray(lens_set.column(KIND)).astype(str)
        for lenses, rows in classes:
            names = sorted(set(kinds[rows].tolist()))
            groups = [
                Subgroup(KIND, f"{_of(lenses)} of kind {printable(name, 60)}", lenses, rows & (kinds == name))
                for name in names
            ]
            found += groups if len(groups) > 1 else []
    for parameter, named in _parameters(lens_set, columns):
        for lenses, rows in classes if named else classes[:1]:
            found += _divided(lens_set, parameter, lenses, rows)
    return found


def _of(lenses: bool) -> str:
    return "lenses" if lenses else "non-lenses"


def _parameters(lens_set: WithTruth, columns: Sequence[str]) -> Iterator[tuple[Parameter, bool]]:
    """What lenses are divided by, and whether somebody asked for it."""
    known = {} if not (lens_set.labels == 1).any() else {one.name: one for one in parameters_of(lens_set)[0]}
    own = getattr(lens_set, "own_columns", {})
    if not columns:
        yield from ((one, False) for name, one in known.items() if name.startswith(BY_DEFAULT) or name in own)
    for name in columns:
        if name not in known and name not in lens_set.columns:
            there = printable(", ".join(lens_set.columns), 300)
            raise UsageError(f"--by {printable(name, 60)}: {lens_set.path} has no such column; it has {there}")
        yield known.get(name, Parameter(name, name, "", (name,))), True


def _divided(lens_set: WithTruth, parameter: Parameter, lenses: bool, rows: NDArray[np.bool_]) -> Iterator[Subgroup]:
    """Terciles of a column of numbers, or one group for each word or value where there are few."""
    values = _values(lens_set, parameter)
    known = rows & np.array([bool(word) for word in values]) if values.dtype.kind == "U" else rows & np.isfinite(values)
    levels = np.unique(values[known])
    if values.dtype.kind == "U" and len(levels) > MOST_VALUES:
        raise UsageError(f"--by {parameter.name}: has {len(levels)} different words, at most {MOST_VALUES} are groups")
    if len(levels) < 2:
        return
    what, unit = (
        f"{_of(lenses)} with {parameter.words}",
        parameter.unit if parameter.unit in ("", "″") else f" {parameter.unit}",
    )
    if values.dtype.kind == "U" or len(levels) <= PARTS:
        for level in levels:
            word = printable(level, 60) if values.dtype.kind == "U" else f"{significant(float(level))}{unit}"
            yield Subgroup(parameter.name, f"{what} {word}", lenses, known & (values == level))
        return
    edges = np.unique(np.quantile(values[known], np.arange(1, PARTS) / PARTS))
    part = np.searchsorted(edges, values, side="right")
    said = [f"{significant(float(edge))}{unit}" for edge in edges]
    words = [
        f"below {said[0]}",
        *(f"from {a} to {b}" for a, b in pairwise(said)),
        f"from {said[-1]}",
    ]
    for index, word in enumerate(words):
        if (inside := known & (part == index)).any():
            yield Subgroup(parameter.name, f"{what} {word}", lenses, inside)


def _values(lens_set: WithTruth, parameter: Parameter) -> NDArray[Any]:
    """Values of all systems: numbers, or words."""
    everyone = np.ones(len(lens_set.labels), bool)
    if len(parameter.columns) > 1:
        return parameter.values(lens_set, everyone)
    column = np.asarray(lens_set.column(parameter.columns[0]))
    return column.astype(str) if column.dtype.kind in "OUS" else column.astype(float)
