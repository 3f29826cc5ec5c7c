"""The state of an optimisation on disk, so that an interrupted one goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lensaudit.files import replacing
from lensaudit.provenance import provenance

_OF = "of"


class Checkpoint:
    """One file of arrays; what it belongs to stands in it."""

    def __init__(self, path: Path | None, identity: Sequence[object]) -> None:
        """`identity` says what the state is of, as JSON-able values; without a `path` nothing is kept."""
        self._path = path
        words = json.dumps([provenance()["lensaudit"], provenance()["packages"]["torch"], *identity], default=str)
        self._of = np.frombuffer(hashlib.sha256(words.encode()).digest(), np.uint8)

    def save(self, state: Mapping[str, np.ndarray]) -> None:
        """Write the state, whole or not at all."""
        if self._path is None:
            return
        with replacing(self._path) as partial, open(partial, "wb") as stream:
            np.savez(stream, allow_pickle=False, **{_OF: self._of, **state})

    def load(self) -> dict[str, np.ndarray] | None:
        """The state; None where there is none, or one of something else, or a torn file."""
        if self._path is None or not self._path.is_file():
            return None
        try:
            with open(self._path, "rb") as stream, np.load(stream, allow_pickle=False) as stored:
                state = {name: stored[name] for name in stored.files}
        except Exception:  # zipfile, zlib and numpy have no common exception for what is torn
            return None
        return state if np.array_equal(state.pop(_OF, None), self._of) else None
