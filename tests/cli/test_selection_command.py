"""``selection`` as typed: what it writes, prints and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from lensaudit.errors import DataError, UsageError
from lensaudit.finders import Finder, initialised, load_recipe, save_finder
from lensaudit.lensset import BandHeader, CatalogueColumn, Header, LensSet, LensSetWriter, Records, chunk_for

COLUMNS = (
    CatalogueColumn(name="label", unit="", description="1 lens, 0 non-lens, -1 unknown", dtype="int64"),
    CatalogueColumn(name="theta_e_arcsec", unit="arcsec", description="Einstein radius", dtype="float64"),
    CatalogueColumn(name="arc_snr", unit="", description="S/N", dtype="float64"),
)


def write_set(path: Path, labels: np.ndarray, columns: tuple[CatalogueColumn, ...] = COLUMNS) -> None:
    """Noise in the bands of ou66 with θ_E and S/N of the lenses; one lens lies outside the edges of the map."""
    n, rng = len(labels), np.random.default_rng(1)
    bands = tuple(
        BandHeader(name=b, shape=(20, 20), pixel_scale_arcsec=1.0, unit="adu") for b in ("VIS", "Y", "J", "H")
    )
    header = Header(instrument="euclid", bands=bands, n=n, chunk=chunk_for(n), columns=columns)
    writer = LensSetWriter(path, header)
    writer.start()
    for chunk in range(header.n_chunks):
        span = header.span(chunk)
        ids = [f"image-{i:03d}" for i in range(span.start, span.stop)]
        images = {band.name: rng.normal(size=(len(ids), 20, 20)).astype(np.float32) for band in bands}
        rows = []
        for i, label in zip(range(span.start, span.stop), labels[span], strict=True):
            truth = {"theta_e_arcsec": 9.0 if i == 1 else rng.uniform(0.6, 3), "arc_snr": rng.uniform(5, 90)}
            known = {c.name: truth[c.name] if label == 1 else np.nan for c in columns[1:]}
            rows.append({"label": int(label), **known})
        writer.write(chunk, Records(ids=ids, images=images, rows=rows))
    writer.finish()


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory) -> Path:
    """A set of 60 images, half of them lenses, one without truth, their scores, and an untrained ou66."""
    root = tmp_path_factory.mktemp("selection")
    write_set(root / "set", np.arange(60) % 2)
    write_set(root / "real", np.arange(6) % 2, COLUMNS[:1])
    module = initialised("ou66", 4, 2, generator=torch.Generator().manual_seed(1))
    save_finder(Finder(load_recipe("ou66"), module, "test"), root / "finder", origin="He-normal weights of a test")
    run("score", root / "finder", root / "set", "--out", root / "scores.parquet", "--device", "cpu")
    return root


@pytest.fixture(scope="session")
def run(cli):
    return lambda *words: cli(*words).stdout


@pytest.fixture(scope="session")
def refused(cli):
    def run(error: type[Exception], *words: object) -> str:
        with pytest.raises(error) as caught:
            cli(*words)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return run


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
