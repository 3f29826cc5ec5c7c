"""The selection function of a made-up catalogue, by the real code."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np

from lensaudit.records import plain
from lensaudit.report.performance import selection_function_block

_SELECTION: dict[str, Any] = {}


@dataclass(frozen=True)
class FakeSet:
    """The made-up catalogue as the selection function asks for it."""

    catalogue: dict[str, np.ndarray]
    path: str = "sets/audit"
    bands: tuple[str, ...] = ("VIS", "Y", "J", "H")

    @property
    def labels(self) -> np.ndarray:
        return self.catalogue["label"].astype(np.int8)

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.catalogue)

    def column(self, name: str) -> np.ndarray:
        return self.catalogue[name]


@dataclass(frozen=True)
class FakeScores:
    """Scores of the made-up finder."""

    p_lens: np.ndarray

    @property
    def logit(self) -> np.ndarray:
        return np.log(self.p_lens / (1 - self.p_lens))


def fake_selection_function(catalogue: dict[str, np.ndarray]) -> dict[str, Any]:
    """The real code on the made-up catalogue, once a session."""
    if "block" not in _SELECTION:
        found = selection_function_block(FakeSet(catalogue), FakeScores(catalogue["p"]), 0.5, 3)
        _SELECTION["block"] = plain(found)
    return deepcopy(_SELECTION["block"])
