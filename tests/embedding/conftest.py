"""Sets with planted columns, a finder, and one embedding of them, made once."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from lens_sets import LABEL, write_set

from lensaudit.embedding import EmbedOptions, measure_embedding
from lensaudit.lensset import CatalogueColumn
from tests.realism_gate.toys import BANDS, drawn_set, images, toy_finder

PLANTED = CatalogueColumn(name="flux_of_r", unit="ADU", description="drawn", dtype="float64")
CHANCE = CatalogueColumn(name="chance", unit="", description="noise", dtype="float64")


@pytest.fixture(scope="session")
def finder():
    return toy_finder()


@pytest.fixture(scope="session")
def planted(tmp_path_factory):
    """150 images; one column is the flux that was drawn, the other means nothing; labels are a coin's."""
    n = 150
    drawn = images(n, 5, flux=400.0)
    rng = np.random.default_rng(3)
    table = {
        "label": (rng.random(n) < 0.5).astype(int),
        "flux_of_r": drawn["r"].sum(axis=(1, 2)).astype(float),
        "chance": rng.normal(size=n),
    }
    where = tmp_path_factory.mktemp("embedding") / "planted"
    return write_set(where, drawn, dict.fromkeys(BANDS, 0.2), table, columns=(LABEL, PLANTED, CHANCE))


@pytest.fixture(scope="session")
def training(tmp_path_factory):
    return drawn_set(tmp_path_factory.mktemp("embedding") / "training", 40, 8, flux=400.0)


@pytest.fixture(scope="session")
def found(finder, planted, tmp_path_factory):
    """The embedding, in the folder of its vectors."""
    options = EmbedOptions(colours=("chance",), perplexity=10, map_n=60)
    folder = tmp_path_factory.mktemp("embedding") / "out"
    return measure_embedding(finder, planted, folder, options, lambda stage, done, total: None), folder
