"""Pieces of an audit that are kept and used again when nothing they rest on has changed."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lensaudit import __version__
from lensaudit.files import write_bytes
from lensaudit.report.strips import read_arrays

Progress = Callable[[str, int, int], None]
"""Told the name of the stage, how many of its steps are done and of how many."""

KEY = "key"


def quiet(what: str, done: int, total: int) -> None:
    """Report progress to nobody."""


def key_of(finder: Any, lens_set: Any | None = None, **settings: Any) -> str:
    """SHA-256 of everything a piece rests on: version, weights, recipe, content of the set and settings."""
    parts = {
        "lensaudit": __version__,
        "weights": finder.weights_hash,
        "recipe": finder.recipe.model_dump(mode="json"),
        "set": None if lens_set is None else lens_set.content_hash,
        **settings,
    }
    if finder.given_field_arcsec is not None:
        parts["field_of_view_arcsec"] = finder.given_field_arcsec
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def short_name(text: str) -> str:
    """File name for any id, however hostile: the first 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def kept_arrays(path: Path, key: str) -> dict[str, np.ndarray] | None:
    """Arrays written under the same `key`, or ``None`` where they are missing, torn or of another run."""
    arrays = read_arrays(path)
    if arrays is None or KEY not in arrays or str(arrays[KEY]) != key:
        return None
    return arrays


def keep_arrays(path: Path, key: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays with their `key` as compressed ``.npz``, whole or not at all."""
    stream = io.BytesIO()
    payload: dict[str, Any] = {**arrays, KEY: np.array(key)}
    np.savez_compressed(stream, **payload)
    write_bytes(path, stream.getvalue())
