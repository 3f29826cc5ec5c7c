"""``lensaudit cluster``: what it prints, and how it refuses."""

import json
from pathlib import Path

import pytest
import yaml


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    import importlib.util

    import numpy as np

    path = Path(__file__).parents[1] / "clustering" / "conftest.py"
    spec = importlib.util.spec_from_file_location("clustering_sets", path)
    sets = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sets)
    folder = tmp_path_factory.mktemp("command")
    sets.write_arcs(folder / "set", np.arange(48) % 2, seed=1)
    sets.write_arcs(folder / "test", np.arange(40) % 2, seed=2)
    words = {
        "name": "small",
        "architecture": "cae-bgm",
        "bands": ["VIS"],
        "size": sets.SIZE,
        "field_of_view_arcsec": 2.0,
        "outputs": 1,
        "lens_index": 0,
        "architecture_options": {"filters": 8, "embedding": 3},
        "training": {"epochs": 2, "batch_size": 8, "learning_rate": 5e-3},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(words))
    return folder


def asked(places, *words):
    out = places / "out"
    return ("cluster", places / "set", "--out", out, "--recipe", places / "recipe.yaml", "--seed", 4,
            "--denoiser-epochs", 1, "--device", "cpu", *words)  # fmt: skip


def test_it_prints_what_it_measured_and_says_what_to_do_next(lensaudit, places):
    code, shown, _ = lensaudit(*asked(places, "--test", places / "test", "--ratios", "--orientations", 4))
    assert code == 0
    assert "48 images in 2 clusters; 1 of 3 clusters are empty and say nothing" in shown
    for words in ("known fractions, all: AUROC", "1:10000: recall", "lens fraction ≥ 0.6", "turned images", "n = 4"):
        assert words in shown, words
    assert "marks.json" in shown
    code, shown, _ = lensaudit(*asked(places, "--json"))
    assert code == 0
    assert len(json.loads(shown)["clusters"]) == 3


def test_it_may_leave_the_denoiser_away(lensaudit, places, tmp_path):
    words = [tmp_path if word == places / "out" else word for word in asked(places, "--no-denoiser")]
    assert lensaudit(*words)[0] == 0
    assert "No denoiser" in (tmp_path / "finder" / "card.md").read_text()


@pytest.mark.parametrize(
    ("words", "left", "says"),
    [
        (("--cut",), 2, "give --test"),
        (("--sweep-embedding", "4,x"), 2, "whole numbers with commas"),
        (("--sweep-embedding", "0"), 2, "sizes of 1 or more"),
        (("--augment", "flips"), 2, "'--augment': 'flips' is not known; allowed: none, dihedral"),
        (("--stretch", "asinh"), 2, "--stretch asinh: not known"),
        (("--recipe", "ou66"), 2, "clustering takes cae-bgm"),
        (("--images", 49), 3, "has 48 images"),
        (("--images", 2), 3, "2 images cannot make 3 clusters"),
        (("--marks", "none.json"), 2, "no such file"),
    ],
)
def test_a_wrong_word_is_one_line(lensaudit, places, tmp_path, words, left, says):
    code, _, shown = lensaudit(*asked(places, "--out", tmp_path, *words))
    assert code == left
    message = shown.splitlines()[-1]
    assert message.startswith("lensaudit: ")
    assert says in message
    assert "Traceback" not in shown
