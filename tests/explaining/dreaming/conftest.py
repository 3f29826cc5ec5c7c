"""Makes the helpers of this folder and the slow references importable; fixtures made of them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "reference")]

from dream_nets import NETS, finder_of, plain, seeded  # noqa: E402

from lensaudit.finders import Finder  # noqa: E402


@pytest.fixture(params=list(NETS))
def net(request) -> tuple[Finder, tuple[str, ...]]:
    """Each kind of network in turn: finder, names of its convolutions."""
    builder, outputs, layers = NETS[request.param]
    return finder_of(seeded(builder()), outputs), layers


@pytest.fixture
def make_finder():
    """(module, outputs, size, bands) → finder."""
    return finder_of


@pytest.fixture
def plain_finder() -> Finder:
    return finder_of(seeded(plain()))
