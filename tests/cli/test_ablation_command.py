"""``lensaudit train --ablate`` as typed."""

from __future__ import annotations

import json

import pytest

from lensaudit.errors import UsageError
from lensaudit.lensset import simulate
from lensaudit.training.ablation import BASELINE


@pytest.fixture(scope="module")
def words(tmp_path_factory) -> tuple[object, ...]:
    """A training of seconds: the smallest of the finders on 48 LSST cutouts."""
    root = tmp_path_factory.mktemp("ablation")
    simulate("lsst", "lsst", 48, 3, root / "training")
    return ("train", "petrillo", "--data", root / "training", "--epochs", 1, "--batch", 8, "--threshold-fpr", 0.5,
            "--validation-fraction", 0.25)  # fmt: skip


def test_every_arm_is_trained_and_a_second_call_trains_nothing(run, words, tmp_path):
    simulate("lsst", "lsst", 24, 4, tmp_path / "test")
    words = (*words, "--test", tmp_path / "test", "--out", tmp_path / "a", "--ablate", "augmentation", "--repeats", 2)
    assert "| without-augmentation | 2 |" in run(*words)
    before = (tmp_path / "a" / "ablation.json").read_bytes()
    assert [row["arm"] for row in json.loads(before)["arms"]] == [BASELINE, "without-augmentation"]
    weights = tmp_path / "a" / BASELINE / "seed-2" / "weights.safetensors"
    stamp = weights.stat().st_mtime_ns
    again = json.loads(run(*words, "--json"))
    assert again == json.loads((tmp_path / "a" / "ablation.json").read_bytes())
    assert (tmp_path / "a" / "ablation.json").read_bytes().split(b"provenance")[0] == before.split(b"provenance")[0]
    assert weights.stat().st_mtime_ns == stamp
    assert (tmp_path / "a" / "ablation.png").read_bytes()[:4] == b"\x89PNG"
    assert not (tmp_path / "a" / "prepared").exists()


def test_without_a_test_set_nothing_is_trained(run, words, tmp_path):
    with pytest.raises(UsageError, match="give one with --test"):
        run(*words, "--out", tmp_path / "b", "--ablate", "augmentation")
    assert not (tmp_path / "b").exists()
