"""A committee of files of other programs and of finders with steps: what its members say alone, and it moves whole."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from network_files import declaration, small_network, write_onnx, write_program
from scipy.special import expit
from torch import nn

from lensaudit.ensembles import CommitteePlan, committee_of, fit_committee
from lensaudit.ensembles.fit import assembled
from lensaudit.errors import DataError, UsageError
from lensaudit.finders import declare_finder, load_finder, save_finder, score_set
from lensaudit.finders.load import describe

from .conftest import make_member

FIELD = {"field_of_view_arcsec": 2.05}
STEPS = [{"step": "crop", "fraction": 0.8}, "resize", {"step": "minmax"}, {"step": "asinh", "a": 0.2}]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list[str]:
    """YAMLs of an ONNX file with steps and weights beside it, and of a program that gives a probability."""
    pytest.importorskip("onnxruntime", reason="is not installed: make install")
    folder = tmp_path_factory.mktemp("files")
    (folder / "deep").mkdir()
    write_onnx(small_network(), folder / "deep" / "net.onnx", external="net.data")
    program = write_program(nn.Sequential(*small_network(1), nn.Sigmoid()).eval(), folder / "net.pt2")
    onnx = declaration(folder / "deep" / "net.onnx", "onnx", preprocessing=STEPS, threshold=0.6, **FIELD)
    moved = folder / "onnx.yaml"
    moved.write_text(Path(onnx).read_text().replace("file: net.onnx", "file: deep/net.onnx"))
    return [str(moved), declaration(program, "program", outputs="probability", stretch="sqrt-minmax", **FIELD)]


@pytest.fixture
def trio(files) -> list:
    return [*map(load_finder, files), make_member("steps", ("VIS", "H"), 3, preprocessing=STEPS)]


@pytest.mark.parametrize("kind", ["mean", "median", "stack"])
def test_it_is_what_numpy_makes_of_its_members_and_moves_with_their_files(kind, trio, training, tmp_path):
    fit_committee(trio, tmp_path / "c", CommitteePlan(kind), (training, training))
    shutil.move(tmp_path / "c", tmp_path / "moved")
    finder = load_finder(str(tmp_path / "moved"))
    each = np.stack([score_set(one, training).logit for one in trio], axis=1)
    assert np.ptp(each, axis=0).min() > 1e-3  # so that a wrong member would be seen
    scores = score_set(finder, training)
    weights = finder.module.weights.numpy().astype(float) if kind == "stack" else np.full(3, 1 / 3)
    bias = float(finder.module.bias) if kind == "stack" else 0.0
    wanted = np.median(each, axis=1) if kind == "median" else each @ weights + bias
    # members of different inputs resize pixels that were resized before
    np.testing.assert_allclose(scores.logit, wanted, rtol=0, atol=1e-4 * max(1, np.abs(weights).sum()))
    np.testing.assert_allclose(scores.members.disagreement, each.std(axis=1), rtol=0, atol=1e-4)  # as above
    np.testing.assert_array_equal(scores.members.votes, (expit(each) >= [0.6, 0.5, 0.5]).mean(axis=1))
    assert finder.parameters == sum(one.parameters for one in trio)
    card = (tmp_path / "moved" / "card.md").read_text(encoding="utf-8")
    assert "the file deep/net.onnx" in card
    assert "asinh a=0.2" in card


def test_members_that_share_their_steps_share_one_input(training, tmp_path, files):
    onnx = load_finder(files[0])
    twice = fit_committee([onnx, onnx], tmp_path / "c", CommitteePlan()).finder
    assert twice.recipe.preprocessing == onnx.recipe.preprocessing
    np.testing.assert_array_equal(score_set(twice, training).logit, score_set(onnx, training).logit)


def test_gradients_are_those_of_the_files_or_one_line_says_whose_are_missing(training, files):
    program, onnx = load_finder(files[1]), load_finder(files[0])
    finder = committee_of([program, program], CommitteePlan())
    assert finder.differentiable
    images = [finder.preprocess(training.cutouts(slice(2))).requires_grad_() for _ in range(2)]
    for one, image in zip((finder, program), images, strict=True):
        one.logit(image).sum().backward()
    torch.testing.assert_close(images[0].grad, images[1].grad)
    mixed = committee_of([program, onnx], CommitteePlan(), training)
    assert not mixed.differentiable
    assert mixed.module.way_to_gradients == "of member onnx say gradients: onnx2torch in its YAML"


def test_other_steps_of_a_member_or_another_file_are_another_committee(trio, training):
    hashes = set()
    for change in (0.2, 0.3):
        steps = [*STEPS[:3], {"step": "asinh", "a": change}]
        one = make_member("steps", ("VIS", "H"), 3, preprocessing=steps)
        hashes.add(committee_of([*trio[:2], one], CommitteePlan(), training).weights_hash)
    hashes.add(committee_of([trio[0], trio[0], trio[2]], CommitteePlan(), training).weights_hash)
    assert len(hashes) == 3


def test_a_folder_without_its_files_or_with_others_is_refused_in_one_line(trio, training, tmp_path):
    fit_committee(trio[:2], tmp_path / "c", CommitteePlan(), (training, None))
    yaml = tmp_path / "c" / "members" / "onnx" / "member.yaml"
    words = yaml.read_text()
    yaml.write_text(words.replace("threshold: 0.6", "threshold: 0.4"))
    with pytest.raises(DataError, match="is not the one that the committee was made of; restore"):
        load_finder(str(tmp_path / "c"))
    yaml.unlink()
    with pytest.raises(DataError, match=r"member.yaml: is missing; restore"):
        load_finder(str(tmp_path / "c"))
    yaml.write_text(words)
    other = nn.Sequential(*small_network(1), nn.Sigmoid()).eval()
    nn.init.ones_(other[0].bias)
    write_program(other, tmp_path / "c" / "members" / "program" / "net.pt2")
    with pytest.raises(DataError, match="is not the one that the committee was made of; restore"):
        load_finder(str(tmp_path / "c"))


def test_it_is_copied_calibrated_and_described(trio, training, tmp_path, lensaudit, files):
    finder = fit_committee(trio[:2], tmp_path / "c", CommitteePlan(), (training, None)).finder
    save_finder(finder, tmp_path / "again", origin="test")
    save_finder(finder, tmp_path / "c", origin="test")  # onto itself
    for folder in ("again", "c"):
        assert load_finder(str(tmp_path / folder)).weights_hash == finder.weights_hash
    assert describe(str(tmp_path / "again")).recipe.members[0].architecture == "custom"
    out = tmp_path / "by-command"
    done = lensaudit("ensemble", *files, "--kind", "median", "--data", training.path, "--out", out)
    assert done.code == 0, done.err
    assert lensaudit("score", out, training.path, "--out", tmp_path / "s.csv").code == 0
    assert "disagreement" in (tmp_path / "s.csv").read_text().splitlines()[0]
    shown = lensaudit("models", "show", out, "--json")
    assert len(json.loads(shown.out)["recipe"]["members"]) == 2


def test_on_a_map_steps_are_members_and_files_are_not(trio, members, training):
    finder = assembled("map", [trio[2], members[1]], training)
    found = finder.module.scores(finder.preprocess(training.cutouts(slice(4))))[:, 0].detach().numpy()
    np.testing.assert_allclose(found, score_set(trio[2], training).p_lens[:4], rtol=0, atol=2e-5)  # five decimals
    with pytest.raises(UsageError, match="a map needs; take --kind mean, median or stack"):
        assembled("map", [trio[0], members[1]], training)


def test_code_of_the_user_is_no_member(trio, training):
    own = declare_finder(nn.Sequential(nn.Flatten(), nn.Linear(512, 1)), ("VIS", "H"), 16, field_of_view_arcsec=2.05)
    with pytest.raises(UsageError, match="is your own code, which is not kept in a folder; export it"):
        committee_of([own, trio[0]], CommitteePlan(), training)
