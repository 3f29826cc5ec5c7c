"""The training history that is stored beside a finder's weights."""

from __future__ import annotations

import csv
import io
from os.path import lexists
from pathlib import Path

from lensaudit.documents import read_text
from lensaudit.errors import DataError

HISTORY_NAME = "history.csv"


def read_history(folder: Path) -> list[dict[str, float]] | None:
    """Rows of ``history.csv`` with numbers by column, ``None`` where the finder has no such file.

    A cell that is no number is left out of its row, so that one odd line hides no other.

    Raises
    ------
    DataError
        The file is no regular file, no text, or has a cell of more than 131 072 characters.
    """
    path = Path(folder) / HISTORY_NAME
    if not lexists(path):
        return None
    fix = "restore it, train again, or remove it"
    try:
        rows = [_numbers(row) for row in csv.DictReader(io.StringIO(read_text(path, fix), newline=""))]
    except csv.Error as broken:
        raise DataError(f"{path}: is no training history ({broken}); {fix}") from broken
    return [row for row in rows if "epoch" in row] or None


def _numbers(row: dict[str, str]) -> dict[str, float]:
    numbers = {}
    for name, text in row.items():
        try:
            numbers[name] = float(text)
        except (TypeError, ValueError):
            continue
    return numbers
