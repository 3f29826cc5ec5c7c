"""Named rules that turn columns of the Bologna challenge-2 catalogue into labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lensaudit.errors import DataError, UsageError

LENS, NON_LENS, UNKNOWN = 1, 0, -1
Row = Mapping[str, float]


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
    for name in names:
        if name in row:
            return row[name]
    raise DataError(f"catalogue: no column {' or '.join(names)}, which the label rule needs; it has {', '.join(row)}")
