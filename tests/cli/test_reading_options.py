"""Every command with a finder and a set reads the set as asked: what one advises, all do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lensaudit.errors import UsageError
from lensaudit.finders import Finder, initialised_module, load_recipe, save_finder
from lensaudit.lensset import simulate

WORDS = {
    "score": "FINDER SET",
    "evaluate": "FINDER SET",
    "grades": "FINDER SET --column label",
    "compare": "FINDER --set SET",
    "threshold": "FINDER SET",
    "false-positives": "FINDER SET",
    "selection": "FINDER SET",
    "occlusion": "FINDER SET --all",
    "kernels": "FINDER SET",
    "dream": "FINDER --set SET",
    "explain": "FINDER SET --all",
    "gradcam": "FINDER SET --all",
    "judge": "FINDER SET",
    "embed": "FINDER SET",
    "report": "FINDER --set SET",
    "ensemble": "FINDER FINDER --data SET",
    "ensemble-map": "FINDER SET",
    "probe orientation": "FINDER --set SET --n 2",
    "probe run": "FILE FINDER --set SET --n 2",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("reading")
    made = simulate("lsst", "lsst", 8, 3, folder / "set")
    width = made.shape["g"][0] * made.pixel_scale_arcsec["g"]
    recipe = load_recipe("ou-h").model_copy(update={"bands": ("g",), "field_of_view_arcsec": width})
    module = initialised_module(recipe, torch.Generator().manual_seed(1))
    save_finder(Finder(recipe, module, "test"), folder / "finder", origin="a test")
    return folder


class Seen(UsageError):
    """Raised where a finder is told how to read a set, so that nothing is computed."""


@pytest.mark.parametrize("name", WORDS)
def test_the_field_and_the_pixels_reach_the_finder(name, place, lensaudit, monkeypatch, tmp_path):
    def for_field(self, arcsec=None, resample=False):
        raise Seen(f"read {arcsec}, {resample}")

    monkeypatch.setattr(Finder, "for_field", for_field)
    code, _, err = lensaudit(*words(name, place), "--out", tmp_path / "out", "--field-of-view", 14.05, "--resample")
    assert (code, err) == (2, "lensaudit: read 14.05, True\n")


@pytest.mark.parametrize("name", WORDS)
def test_statistics_are_taken_from_the_set(name, place, lensaudit, monkeypatch, tmp_path):
    """For a stretch that takes none the line says so, in every command; where several finders are read, together."""
    code, _, err = lensaudit(*words(name, place), "--out", tmp_path / "out", "--refit")
    assert code == 2
    assert "--refit" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())


def words(name: str, place: Path) -> list[str]:
    there = {
        "FINDER": place / "finder",
        "SET": place / "set",
        "FILE": Path(__file__).parents[2] / "probes/orientation.yaml",
    }
    return [*name.split(), *(str(there.get(word, word)) for word in WORDS[name].split())]
