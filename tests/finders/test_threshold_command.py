"""``lensaudit threshold`` and ``lensaudit score --prior``."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from lensaudit.finders import load_finder, read_record, read_scores, with_prior
from lensaudit.lensset import simulate


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """Twenty systems: enough non-lenses for a rate of one half."""
    return simulate("euclid", "conspicuous", 20, 3, tmp_path_factory.mktemp("threshold") / "set")


def test_a_threshold_is_set_kept_and_used(lensaudit, simulated, saved_ou66, tmp_path):
    out = tmp_path / "placed"
    code, text, _ = lensaudit("threshold", saved_ou66, simulated.path, "--fpr", 0.5, "--out", out, "--json")
    assert code == 0
    told = json.loads(text)
    placed = load_finder(str(out))
    assert placed.recipe.threshold == told["threshold"] != 0.5
    assert placed.weights_hash == load_finder(str(saved_ou66)).weights_hash
    assert "threshold set at a false-positive rate of 0.5" in read_record(out).origin
    assert "## Threshold" in (out / "card.md").read_text(encoding="utf-8")
    code, text, _ = lensaudit("evaluate", out, simulated.path, "--json")
    evaluation = json.loads(text)
    assert evaluation["threshold"] == told["threshold"]
    counts = evaluation["counts"]
    assert counts["fp"] == (counts["fp"] + counts["tn"]) // 2


@pytest.mark.parametrize(
    ("words", "says"),
    [(("--fpr", 2), "--fpr 2 is not a rate"), (("--fpr", 0.01), "needs at least 100 non-lenses")],
)
def test_wrong_rates_get_one_line(lensaudit, words, says, simulated, saved_ou66, tmp_path):
    code, _, error = lensaudit("threshold", saved_ou66, simulated.path, *words, "--out", tmp_path / "out")
    assert code in (2, 3)
    assert says in error
    assert not (tmp_path / "out").exists()


def test_the_prior_is_one_more_column_and_changes_no_score(lensaudit, simulated, saved_ou66, tmp_path):
    for name, words in (("plain", ()), ("rare", ("--prior", 0.001)), ("rare.parquet", ("--prior", 0.001))):
        code, text, _ = lensaudit("score", saved_ou66, simulated.path, "--out", tmp_path / name, *words)
        assert code == 0
        assert ("lenses are 0.001 of the images instead of the 0.5" in text) == bool(words)
    plain, rare = (read_scores(tmp_path / name)[0] for name in ("plain", "rare.parquet"))
    np.testing.assert_array_equal(plain.logit, rare.logit)
    column = pq.read_table(tmp_path / "rare.parquet").column("p_lens_prior").to_numpy()
    np.testing.assert_array_equal(column, with_prior(plain.p_lens, 0.001))
    assert read_scores(tmp_path / "rare.parquet")[1].prior == 0.001
    code, _, error = lensaudit("score", saved_ou66, simulated.path, "--out", tmp_path / "x", "--prior", 1.5)
    assert (code, "prior 1.5 is not a fraction of lenses" in error) == (2, True)
