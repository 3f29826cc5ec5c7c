"""A container is taken wherever a lens set is: equal numbers from it and from the set that `ingest` makes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import yaml
from torch import nn

import lensaudit as la
from lensaudit.comparing.comparison import COMPARISON_NAME
from lensaudit.errors import UsageError
from lensaudit.finders import ARCHITECTURES, Finder, declare_finder
from lensaudit.finders.architectures import Architecture
from lensaudit.lensset import LensSet, open_cutouts

N, SIDE, SCALE = 48, 12, 0.5
SHORT: dict[str, Any] = {"probe_n": 0, "judge_n": 2, "dream_steps": 0, "maps_n": 0, "occlusion_n": 1, "embed": False}


def network(bands: int = 2, outputs: int = 1) -> nn.Sequential:
    """(n, bands, 12, 12) → (n, outputs)."""
    torch.manual_seed(5)
    return nn.Sequential(
        nn.Conv2d(bands, 4, 5), nn.ReLU(), nn.Flatten(), nn.Linear(256, 4), nn.ReLU(), nn.Linear(4, outputs)
    )


@pytest.fixture(scope="module")
def finder() -> Finder:
    return declare_finder(network(), bands=("VIS", "H"), size=SIDE, field_of_view_arcsec=SIDE * SCALE)


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise, and a ring where the label is 1; columns of numbers and words."""
    folder, rng = tmp_path_factory.mktemp("container"), np.random.default_rng(3)
    labels = np.arange(N) % 2
    radius = np.hypot(*np.meshgrid(*[np.linspace(-1, 1, SIDE)] * 2))
    ring = 3 * np.exp(-(((radius - 0.6) / 0.2) ** 2)) * labels[:, None, None]
    with h5py.File(folder / "mine.h5", "w") as file:
        for band in ("VIS", "H"):
            file[band] = (rng.normal(size=(N, SIDE, SIDE)) + ring).astype("f4")
        file["name"] = [f"J{i:03d}" for i in range(N)]
        file["is_lens"] = labels
        file["theta"] = np.where(labels, rng.uniform(0.5, 2, N), np.nan)
        file["field"] = ["deep" if i % 3 else "wide" for i in range(N)]
    words = {"data": "mine.h5", "images": {"VIS": "VIS", "H": "H"}, "bands": ["VIS", "H"], "ids": "name"}
    words |= {"labels": "is_lens", "columns": {"theta": "arcsec", "field": ""}, "unit": "electron / s"}
    (folder / "mine.yaml").write_text(yaml.safe_dump(words | {"pixel_scale_arcsec": SCALE, "zero_point_mag": 25.0}))
    return folder / "mine.yaml"


@pytest.fixture(scope="module")
def ingested(container: Path, tmp_path_factory: pytest.TempPathFactory) -> LensSet:
    return la.ingest(container, out=tmp_path_factory.mktemp("ingested") / "mine")


def numbers(found: Any) -> Any:
    """Without what says which data: hashes, names, commands, and the columns that only ingest counts."""
    if isinstance(found, dict):
        left = (
            "provenance",
            "content_hash",
            "made_by",
            "digest",
            "limits",
            "command",
            "inputs",
            "set",
            "array",
            "path",
        )
        return {k: numbers(v) for k, v in found.items() if k not in left and not k.startswith("n_nan_")}
    if isinstance(found, list):
        return [numbers(one) for one in found if not (isinstance(one, dict) and "n_nan_" in str(one.get("name", "")))]
    return found


def test_ingest_of_a_declaration_keeps_what_it_says(container: Path, ingested: LensSet):
    opened = open_cutouts(container)
    assert ingested.ids == opened.ids
    assert ingested.columns[: len(opened.columns)] == opened.columns
    np.testing.assert_array_equal(ingested.column("theta"), opened.column("theta"))
    assert ingested.column("field").tolist() == opened.column("field").tolist()
    assert [one.model_dump() for one in opened.header.bands] == [one.model_dump() for one in ingested.header.bands]
    with pytest.raises(UsageError, match="nothing but nan"):
        la.ingest(container, label="lens")


def test_the_page_has_the_same_numbers(finder: Finder, container: Path, ingested: LensSet, tmp_path: Path):
    pages = {}
    for name, data in (("mine", container), ("set", ingested)):
        made = la.audit(finder, data, out=tmp_path / name, **SHORT)
        pages[name] = json.loads((made.folder / "audit.json").read_text())
        text = made.page.read_text()
    assert numbers(pages["mine"]) == numbers(pages["set"])
    assert pages["mine"]["set"]["n_lenses"] == N // 2
    curves = {one["column"]: one for one in pages["mine"]["selection"]["curves"]}
    assert curves["theta"]["n"] == N // 2
    assert "no truth masks" in text
    assert "read in place by mine.yaml" in json.dumps(pages["mine"]["limits"])
    assert pages["mine"]["selection_function"] is not None


def test_comparisons_and_selection_are_the_same(finder: Finder, container: Path, ingested: LensSet, tmp_path: Path):
    other = declare_finder(
        network().double().float(), bands=("VIS", "H"), size=SIDE, field_of_view_arcsec=SIDE * SCALE
    ).symmetrised()
    found = []
    for name, data in (("mine", container), ("set", ingested)):
        la.compare({"one": finder, "other": other}, data, speed=False, probes=["none"], judge_n=0, out=tmp_path / name)
        found.append(numbers(json.loads((tmp_path / name / COMPARISON_NAME).read_text())))
        found[-1] |= {"selection": la.selection_function(finder, data).to_json()}
    assert found[0] == found[1]


def test_training_is_the_same(container: Path, ingested: LensSet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setitem(ARCHITECTURES, "tiny", Architecture("tiny", SIDE, network))
    recipe = tmp_path / "recipe.yaml"
    words = {"name": "tiny", "architecture": "tiny", "bands": ["VIS", "H"], "size": SIDE}
    recipe.write_text(yaml.safe_dump(words | {"field_of_view_arcsec": SIDE * SCALE, "outputs": 1, "lens_index": 0}))
    hashes = [
        la.train(recipe, data, epochs=1, batch_size=8, validation_fraction=0.2, device="cpu").finder
        for data in (container, ingested)
    ]
    assert hashes[0].weights_hash == hashes[1].weights_hash


def test_explanations_are_judged_without_truth(finder: Finder, container: Path):
    found = la.judge(finder, [container], methods=["input-x-gradient"], parts=["deletion"], per_kind=2)
    assert {row.score for row in found.rows} == {"deletion"}
    assert all(np.isfinite(row.value) for row in found.rows)
