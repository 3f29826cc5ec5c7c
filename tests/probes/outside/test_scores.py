"""What comes back is wrong in many ways; each is one line, and nothing is guessed."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit

from lensaudit.errors import DataError, UsageError
from lensaudit.probes.outside import OutsideFinder, export_cutouts, import_scores, plan_export
from lensaudit.probes.outside.importing import EDGE, logits_of, read_outside_scores

from .conftest import SEED, manifest, write_scores

IDS = ["ca", "cb", "cc", "cd", "ce"]
GOOD = "id,p\nca,0\ncb,1\ncc,0.25\ncd,.5\nce,1e-3\n"


def read(tmp_path, text, ids=IDS, threshold=0.5):
    path = tmp_path / "scores.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_outside_scores(path, ids, threshold)


def test_votes_and_probabilities_become_finite_logits(tmp_path):
    found = read(tmp_path, GOOD).logit
    assert found["cc"] == pytest.approx(np.log(0.25 / 0.75), rel=1e-15)
    assert found["cd"] == 0
    assert found["cb"] == -found["ca"] == pytest.approx(np.log(2.0**24 - 1), rel=1e-7)  # as documented


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffID , P\nca,0\ncb,1\ncc,0.25\ncd,.5\nce,1e-3\n",
        "note,p,id\r\n,0,ca\r\n\r\nx,1,cb\r\n,0.25,cc\r\n,.5,cd\r\n,1e-3,ce\r\n",
        "id;p\nca;0\ncb;1\ncc;0.25\ncd;.5\nce;1e-3\n",
        "id p\nca 0\ncb   1\ncc 0.25\ncd .5\nce 1e-3\n",
    ],
    ids=["excel", "other order, a further column, blank lines", "semicolons", "blanks"],
)
def test_what_spreadsheets_make_of_it_is_read(tmp_path, text):
    assert read(tmp_path, text).logit == read(tmp_path, GOOD).logit


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", r"is empty \(0 bytes\), not a table of scores"),
        ("id,p\n", r"has no lines below its header"),
        ("cutout,p\nca,0\n", r"no column id; the columns are cutout, p"),
        ("id,score\nca,0\n", r"no column p_lens or p or p\(lens\); the columns are id, score"),
        ("id,p,p\nca,0,1\n", r"column p is there twice"),
        (GOOD.replace("cb,1\n", ""), r"1 cutout \(cb\) of 5 have no score; nothing is guessed"),
        ("id,p\nce,0\n", r"4 cutouts \(ca, cb, cc, …\) of 5 have no score"),
        (GOOD + "cb,1\n", r"1 cutout \(cb\) have more than one score"),
        (GOOD + "cz,1\n", r"1 cutout \(cz\) were never exported"),
        ("id,p\nx1,0\nx2,0\nx3,1\nx4,1\n", r"none of its 4 ids \(first: x1, x2, x3\) is of this export"),
        (GOOD.replace(".5", "yes"), r"1 cutout \(cd 'yes'\) are not numbers"),
        (GOOD.replace(".5", ""), r"1 cutout \(cd\) have no score"),
        (GOOD.replace("cd,.5", "cd"), r"line 5 has 1 cells, 2 are needed"),
        (GOOD.replace(".5", "nan"), r"1 cutout \(cd nan\) are NaN"),
        (GOOD.replace(".5", "inf"), r"1 cutout \(cd inf\) lie outside \[0, 1\]"),
        (GOOD.replace("0.25", "2.5").replace(".5\nce", "-0.5\nce"), r"2 cutouts \(cc 2\.5, cd -0\.5\) lie outside"),
        (b"id,p\n\xff\xfe,0\n", r"line 2: is not text in UTF-8"),
    ],
)
def test_a_mistake_is_one_line_with_the_ids(tmp_path, text, words):
    with pytest.raises(DataError, match=words) as told:
        read(tmp_path, text)
    assert "\n" not in str(told.value)
    assert str(told.value).startswith(str(tmp_path / "scores.csv"))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_outside_scores(tmp_path / "none.csv", IDS, 0.5)


@pytest.mark.parametrize("threshold", [0.0, 1.0, float("nan")])
def test_a_threshold_that_cannot_be_used(tmp_path, threshold):
    with pytest.raises(UsageError, match="--threshold"):
        read(tmp_path, GOOD, threshold=threshold)


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=20),
    st.floats(2 * EDGE, 1 - 2 * EDGE),
    st.integers(1, 20).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))),
)
def test_a_score_keeps_its_side_of_the_threshold(some, threshold, votes):
    p = np.array([*some, threshold, votes[0] / votes[1]])
    found = logits_of(p, threshold)
    assert np.array_equal(expit(found) >= threshold, p >= threshold)
    inside = (p > 0) & (p < 1 - 1e-6)
    np.testing.assert_allclose(found[inside], logit(p[inside]), atol=1e-9)
    assert np.isfinite(found).all()
    assert (np.diff(found[np.argsort(p)]) >= -1e-9).all()


def test_a_confident_network_keeps_its_log_odds():
    """p of double precision holds log-odds far beyond those that stand for 0 and 1, which then go with the farthest."""
    found = logits_of(np.array([0.0, expit(-40), 0.5, expit(25.0), 1.0]), 0.5)
    np.testing.assert_allclose(found, [-40, -40, 0, 25, 25], rtol=1e-6)


def test_three_votes_of_five_are_three_of_five():
    votes = np.arange(6) / 5
    for needed in range(1, 5):
        assert (expit(logits_of(votes, needed / 5)) >= needed / 5).tolist() == [k >= needed for k in range(6)]


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Another export, of another choice."""
    return export_cutouts(plan_export(2, SEED, ["false-positive"]), tmp_path_factory.mktemp("other") / "export")


