"""Makes the toys of this folder and the slow references importable; a small set of each kind of scene."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "reference")]

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # SkyPy 0.5 calls a deprecated part of astropy when it is first imported
    import skypy  # noqa: F401

from lensaudit.lensset import LensSet, simulate  # noqa: E402


@pytest.fixture(scope="session")
def mixed_set(tmp_path_factory) -> LensSet:
    """Twenty scenes of the Euclid population: single lenses and several kinds of non-lenses."""
    return simulate("euclid", "euclid", n=20, seed=4, out=tmp_path_factory.mktemp("judging") / "mixed")


@pytest.fixture(scope="session")
def rings_set(tmp_path_factory) -> LensSet:
    """Ten compound rings, drawn the physical way."""
    return simulate("euclid", "compound-rings", n=10, seed=4, out=tmp_path_factory.mktemp("judging") / "rings")


@pytest.fixture(scope="session")
def faithful_set(tmp_path_factory) -> LensSet:
    """Four compound rings drawn the way of Wilde et al. 2022."""
    return simulate(
        "euclid", "compound-rings-faithful", n=4, seed=4, out=tmp_path_factory.mktemp("judging") / "faithful"
    )
