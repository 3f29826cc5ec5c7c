"""A finder whose score has no gradient, through every command: what applies is done, what does not says so."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from lensaudit.errors import DataError, UsageError
from lensaudit.explaining import (
    ClassTarget,
    JudgeSettings,
    applicable_methods,
    dream,
    explain,
    judge,
    noise_start,
    paper_settings,
)
from lensaudit.finders import Finder, declare_finder
from lensaudit.report import AuditOptions, build_audit, render_report

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # SkyPy 0.5 calls a deprecated part of astropy when it is first imported
    import skypy  # noqa: F401


MODULE = '''
import torch
from torch import nn
from lensaudit.finders import declare_finder


class Steps(nn.Module):
    """The mean of the middle in steps; leaves torch, as a foreign pipeline would."""

    differentiable = False

    def forward(self, images):
        bright = images[:, :, 6:14, 6:14].double().numpy().mean(axis=(1, 2, 3))
        return torch.from_numpy((bright * 40).round() - 8).float()[:, None]


def finder():
    return declare_finder(Steps(), bands=("J", "VIS"), size=20, name="steps")
'''
LINE = "does not apply to finder steps, whose score has no gradient; use occlusion, kernels, probe or selection"


class Steps(nn.Module):
    differentiable = False

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        bright = images[:, :, 6:14, 6:14].double().numpy().mean(axis=(1, 2, 3))
        return torch.from_numpy((bright * 40).round() - 8).float()[:, None]


@pytest.fixture
def finder() -> Finder:
    return declare_finder(Steps(), bands=("J", "VIS"), size=20, name="steps")


@pytest.fixture
def run(cli, tmp_path, monkeypatch):
    """Command line → its result, with ``steps_module:finder`` in the working folder."""
    (tmp_path / "steps_module.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    return lambda *words: cli(*words, code=None, catch=True)


def test_explain_makes_the_maps_that_apply(run, lens_set):
    told = run("explain", "steps_module:finder", lens_set.path, "--first", 1, "--out", "maps", "--json")
    assert told.exit_code == 0
    assert "finder steps has no gradient, so these do not apply: saliency, input-x-gradient" in told.stderr
    facts = json.loads(told.stdout)
    assert facts["methods"] == ["occlusion"]
    assert facts["systems"][0]["failed"] == {}
    named = run("explain", "steps_module:finder", lens_set.path, "--first", 1, "--out", "m", "--method", "saliency")
    assert isinstance(named.exception, UsageError)
    assert str(named.exception).startswith(f"Gradient {LINE}")


def test_gradcam_and_dream_say_that_they_do_not_apply(run, finder, lens_set):
    told = run("gradcam", "steps_module:finder", lens_set.path, "--first", 1, "--out", "g")
    assert isinstance(told.exception, UsageError)  # exit code 2
    assert str(told.exception).startswith(f"Grad-CAM {LINE}")
    assert isinstance(run("dream", "steps_module:finder", "--out", "d").exception, UsageError)
    assert not Path("g").exists()
    settings = paper_settings(kernels=False, from_cutout=False)
    with pytest.raises(UsageError, match=f"dream {LINE}"):
        dream(finder, [ClassTarget(True)], noise_start(finder, 0), settings)


def test_occlusion_and_selection_need_no_gradient(run, lens_set):
    told = run("occlusion", "steps_module:finder", lens_set.path, "--first", 1, "--out", "o", "--json")
    assert told.exit_code == 0, told.output
    told = run("selection", "steps_module:finder", lens_set.path, "--out", "s")
    assert told.exit_code == 0, told.output
    kernels = run("kernels", "steps_module:finder", lens_set.path, "--out", "k")
    assert "Steps has no convolution" in str(kernels.exception)


def test_explain_itself_refuses_and_occlusion_agrees_with_plain_calls(finder, lens_set):
    cutouts = lens_set.cutouts([0])
    assert applicable_methods(finder) == ("occlusion",)
    for method in ("saliency", "gradcam", "guided-backprop"):
        with pytest.raises(DataError, match=LINE):
            explain(finder, cutouts, method)
    found = explain(finder, cutouts, "occlusion")
    image = finder.preprocess(cutouts)
    hidden = image.clone()
    hidden[:, :, 10, 9] = 0
    plain = torch.sigmoid(finder.logit(image)) - torch.sigmoid(finder.logit(hidden))
    assert found.maps[0, 10, 9] == pytest.approx(float(plain), abs=1e-7)  # float32
    assert np.abs(found.maps).max() > 0


def test_judge_scores_the_methods_that_apply(run, finder, lens_set, tmp_path):
    told = run("judge", "steps_module:finder", lens_set.path, "--out", "j", "--per-kind", 1, "--with", "localisation")
    assert told.exit_code == 0, told.output
    assert "do not apply: saliency" in told.stderr
    settings = JudgeSettings(methods=("gradcam", "occlusion"), parts=("localisation",), per_kind=1)
    found = judge(finder, [lens_set], tmp_path / "direct", settings)
    assert list(found.failed) == ["gradcam"]
    assert LINE in found.failed["gradcam"]
    assert found.row("occlusion", "single", "positive-share") is not None


def test_the_report_leaves_them_out_and_says_so(finder, lens_set, tmp_path):
    options = AuditOptions(seed=3, occlusion_n=1, judge_n=1, probe_n=2, probes=("red-source",))
    audit = build_audit(finder, lens_set, tmp_path / "audit", options)
    assert audit.finder.differentiable is False
    assert audit.dreams is None
    assert [method.name for method in audit.maps.methods] == ["occlusion"]
    assert {row.method for row in audit.judged.rows if not row.baseline} == {"occlusion"}
    assert audit.judged.checks == ()
    assert audit.probes.left_out
    missing = {one.what: one.why for one in audit.not_measured}
    assert "no gradient" in missing["Gradients, Grad-CAM, DeepLIFT, class images and Deep Dreams"]
    page = render_report(tmp_path / "audit")
    assert "no gradient" in Path(page).read_text(encoding="utf-8")
