"""The training history that is stored beside a finder's weights."""

from __future__ import annotations

import csv
from pathlib import Path

HISTORY_NAME = "history.csv"


def read_history(folder: Path) -> list[dict[str, float]] | None:
    """Rows of ``history.csv`` with numbers by column, ``None`` where the finder has no such file.

    A cell that is no number is left out of its row, so that one odd line hides no other.
    """
    path = Path(folder) / HISTORY_NAME
    if not path.is_file():
        return None
    with open(path, newline="", encoding="utf-8") as stream:
        rows = [_numbers(row) for row in csv.DictReader(stream)]
    return [row for row in rows if "epoch" in row] or None


def _numbers(row: dict[str, str]) -> dict[str, float]:
    numbers = {}
    for name, text in row.items():
        try:
            numbers[name] = float(text)
        except (TypeError, ValueError):
            continue
    return numbers