def test_scores_or_key_of_another_export_are_refused(exported, scored, other, tmp_path):
    finder = OutsideFinder("flux")
    with pytest.raises(DataError, match="is of this export"):
        import_scores(other.cutouts.parent, scored, tmp_path, finder)
    with pytest.raises(DataError, match="is not the manifest of this key"):
        import_scores(exported.cutouts.parent, scored, tmp_path, finder, key=other.key)
    assert not any(tmp_path.iterdir())


def test_a_pipe_in_place_of_the_manifest_is_said(other, scored, tmp_path):
    """The cutouts may be gone; a manifest that is no file is not gone."""
    export = tmp_path / "export"
    shutil.copytree(other.cutouts.parent, export)
    (export / "cutouts" / "manifest.csv").unlink()
    os.mkfifo(export / "cutouts" / "manifest.csv")
    with pytest.raises(UsageError, match="a named pipe"):
        import_scores(export, scored, tmp_path / "out", OutsideFinder("flux"))


def test_no_key_or_a_torn_one(other, scored, tmp_path):
    with pytest.raises(DataError, match="no such key; finish the export"):
        import_scores(tmp_path, scored, tmp_path / "out", OutsideFinder("flux"))
    torn = tmp_path / "key.parquet"
    torn.write_bytes((other.key / "key.parquet").read_bytes()[:-100])
    with pytest.raises(DataError, match="is torn or no key"):
        import_scores(other.cutouts.parent, scored, tmp_path / "out", OutsideFinder("flux"), key=torn)


@pytest.mark.usefixtures("no_figures")
def test_the_commands(cli, tmp_path):
    """People who find every lens, then people who see none in one orientation: exit code by --fail-on."""

    def invoke(*words):
        return cli("probe", *words, code=None)

    words = ("export", "--out", tmp_path / "e", "--key", tmp_path / "k", "--n", 10, "--probe", "orientation")
    shown = invoke(*words, "--bands", "VIS", "--format", "single")
    assert shown.exit_code == 0
    assert "80 cutouts of 1 probes" in shown.stdout
    assert "about 80 cutouts in VIS" in shown.stderr
    back = ("import-scores", tmp_path / "e", tmp_path / "people.csv", "--key", tmp_path / "k", "--fail-on", "bias")
    arms = {row["id"]: row["arm"] for row in pq.read_table(tmp_path / "k" / "key.parquet").to_pylist()}
    assert sorted(arms) == [row["id"] for row in manifest(tmp_path / "e" / "cutouts")]

    write_scores(tmp_path / "people.csv", dict.fromkeys(arms, 1))
    fair = invoke(*back, "--out", tmp_path / "fair", "--json")
    assert fair.exit_code == 0
    assert json.loads(fair.stdout)["finder"]["name"] == "people"

    write_scores(tmp_path / "people.csv", {name: int(arm != 5) for name, arm in arms.items()})
    biased = invoke(*back, "--out", tmp_path / "biased", "--name", "three-inspectors")
    assert biased.exit_code == 1
    assert "bias" in biased.stdout
    page = (tmp_path / "biased" / "audit.md").read_text()
    assert page.startswith("# Probes of three-inspectors")
    assert "in orientation 5, recall falls from 1.00 to 0.00 (n = 10 pairs)" in page

    csv = tmp_path / "people.csv"
    with pytest.raises(UsageError, match="--fail-on"):
        invoke("import-scores", tmp_path / "e", csv, "--out", tmp_path / "audit", "--fail-on", "anything")
    with pytest.raises(UsageError, match="has no band 'K'"):
        invoke("export", "--out", tmp_path / "f", "--n", 3, "--bands", "VIS,K")
    refused = invoke("export", "--out", tmp_path / "f", "--n", 3, "--format", "jpeg")
    assert refused.exit_code == 2
    assert "'jpeg' is not one of 'multi', 'single'" in refused.stderr
