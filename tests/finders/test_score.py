"""Scoring a set from disk."""

import json

import numpy as np
import pytest
import torch

from lensaudit.errors import DataError, MachineError, UsageError
from lensaudit.finders import Finder, declare_finder, read_scores, score_set, write_scores
from lensaudit.finders.score import default_batch_size


def test_scores_are_the_finders_own_in_the_order_of_the_set(make_finder, make_cutouts, make_set):
    finder, cutouts = make_finder("ou66"), make_cutouts(11)
    scores = score_set(finder, make_set("s", cutouts), batch_size=4)
    assert scores.ids == tuple(f"noise-{i:04d}" for i in range(11))
    assert set(scores.status) == {"ok"}
    with torch.inference_mode():
        one_by_one = [
            finder.logit(finder.preprocess({band: images[i : i + 1] for band, images in cutouts.items()})).item()
            for i in range(11)
        ]
    # float32 rounding of another batch size
    np.testing.assert_allclose(scores.logit, one_by_one, rtol=0, atol=1e-5)
    np.testing.assert_allclose(scores.p_lens, 1 / (1 + np.exp(-scores.logit)), rtol=1e-12, atol=0)
    assert np.unique(scores.logit).size == 11


@pytest.mark.parametrize("name", ["ou66", "ou-vis"])
def test_a_score_does_not_depend_on_its_neighbours(name, make_finder, make_cutouts, make_set):
    finder, cutouts, others = make_finder(name), make_cutouts(7), make_cutouts(7, seed=77)
    mixed = {band: images.copy() for band, images in others.items()}
    for band, images in cutouts.items():
        mixed[band][2] = images[2]
        mixed[band][5] = images[5]
        mixed[band][3] = np.nan
    plain = score_set(finder, make_set("plain", cutouts), batch_size=4)
    among_others = score_set(finder, make_set("mixed", mixed), batch_size=4)
    assert plain.logit[2] == among_others.logit[2]
    assert plain.logit[5] == among_others.logit[5]
    assert plain.logit[1] != among_others.logit[1]


def test_a_score_does_not_depend_on_the_length_of_the_set(make_finder, make_cutouts, make_set):
    finder, cutouts = make_finder("ou66"), make_cutouts(6)
    whole = score_set(finder, make_set("whole", cutouts), batch_size=4)
    short = score_set(finder, make_set("short", {b: c[:5] for b, c in cutouts.items()}), batch_size=4)
    assert np.array_equal(whole.logit[:5], short.logit)


def test_a_score_does_not_depend_on_the_order_of_the_set(make_finder, make_cutouts, make_set):
    finder, cutouts = make_finder("ou66"), make_cutouts(6)
    forwards = score_set(finder, make_set("forwards", cutouts), batch_size=4)
    backwards = score_set(finder, make_set("backwards", {b: c[::-1] for b, c in cutouts.items()}), batch_size=4)
    # float32 rounding: another place in the batch may be another lane of the matrix product
    np.testing.assert_allclose(backwards.p_lens[::-1], forwards.p_lens, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["ou66", "ou-vis"])
def test_scores_agree_across_batch_sizes(name, make_finder, make_cutouts, make_set):
    finder, lens_set = make_finder(name), make_set("s", make_cutouts(6))
    reference = score_set(finder, lens_set, batch_size=1)
    for batch_size in (2, 5, None):
        other = score_set(finder, lens_set, batch_size=batch_size)
        # float32 rounding: sums of at most 1250 products in another order
        np.testing.assert_allclose(other.p_lens, reference.p_lens, rtol=0, atol=1e-6)


def test_what_cannot_be_scored_is_nan_with_its_reason(make_finder, make_cutouts, make_set):
    finder, cutouts = make_finder("ou66"), make_cutouts(5)
    cutouts["VIS"][1, :3, 0] = np.nan
    cutouts["J"][3] = 4.2
    scores = score_set(finder, make_set("s", cutouts), batch_size=2)
    assert scores.failed == {"noise-0001": "VIS has 3 of 40000 pixels not finite", "noise-0003": "J is constant"}
    assert np.flatnonzero(np.isnan(scores.p_lens)).tolist() == [1, 3]
    assert np.flatnonzero(np.isnan(scores.logit)).tolist() == [1, 3]


def test_a_bad_band_the_finder_does_not_use_is_no_matter(make_finder, make_cutouts, make_set):
    cutouts = make_cutouts(2)
    cutouts["VIS"][:] = np.nan
    assert not score_set(make_finder("ou-h"), make_set("s", cutouts)).failed


def test_a_module_that_returns_nan_is_named(make_cutouts, make_set):
    class Overflow(torch.nn.Module):
        def forward(self, images):
            return images.flatten(1).sum(1) * torch.inf * 0

    finder = declare_finder(Overflow(), ["H"], 66)
    scores = score_set(finder, make_set("s", make_cutouts(2)))
    assert scores.status == ("the module returned nan",) * 2


def test_a_foreign_module_gets_contiguous_input(make_cutouts, make_set):
    class Views(torch.nn.Module):
        def forward(self, images):
            return images.view(len(images), -1).mean(1)

    scores = score_set(declare_finder(Views(), ["J", "VIS"], 66), make_set("s", make_cutouts(3)))
    assert np.isfinite(scores.logit).all()


