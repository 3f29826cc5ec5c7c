"""Sets and a finder, made once."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.realism_gate.toys import drawn_set, toy_finder


@pytest.fixture(scope="session")
def finder():
    return toy_finder()


@pytest.fixture(scope="session")
def sets(tmp_path_factory):
    """Real and simulated, of one distribution."""
    folder = tmp_path_factory.mktemp("realism")
    return drawn_set(folder / "sky", 60, 1), drawn_set(folder / "simulation", 80, 2)


@pytest.fixture(scope="session")
def noisy(tmp_path_factory):
    """As the real one of `sets`, with twice the noise."""
    return drawn_set(tmp_path_factory.mktemp("realism") / "noisy", 60, 3, noise=2.0)
