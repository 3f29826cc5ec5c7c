"""Scores, metrics and maps of cutouts in other files are those of the lens set of the same images."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from container_files import EXACT, SCALE, Sample, declare, hdf5, hdf5_apart
from lens_sets import write_set
from torch import nn

import lensaudit as la
from lensaudit.errors import DataError
from lensaudit.finders import Finder, Scores, declare_finder, read_scores, score_set
from lensaudit.lensset import LensSet, open_cutouts

SIDE = 12
BANDS = ("J", "Y", "H", "VIS")
SCALES = {"J": 0.3, "Y": 0.3, "H": 0.3, "VIS": 0.1}
GUIDE = Path(__file__).parents[2] / "docs/how-to/containers.md"


@pytest.fixture(scope="module")
def sample() -> Sample:
    drawn = Sample.drawn(side=SIDE)
    drawn.images["H"][3, 2, 2] = np.nan  # type: ignore[index]
    drawn.images["VIS"][7] = 4.0  # type: ignore[index]
    return drawn


@pytest.fixture(scope="module")
def finder() -> Finder:
    torch.manual_seed(5)
    module = nn.Sequential(nn.Conv2d(2, 3, 5), nn.ReLU(), nn.Flatten(), nn.Linear(192, 1))
    return declare_finder(module, bands=("VIS", "H"), size=SIDE, field_of_view_arcsec=SIDE * SCALE)


@pytest.fixture(scope="module")
def of_the_set(tmp_path_factory: pytest.TempPathFactory, sample: Sample, finder: Finder) -> Scores:
    folder = tmp_path_factory.mktemp("set") / "set"
    scales = dict.fromkeys(sample.images, SCALE)
    return score_set(finder, write_set(folder, sample.images, scales, {"label": sample.labels}, zero_point_mag=25.0))


@pytest.mark.parametrize("name", EXACT)
def test_scores_are_those_of_the_set(name: str, sample: Sample, finder: Finder, of_the_set: Scores, tmp_path: Path):
    found = score_set(finder, open_cutouts(EXACT[name](tmp_path, sample)))
    order = [found.ids.index(one) for one in sample.ids]
    assert [found.status[row] for row in order] == list(of_the_set.status)
    assert sorted(found.failed) == sorted([sample.ids[3], sample.ids[7]])
    # bit-equal where the order is; in another, float32 rounding of another lane
    np.testing.assert_allclose(found.logit[order], of_the_set.logit, rtol=0, atol=0 if order == sorted(order) else 1e-6)


@pytest.fixture(scope="module")
def large() -> Sample:
    drawn = Sample.drawn(n=6, side=66, bands=BANDS)
    return replace(drawn, images=dict(drawn.images) | Sample.drawn(n=6, side=200, bands=("VIS",)).images)


@pytest.fixture(scope="module")
def place(large: Sample, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hdf5")
    hdf5_apart(folder, large, {"c.h5": slice(None)}, data="c.h5", pixel_scale_arcsec=SCALES)
    return folder


def test_commands_read_it_in_place(place: Path, large: Sample, cli, tmp_path: Path):
    """By its YAML, by its own name, and by the folder of both."""
    for number, given in enumerate((place / "c.yaml", place / "c.h5", place)):
        done = cli("score", "ou66", given, "--out", tmp_path / f"{number}.parquet")
        assert "6 of 6 images scored with ou66" in done.stdout
        scores, record = read_scores(tmp_path / f"{number}.parquet", large.ids)
        assert list(scores.ids) == large.ids
        assert record.provenance.inputs["set"] == open_cutouts(given).content_hash
    words = ["--scores", tmp_path / "0.parquet", "--out", tmp_path / "measured"]
    assert "2 lenses, 2 non-lenses, 2 unlabelled" in cli("evaluate", "ou66", place / "c.yaml", *words).stdout
    done = cli("occlusion", "ou66", place / "c.yaml", "--id", large.ids[1], "--patch", 33, "--out", tmp_path / "maps")
    assert f"{large.ids[1]}: made" in done.stdout
    assert "sound; 6 systems of euclid in J, Y, H, VIS" in cli("check", place).stdout


def test_functions_take_it_too(place: Path, large: Sample, tmp_path: Path):
    scores = la.score("ou66", place / "c.yaml")
    assert la.evaluate("ou66", place, scores=scores).n_lenses == 2
    maps = la.explain("ou66", open_cutouts(place), large.ids[2], method="input-x-gradient").maps
    assert maps.shape == (1, 66, 66)
    assert len(la.kernels("ou66", place / "c.h5", top=2).kernels) > 0


def test_ingest_makes_a_lens_set_of_it(place: Path, large: Sample, cli, tmp_path: Path):
    out = tmp_path / "set"
    assert "6 systems, euclid: J 66×66 at 0.3″" in cli("ingest", "cutouts", place / "c.yaml", "--out", out).stdout
    made, opened = LensSet.open(out), open_cutouts(place)
    for band in BANDS:
        np.testing.assert_array_equal(made.images(band, slice(None)), opened.images(band, slice(None)))
    assert (made.ids, made.labels.tolist(), made.column("ra").tolist()) == (large.ids, large.labels, large.ra)
    assert made.pixel_units == dict(opened.pixel_units)
    np.testing.assert_array_equal(la.score("ou66", made).logit, la.score("ou66", opened).logit)


def test_nan_is_treated_as_said(sample: Sample, cli, tmp_path: Path):
    varied = sample.images["VIS"].copy()
    varied[7] = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)
    path = hdf5(tmp_path, replace(sample, images=dict(sample.images) | {"VIS": varied}))
    with pytest.raises(DataError, match="choose --nan zero or --nan median"):
        cli("ingest", "cutouts", path, "--out", tmp_path / "set")
    cli("ingest", "cutouts", path, "--nan", "zero", "--out", tmp_path / "filled")
    assert LensSet.open(tmp_path / "filled").images("H", 3)[0, 2, 2] == 0


def test_selection_asks_for_columns(place: Path, cli, tmp_path: Path):
    with pytest.raises(DataError, match=r"knows nothing of its lenses .* declare columns of your own"):
        cli("selection", "ou66", place / "c.yaml", "--out", tmp_path / "out")


def test_a_field_of_view_of_others_is_refused(place: Path, large: Sample, cli, tmp_path: Path):
    shutil.copy(place / "c.h5", tmp_path)
    named = {band: band for band in BANDS}
    path = declare(tmp_path / "c.yaml", large, data="c.h5", images=named, pixel_scale_arcsec=0.1, ids="name")
    with pytest.raises(DataError, match=r"is 66×66 pixels of 0\.1″ = 6\.6″, finder ou66 needs"):
        cli("score", "ou66", path, "--out", tmp_path / "s.parquet")


def test_the_guides_declarations_open(place: Path, large: Sample, tmp_path: Path):
    """Each of the page, beside a container that the tests write for it."""
    shown = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)]
    assert {one.get("format", Path(str(one["data"])).suffix) for one in shown} >= {".h5", "fits", ".tar", "pictures"}
    from lensaudit.lensset.containers import ContainerFile

    for words in shown:
        ContainerFile.model_validate(words)


def test_the_commands_of_the_guide_run(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Those that take a second: the others are in the tests of containers as sets."""
    import h5py

    text = GUIDE.read_text("utf-8")
    told = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)[0]
    lines = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)[0].splitlines()
    (tmp_path / "cutouts.yaml").write_text(told)
    rng = np.random.default_rng(2)
    with h5py.File(tmp_path / "cutouts.h5", "w") as file:
        for name, side in (("VIS", 200), ("NIR/Y", 66), ("NIR/J", 66), ("NIR/H", 66)):
            middle = np.exp(-((np.indices((side, side)) - side / 2) ** 2).sum(0) / side)
            file[name] = (rng.normal(0, 0.05, (4, side, side)) + middle).astype("f4")
        file["name"], file["is_lens"] = ["a", "b", "c", "d"], [1, 0, 1, 0]
        file["ra"], file["dec"] = [1.0, 2, 3, 4], [5.0, 6, 7, 8]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    run = []
    for line in lines:
        words = line.partition("#")[0].split()[1:]
        if words[0] in ("check", "score", "evaluate", "ingest"):
            cli(*words)
            run.append(words[0])
    assert run == ["check", "score", "evaluate", "ingest"]
    assert LensSet.open("runs/copy").ids == ["a", "b", "c", "d"]
