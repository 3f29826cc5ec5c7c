"""``selection`` as typed: what it writes, prints and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from lens_sets import EUCLID, LABEL, write_set

from lensaudit.errors import DataError, UsageError
from lensaudit.finders import Finder, initialised, load_recipe, save_finder
from lensaudit.lensset import CatalogueColumn, LensSet

COLUMNS = (
    LABEL,
    CatalogueColumn(name="theta_e_arcsec", unit="arcsec", description="Einstein radius", dtype="float64"),
    CatalogueColumn(name="arc_snr", unit="", description="S/N", dtype="float64"),
)


def write_lenses(path: Path, labels: np.ndarray, columns: tuple[CatalogueColumn, ...] = COLUMNS) -> None:
    """Noise in the bands of ou66 with θ_E and S/N of the lenses; one lens lies outside the edges of the map."""
    n, rng = len(labels), np.random.default_rng(1)
    images = {band: rng.normal(size=(n, 20, 20)).astype(np.float32) for band in EUCLID}
    truth = {"theta_e_arcsec": rng.uniform(0.6, 3, n), "arc_snr": rng.uniform(5, 90, n)}
    truth["theta_e_arcsec"][1] = 9.0
    known = {column.name: np.where(labels == 1, truth[column.name], np.nan) for column in columns[1:]}
    table = {"label": labels.astype(int), **known}
    write_set(path, images, dict.fromkeys(EUCLID, 1.0), table, columns=columns, unit="adu")


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory) -> Path:
    """A set of 60 images, half of them lenses, one without truth, their scores, and an untrained ou66."""
    root = tmp_path_factory.mktemp("selection")
    write_lenses(root / "set", np.arange(60) % 2)
    write_lenses(root / "real", np.arange(6) % 2, COLUMNS[:1])
    module = initialised("ou66", 4, 2, generator=torch.Generator().manual_seed(1))
    save_finder(Finder(load_recipe("ou66"), module, "test"), root / "finder", origin="He-normal weights of a test")
    run("score", root / "finder", root / "set", "--out", root / "scores.parquet", "--device", "cpu")
    return root


def test_it_writes_numbers_tables_page_and_figures(run, folder, tmp_path):
    words = ("selection", folder / "finder", folder / "set", "--scores", folder / "scores.parquet", "--out", tmp_path)
    shown = " ".join(run(*words, "--fpr", 0.1).split())
    assert "30 lenses, 30 non-lenses" in shown
    assert "FPR ≤ 10 %" in shown
    assert "25 of 25 cells have fewer than 100 lenses; 1 lenses outside the edges, 0 without a value" in shown
    record = json.loads((tmp_path / "selection.json").read_text(encoding="utf-8"))
    assert record["threshold"] == "FPR ≤ 10 %"
    assert record["cuts"][0]["false_positives"]["k"] == 3
    assert record["maps"][0]["n_outside"] == 1
    assert record["provenance"]["inputs"]["set"] == LensSet.open(folder / "set").content_hash
    for name in (
        "recall-maps.parquet",
        "medians.parquet",
        "selection.md",
        "selection.html",
        "medians.png",
        "drivers.png",
    ):
        assert (tmp_path / name).is_file(), name


def test_json_is_what_the_file_holds_and_scoring_gives_the_same(run, folder, tmp_path):
    words = ("selection", folder / "finder", folder / "set", "--out", tmp_path, "--json", "--device", "cpu")
    fresh, stored = json.loads(run(*words)), json.loads(run(*words, "--scores", folder / "scores.parquet"))
    assert stored == json.loads((tmp_path / "selection.json").read_text(encoding="utf-8"))
    assert fresh["medians"] == stored["medians"]
    assert fresh["threshold"] == "p ≥ 0.5"


def test_what_cannot_be_asked_is_refused_in_one_line(refused, folder, tmp_path):
    words = ("selection", folder / "finder", folder / "real", "--out", tmp_path / "x")
    assert "knows nothing of its lenses" in refused(DataError, *words)
    assert not (tmp_path / "x").exists()
    words = ("selection", folder / "finder", folder / "set", "--out", tmp_path / "x")
    assert "--threshold and --fpr" in refused(UsageError, *words, "--threshold", 0.5, "--fpr", 0.1)