def test_progress_reaches_the_whole(make_finder, make_cutouts, make_set):
    seen = []
    score_set(make_finder("ou-h"), make_set("s", make_cutouts(5)), batch_size=2, progress=lambda *a: seen.append(a))
    assert seen == [(2, 5), (4, 5), (5, 5)]


def test_a_set_that_does_not_fit_is_refused_before_reading(make_finder, make_cutouts, make_set):
    with pytest.raises(DataError, match="needs band J"):
        score_set(make_finder("ou66"), make_set("s", {"VIS": make_cutouts(1)["VIS"]}))
    with pytest.raises(UsageError, match="--batch 0"):
        score_set(make_finder("ou-h"), make_set("t", make_cutouts(1)), batch_size=0)


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_running_out_of_memory_is_one_line(error, make_finder, make_cutouts, make_set, monkeypatch):
    def hungry(*_):
        raise error

    monkeypatch.setattr(Finder, "logit", hungry)
    with pytest.raises(MachineError, match="with 3 images at a time; use a smaller --batch"):
        score_set(make_finder("ou-h"), make_set("s", make_cutouts(2)), batch_size=3)


def test_default_batches_are_small_on_the_cpu(make_finder):
    assert default_batch_size(make_finder("ou66")) == 16
    assert default_batch_size(make_finder("ou200")) == 4


def test_scores_survive_the_disk(make_finder, make_cutouts, make_set, tmp_path):
    cutouts = make_cutouts(3)
    cutouts["H"][1] = 0
    scores = score_set(make_finder("ou-h"), make_set("s", cutouts))
    write_scores(scores, tmp_path / "scores.parquet", {"finder": "ou-h"})
    again, record = read_scores(tmp_path / "scores.parquet")
    assert record.to_json() == {"finder": "ou-h"}
    assert (again.ids, again.status) == (scores.ids, scores.status)
    np.testing.assert_array_equal(again.p_lens, scores.p_lens)
    np.testing.assert_array_equal(again.logit, scores.logit)


@pytest.mark.parametrize(("content", "said"), [(b"", "is empty"), (b"PAR1 no", "cannot be read as Parquet")])
def test_a_torn_file_of_scores_is_named(content, said, tmp_path):
    (tmp_path / "s.parquet").write_bytes(content)
    with pytest.raises(DataError, match=rf"s\.parquet: {said}"):
        read_scores(tmp_path / "s.parquet")
    with pytest.raises(DataError, match="no such file"):
        read_scores(tmp_path / "none.parquet")


def test_score_command(saved_ou66, make_cutouts, make_set, tmp_path, lensaudit):
    cutouts = make_cutouts(4)
    cutouts["VIS"][2] = 0
    make_set("s", cutouts)
    out = tmp_path / "new" / "scores.parquet"
    code, printed, err = lensaudit("score", saved_ou66, tmp_path / "s", "--out", out, "--batch", 3, "--device", "cpu")
    assert code == 0
    assert "3 of 4 images scored with ou66" in printed
    assert "1 not scored (NaN, see column status), first noise-0002: VIS is constant" in err
    scores, record = read_scores(out)
    assert scores.failed.keys() == {"noise-0002"}
    assert set(record.provenance.inputs) == {"finder", "set"}
    code, printed, _ = lensaudit("score", saved_ou66, tmp_path / "s", "--out", out, "--json")
    assert json.loads(printed)["n_failed"] == 1


def test_score_command_fails_where_nothing_could_be_scored(saved_ou66, make_cutouts, make_set, tmp_path, lensaudit):
    cutouts = make_cutouts(2)
    cutouts["VIS"][:] = np.nan
    make_set("s", cutouts)
    code, _, err = lensaudit("score", saved_ou66, tmp_path / "s", "--out", tmp_path / "scores.parquet")
    assert code == 3
    assert "none of 2 images could be scored" in err
    assert (tmp_path / "scores.parquet").is_file()


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("nofinder", "{set}"), 2, "finder 'nofinder' is not known"),
        (("{finder}", "{set}/nowhere"), 2, "no such lens set"),
        (("{finder}", "{set}", "--device", "gpu"), 2, "allowed: auto, cpu, cuda"),
        (("{finder}", "{set}", "--batch", "0"), 2, "--batch"),
        (("{finder}", "{set}", "--out", "{set}"), 2, "holds something else; give another --out"),
        (("{finder}", "{vis}"), 3, "needs band J"),
    ],
)
def test_mistakes_get_one_line_and_a_code(words, code, says, saved_ou66, make_cutouts, make_set, tmp_path, lensaudit):
    cutouts = make_cutouts(1)
    make_set("s", cutouts)
    make_set("vis", {"VIS": cutouts["VIS"]})
    places = {"finder": saved_ou66, "set": tmp_path / "s", "vis": tmp_path / "vis"}
    out = () if "--out" in words else ("--out", tmp_path / "scores.parquet")
    got, _, err = lensaudit("score", *[word.format(**places) for word in words], *out)
    assert got == code
    assert says in err
    assert "Traceback" not in err
    assert not (tmp_path / "scores.parquet").exists()
