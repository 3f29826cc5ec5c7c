"""``lensaudit judge`` from words to files."""

from __future__ import annotations

import json

import pytest


@pytest.fixture(scope="module")
def words(mixed_set, rings_set):
    """A quick judgement of a small finder."""
    few = ("--method", "saliency", "--method", "guided-backprop", "--per-kind", 2, "--few", 1, "--check-images", 3)
    return ("judge", "judging_toys:wide", mixed_set.path, rings_set.path, *few)


def test_tables_verdicts_and_files(words, lensaudit, tmp_path):
    words = (*words, "--out", tmp_path, "--with", "localisation,randomisation,compound")
    code, out, error = lensaudit(*words, "--threads", 1)
    assert code == 0
    for kind in ("single", "compound-rings"):
        assert f"small: {kind}" in out
    assert "chance" in out
    assert "centre-blob" in out
    assert "Gradient: " in out
    assert "small on compound-rings: inconclusive (" in out
    assert "about " in error
    assert {path.name for path in tmp_path.iterdir()} >= {
        "explanation-scores.parquet", "explanation-scores.json", "explanation-scores.md", "explanation-scores.png",
        "judge.html",
    }  # fmt: skip

    code, out, _ = lensaudit(*words, "--json")
    record = json.loads(out)
    assert code == 0
    written = json.loads((tmp_path / "explanation-scores.json").read_text(encoding="utf-8"))
    assert record == {name: value for name, value in written.items() if name != "digest"}
    assert {row["method"] for row in record["rows"]} == {"saliency", "guided-backprop", "centre-blob", "edges"}


def test_tables_fit_the_terminal(words, lensaudit, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = lensaudit(*words, "--out", tmp_path, "--with", "localisation,deletion,insertion")
    assert code == 0
    assert max(len(line.rstrip()) for line in out.splitlines() if "explanation-scores" not in line) <= 80
    assert "…" not in out


@pytest.mark.parametrize(
    ("wrong", "code", "message"),
    [
        (("--method", "magic"), 2, "method 'magic' is not known; allowed: saliency"),
        (("--with", "beauty"), 2, "score 'beauty' is not known; allowed: localisation"),
        (("--fill", "grey"), 2, "'grey' is not known; allowed: zero, blur"),
        (("--per-kind", "0"), 2, "--per-kind 0 is not possible"),
        (("--check-images", "2"), 2, "--check-images 2 is not possible; choose 3 or more"),
        (("--field-of-view", "30"), 3, "finder small needs 30″"),
        (("--device", "abacus"), 2, "abacus"),
    ],
)
def test_mistakes_get_one_line(wrong, code, message, words, lensaudit, tmp_path):
    found, out, error = lensaudit(*words, *wrong, "--out", tmp_path / "scores")
    assert (found, out) == (code, "")
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "scores").exists()


def test_a_place_that_cannot_be_written_is_told_before_the_work(words, lensaudit, tmp_path):
    (tmp_path / "file").write_text("x")
    code, _, error = lensaudit(*words, "--out", tmp_path / "file")
    assert code == 2
    assert "choose another --out" in error
    code, _, error = lensaudit("judge", "judging_toys:wide", tmp_path / "none", "--out", tmp_path / "scores")
    assert code == 2
    assert "no such lens set" in error
