"""The worst false positives: which rows, which kinds, and the picture of them."""

import json

import numpy as np
import pytest

from lensaudit.errors import DataError
from lensaudit.evaluation.visual_inspection import frequencies_by_kind, worst_rows
from lensaudit.lensset import simulate


def test_the_worst_are_the_non_lenses_of_highest_score():
    labels = np.array([1, 0, 0, 0, -1, 0])
    logit = np.array([9.0, 1.0, np.nan, 3.0, 8.0, 2.0])
    assert worst_rows(labels, logit, 2).tolist() == [3, 5]
    assert worst_rows(labels, logit, 9).tolist() == [3, 5, 1]
    with pytest.raises(DataError, match="no scored non-lens"):
        worst_rows(np.array([1, 0]), np.array([1.0, np.nan]), 3)


def test_a_kind_is_called_too_frequent_only_beyond_its_interval():
    kinds = ["spiral"] * 10 + ["merger"] * 90
    shares = frequencies_by_kind(kinds, np.arange(100), np.r_[0:8, 50:52])
    assert [(share.kind, share.among_worst.k, share.among_all.k) for share in shares] == [
        ("spiral", 8, 10),
        ("merger", 2, 90),
    ]
    assert shares[0].overrepresented
    assert not shares[1].overrepresented
    # one of two says nothing, though it is five times the fraction of all
    assert not frequencies_by_kind(kinds, np.arange(100), np.array([0, 50]))[0].overrepresented


def test_the_command_names_shows_and_counts_them(cli, tmp_path):
    simulate("euclid", "euclid", 24, 5, tmp_path / "set")
    cli("false-positives", "ou66", tmp_path / "set", "--out", tmp_path / "out", "--n", 4, "--json")
    record = json.loads((tmp_path / "out" / "false-positives.json").read_text(encoding="utf-8"))
    logits = [row["logit"] for row in record["worst"]]
    assert len(logits) == 4
    assert logits == sorted(logits, reverse=True)
    assert sum(kind["among_all"]["k"] for kind in record["kinds"]) == record["n_non_lenses"]
    assert sum(kind["among_worst"]["k"] for kind in record["kinds"]) == 4
    assert (tmp_path / "out" / "false-positives.png").read_bytes()[:4] == b"\x89PNG"
