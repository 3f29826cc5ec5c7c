"""Labels of a catalogue: read from a column that holds them, or made of others by a named rule."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from lensaudit.errors import DataError, UsageError

LENS, NON_LENS, UNKNOWN = 1, 0, -1
Row = Mapping[str, float]

LABEL_COLUMNS = ("label", "labels", "is_lens", "islens")
"""Columns that hold labels whatever else is in them, the first there is; their names are compared without case."""
MAYBE_LABEL_COLUMNS = ("lens", "class", "target", "truth")
"""Columns that are read as labels only if every cell is one: they may as well hold names or sizes."""

_WORDS = {
    LENS: ("1", "true", "yes", "t", "lens", "lenses", "lensed", "stronglens"),
    NON_LENS: ("0", "false", "no", "f", "nonlens", "nonlenses", "nolens", "notlens", "notalens", "unlensed"),
    UNKNOWN: ("-1", "unknown", "unlabelled", "unlabeled", "unclassified"),
}
_LABELS = {word: label for label, words in _WORDS.items() for word in words}
ALLOWED_LABELS = "1, true or lens; 0, false or non-lens; -1 or unknown; or an empty cell"


def label_of(cell: str) -> int | None:
    """The label that a cell of a table says; None where it says none.

    Examples
    --------
    >>> [label_of(cell) for cell in ("1.0", "Non-Lens", "-1", "2", ".5", "None")]
    [1, 0, -1, None, None, None]
    """
    word = re.sub(r"\.0*$", "", cell.strip().casefold())
    return _LABELS.get(word, _LABELS.get(re.sub(r"[-_ ]", "", word)) if not word.startswith("-") else None)


def wilde(row: Row) -> int:
    """Wilde et al. 2022: lens where n_source_im > 0, mag_eff > 1.6 and n_pix_source > 20; all others non-lens."""
    found = _value(row, "n_source_im", "n_sources") > 0
    return LENS if found and _value(row, "mag_eff") > 1.6 and _value(row, "n_pix_source") > 20 else NON_LENS


def challenge(row: Row) -> int:
    """The challenge's own evaluation: no source or mag_eff < 1.2 non-lens, mag_eff > 2 lens, others unknown."""
    magnification = _value(row, "mag_eff")
    if _value(row, "n_sources", "n_source_im") == 0 or magnification < 1.2:
        return NON_LENS
    return LENS if magnification > 2 else UNKNOWN


LABEL_RULES: dict[str, Callable[[Row], int]] = {"wilde": wilde, "challenge": challenge}


def label_rule(name: str) -> Callable[[Row], int]:
    """The rule called `name`; UsageError names those there are."""
    if name not in LABEL_RULES:
        raise UsageError(f"--label-rule '{name}' is not one of {', '.join(LABEL_RULES)}")
    return LABEL_RULES[name]


def _value(row: Row, *names: str) -> float:
    """The first of `names` that the catalogue has; releases differ in what they call the number of sources."""
    lower = {name.casefold(): value for name, value in row.items()}
    for name in names:
        if name in lower:
            return lower[name]
    raise DataError(f"catalogue: no column {' or '.join(names)}, which the label rule needs; it has {', '.join(row)}")
