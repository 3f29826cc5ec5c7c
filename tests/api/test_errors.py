"""Every mistake that can be made through the front door: a builtin error of one line that speaks of arguments."""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from astropy.io import fits
from torch import nn

import lensaudit as la
from lensaudit.api.calling import ARGUMENTS, in_python

OPTION = re.compile(r"--[a-z]")
NO_FUNCTION = re.compile(r"lensaudit (cluster|ensemble|models import) [^;,]*")
"""Commands that are none of the twenty names."""


class Place(NamedTuple):
    """What mistakes are made with."""

    set: la.LensSet
    folder: Path
    net: nn.Module


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A set of twelve systems, a folder that holds something else, two cutouts, and a net of 40 × 40 pixels."""
    folder = tmp_path_factory.mktemp("mistakes")
    (folder / "other").mkdir()
    (folder / "other" / "notes.txt").write_text("mine")
    for name in "ab":
        pixels = np.random.default_rng(1).normal(size=(40, 40)).astype("float32")
        fits.writeto(folder / f"{name}_vis.fits", pixels)
    (folder / "nan").mkdir()
    fits.writeto(folder / "nan" / "a_vis.fits", np.full((40, 40), np.nan, "float32"))
    (folder / "audit").mkdir()
    (folder / "audit" / "audit.json").write_text(json.dumps({"schema": 1}))
    net = nn.Sequential(nn.Flatten(), nn.Linear(1600, 1))
    return Place(la.simulate("euclid", n=12, seed=7, out=folder / "set"), folder, net)


VIS = {"VIS": "*_vis.fits"}
Mistake = Callable[[Place], object]

# what is done → (the builtin error it is too, what the line is about)
MISTAKES: dict[str, tuple[Mistake, type[Exception], str]] = {
    "simulate: instrument": (lambda at: la.simulate("hubble"), ValueError, "instrument.*hubble"),
    "simulate: n": (lambda at: la.simulate(n=0), ValueError, "^n .*0"),
    "simulate: seed": (lambda at: la.simulate(seed=-1), ValueError, "^seed .*-1"),
    "simulate: population": (lambda at: la.simulate(population="quads"), ValueError, "population.*quads"),
    "simulate: redden": (lambda at: la.simulate(redden=(1, 0)), ValueError, "^redden .*two strengths"),
    "simulate: redden of one": (lambda at: la.simulate(redden=(1,)), ValueError, "^redden .*two strengths"),
    "simulate: workers": (lambda at: la.simulate(n=2, workers=0), ValueError, "workers.*0"),
    "simulate: out": (lambda at: la.simulate(n=2, out=at.folder / "other"), ValueError, "another out"),
    "simulate: another set": (lambda at: la.simulate(n=3, out=at.folder / "set"), ValueError, "another out"),
    "inject: no PSF": (
        lambda at: la.inject(la.ingest(at.folder, VIS, pixel_scale={"*": 0.1})),
        ValueError,
        "psf={'VIS': FILE}",
    ),
    "cut: side": (lambda at: la.cut(at.set, 4), ValueError, "^side .*4"),
    "cut: a table": (lambda at: la.cut(at.set, 40, exclude="gone.csv"), FileNotFoundError, "gone.csv"),
    "cut: a band": (lambda at: la.cut(at.set, 40, detect_in="z"), ValueError, "^detect_in.*z"),
    "inject: n": (lambda at: la.inject(at.set, 0), ValueError, "^n .*0"),
    "inject: sources": (lambda at: la.inject(at.set, sources="gone", psf={"*": "x"}), ValueError, "sources gone|x: "),
    "inject: a column": (lambda at: la.inject(at.set, sigma_v="gone"), ValueError, "sigma_v.*gone"),
    "inject: arms": (lambda at: la.inject(at.set, arms=["other"]), ValueError, "arms.*other"),
    "ingest: no folder": (lambda at: la.ingest(at.folder / "gone", VIS), FileNotFoundError, "gone"),
    "ingest: layout": (lambda at: la.ingest(at.folder, VIS, layout="zip"), ValueError, "layout.*zip"),
    "ingest: bands": (lambda at: la.ingest(at.folder, ["VIS"]), ValueError, "bands.*VIS"),
    "ingest: no bands": (lambda at: la.ingest(at.folder, {}), ValueError, "bands"),
    "ingest: pattern": (lambda at: la.ingest(at.folder, {"VIS": "*.tiff"}), ValueError, "bands"),
    "ingest: no scale": (lambda at: la.ingest(at.folder, VIS), ValueError, "pixel_scale={'VIS': ARCSEC}"),
    "ingest: scale": (lambda at: la.ingest(at.folder, VIS, pixel_scale={"*": -1.0}), ValueError, "pixel_scale.*-1"),
    "ingest: psf": (lambda at: la.ingest(at.folder, VIS, psf={"J": "*.fits"}), ValueError, "^psf: 'J'"),
    "ingest: electrons": (
        lambda at: la.ingest(at.folder, VIS, electrons_per_unit={"VIS": 0.0}),
        ValueError,
        "^electrons_per_unit of band VIS",
    ),
    "ingest: filters": (lambda at: la.ingest(at.folder, VIS, filters={"VIS": "x"}), ValueError, "^filters=.*speclite"),
    "ingest: npz": (lambda at: la.ingest(at.folder, layout="npz"), ValueError, "holds no .npz file"),
    "ingest: label": (lambda at: la.ingest(at.folder, VIS, label="galaxy"), ValueError, "label.*galaxy"),
    "ingest: label rule": (lambda at: la.ingest(at.folder, layout="blf2", label_rule="none"), ValueError, "blf2|label"),
    "ingest: duplicate": (
        lambda at: la.ingest(at.folder, VIS, duplicate={"H": ["J"]}, pixel_scale={"*": 0.1}),
        ValueError, "duplicate.*H",
    ),
    "ingest: nan": (lambda at: la.ingest(at.folder, VIS, nan="drop"), ValueError, "nan.*drop"),
    "ingest: NaN pixels": (
        lambda at: la.ingest(at.folder / "nan", VIS, pixel_scale={"*": 0.1}), ValueError, "skip_bad=True|nan=",
    ),
    "ingest: masked": (
        lambda at: la.ingest(at.folder, VIS, masked="drop", masked_values=[-99.0]), ValueError, "masked.*drop",
    ),
    "ingest: two sizes": (
        lambda at: la.ingest(at.folder, VIS, size_arcsec=3, size_pixels={"*": 9}),
        ValueError, "size_arcsec.*size_pixels",
    ),
    "ingest: size": (
        lambda at: la.ingest(at.folder, VIS, pixel_scale={"*": 0.1}, size_arcsec=90.0), ValueError, "size_arcsec",
    ),
    "ingest: out": (
        lambda at: la.ingest(at.folder, VIS, pixel_scale={"*": 0.1}, out=at.folder / "other"),
        ValueError, "another out",
    ),
    "load_finder: name": (lambda at: la.load_finder("ou67"), ValueError, "ou67"),
    "load_finder: folder": (lambda at: la.load_finder(at.folder / "other"), ValueError, "other"),
    "load_finder: device": (lambda at: la.load_finder("ou66", device="tpu"), ValueError, "device.*tpu"),
    "load_finder: field": (lambda at: la.load_finder("ou66", field_of_view=-1.0), ValueError, "field of view -1"),
    "load_finder: no weights": (lambda at: la.load_finder("ou66-p4m"), ValueError, "la.train"),
    "load_finder: factory": (lambda at: la.load_finder("json:no_such"), ValueError, "no_such"),
    "declare_finder: bands": (lambda at: la.declare_finder(at.net, bands=(), size=40), ValueError, "band"),
    "declare_finder: size": (lambda at: la.declare_finder(at.net, bands=("VIS",), size=0), ValueError, "size"),
    "declare_finder: stretch": (
        lambda at: la.declare_finder(at.net, bands=("VIS",), size=40, stretch="log"), ValueError, "stretch.*log",
    ),
    "train: recipe": (lambda at: la.train("ou67", at.set), ValueError, "ou67"),
    "train: data": (lambda at: la.train("ou66", at.folder / "gone"), FileNotFoundError, "gone"),
    "train: no data": (lambda at: la.train("ou66", []), ValueError, "data: no lens set"),
    "train: epochs": (lambda at: la.train("ou66", at.set, epochs=0), ValueError, "epochs"),
    "train: learning rate": (lambda at: la.train("ou66", at.set, learning_rate=-1.0), ValueError, "learning_rate"),
    "train: device": (lambda at: la.train("ou66", at.set, device="tpu"), ValueError, "device.*tpu"),
    "train: body": (lambda at: la.train("ou66", at.set, body="frozen"), ValueError, "body.*pretrained"),
    "train: pretrained": (lambda at: la.train("ou66", at.set, pretrained="hub"), ValueError, "body.*pretrained"),
    "train: start": (lambda at: la.train("ou66", at.set, start="ou67", epochs=1), ValueError, "ou67"),
    "train: inputs": (lambda at: la.train("ou66", at.set, inputs="raw"), ValueError, "inputs.*raw"),
    "train: clustering": (lambda at: la.train("cae-bgm", at.set), ValueError, "lensaudit cluster"),
    "train: the same set": (
        lambda at: la.train("ou66", at.set, validation=at.set, epochs=1),
        ValueError, "data.*validation|validation.*data",
    ),
    "score: finder": (lambda at: la.score("ou67", at.set), ValueError, "ou67"),
    "score: data": (lambda at: la.score("ou66", at.folder / "gone"), FileNotFoundError, "gone"),
    "score: no set": (lambda at: la.score("ou66", at.folder / "other"), ValueError, "other"),
    "score: batch": (lambda at: la.score("ou66", at.set, batch_size=0), ValueError, "^batch_size=0"),
    "score: refit": (lambda at: la.score("ou66", at.set, refit=True), ValueError, "^refit=True"),
    "score: field": (
        lambda at: la.score(la.declare_finder(at.net, bands=("VIS",), size=40, field_of_view_arcsec=9.0), at.set),
        ValueError, r"la.ingest\(size_arcsec=9\)",
    ),
    "score: band": (
        lambda at: la.score(la.declare_finder(at.net, bands=("K",), size=40), at.set),
        ValueError, "band K",
    ),
    "evaluate: threshold": (lambda at: la.evaluate("ou66", at.set, threshold=2.0), ValueError, "threshold 2"),
    "evaluate: beta": (lambda at: la.evaluate("ou66", at.set, beta=-1.0), ValueError, "beta.*-1"),
    "evaluate: scores": (
        lambda at: la.evaluate("ou66", at.set, scores=la.score("ou66", la.simulate(n=2))), ValueError, "^scores",
    ),
    "selection_function: both": (
        lambda at: la.selection_function("ou66", at.set, threshold=0.5, fpr=0.1), ValueError, "threshold and fpr",
    ),
    "selection_function: fpr": (lambda at: la.selection_function("ou66", at.set, fpr=2.0), ValueError, "^fpr.*2"),
    "calibrate: method": (lambda at: la.calibrate("ou66", at.set, method="platt"), ValueError, "^method.*platt"),
    "calibrate: prevalence": (lambda at: la.calibrate("ou66", at.set, prevalence=1.0), ValueError, "^prevalence=1"),
    "calibrate: few": (lambda at: la.calibrate("ou66", at.set), ValueError, "at least 20"),
    "calibrate: weights": (lambda at: la.calibrate("ou66", at.set, weights="no"), ValueError, "weights no.*no such"),
    "explain: method": (lambda at: la.explain("ou66", at.set, method="shap"), ValueError, "method.*shap"),
    "explain: id": (lambda at: la.explain("ou66", at.set, "no-such"), ValueError, "no-such"),
    "explain: position": (lambda at: la.explain("ou66", at.set, 12), ValueError, "position 12"),
    "explain: none": (lambda at: la.explain("ou66", at.set, []), ValueError, "^ids"),
    "explain: cutouts": (lambda at: la.explain("ou66", {"VIS": np.zeros((1, 9, 9))}), ValueError, "band"),
    "occlusion: patch": (lambda at: la.occlusion("ou66", at.set, patch=0), ValueError, "patch"),
    "occlusion: stride": (lambda at: la.occlusion("ou66", at.set, stride=99), ValueError, "stride"),
    "occlusion: engine": (lambda at: la.occlusion("ou66", at.set, engine="fast"), ValueError, "engine.*fast"),
    "kernels: top": (lambda at: la.kernels("ou66", at.set, top=0), ValueError, "^top.*0"),
    "kernels: batch": (lambda at: la.kernels("ou66", at.set, batch_size=0), ValueError, "batch_size=0"),
    "kernels: none": (
        lambda at: la.kernels(la.declare_finder(at.net, bands=("VIS",), size=40), at.set), ValueError, "convolution",
    ),
    "dream: target": (lambda at: la.dream("ou66", target="arc"), ValueError, "arc"),
    "dream: kernel": (lambda at: la.dream("ou66", target="13:400"), ValueError, "400"),
    "dream: no kernel": (lambda at: la.dream("ou66", target="a:b"), ValueError, "a"),
    "dream: steps": (lambda at: la.dream("ou66", steps=0), ValueError, "^steps.*0"),
    "dream: rate": (lambda at: la.dream("ou66", rate=0.0), ValueError, "^rate.*0"),
    "dream: seed": (lambda at: la.dream("ou66", seed=-1), ValueError, "seed.*-1"),
    "dream: decay": (lambda at: la.dream("ou66", decay=-1.0), ValueError, "^decay.*-1"),
    "dream: regularise": (lambda at: la.dream("ou66", regularise="blur"), ValueError, "^regularise.*blur"),
    "dream: optimiser": (lambda at: la.dream("ou66", optimiser="sgd"), ValueError, "sgd"),
    "judge: no set": (lambda at: la.judge("ou66", []), ValueError, "set"),
    "judge: method": (lambda at: la.judge("ou66", at.set, methods=["shap"]), ValueError, "shap"),
    "judge: part": (lambda at: la.judge("ou66", at.set, parts=["taste"]), ValueError, "taste"),
    "judge: per kind": (lambda at: la.judge("ou66", at.set, per_kind=0), ValueError, "per_kind|per kind"),
    "ensemble: one": (lambda at: la.ensemble(["ou66"]), ValueError, "^finders: an ensemble needs two"),
    "ensemble: name": (lambda at: la.ensemble(["ou66", "ou67"], at.set), ValueError, "ou67"),
    "ensemble: no data": (lambda at: la.ensemble(["ou66", "ou200"]), ValueError, "^kind tsne: needs data"),
    "ensemble: kind": (lambda at: la.ensemble(["ou66", "ou200"], kind="vote"), ValueError, "^kind vote"),
    "ensemble: inputs": (lambda at: la.ensemble(["ou66", "ou-vis"], kind="mean"), ValueError, "with data a lens set"),
    "ensemble: stack": (lambda at: la.ensemble(["ou66"] * 2, kind="stack"), ValueError, "^kind stack.*with data"),
    "ensemble: few": (lambda at: la.ensemble(["ou66"] * 2, at.set, kind="stack"), ValueError, "needs 20 of each"),
    "ensemble: cells": (lambda at: la.ensemble(["ou66"] * 2, at.set, cells=1), ValueError, "^cells=1"),
    "ensemble: of the map": (lambda at: la.ensemble(["ou66"] * 2, kind="mean", cells=9), ValueError, "^cells: is of"),
    "to_label: n": (lambda at: la.to_label("ou66", at.set, n=0), ValueError, "^n=0"),
    "to_label: more": (lambda at: la.to_label("ou66", at.set, n=99), ValueError, "^n=99: only 12"),
    "to_label: random": (lambda at: la.to_label("ou66", at.set, n=2, random=2.0), ValueError, "^random=2"),
    "to_label: gain": (lambda at: la.to_label("ou66", at.set, n=2, gain="information"), ValueError, "^gain info"),
    "to_label: other gain": (lambda at: la.to_label("ou66", at.set, n=2, gain="luck"), ValueError, "^gain luck"),
    "to_label: out": (lambda at: la.to_label("ou66", at.set, n=2, out="x.fits"), ValueError, "^out x.fits"),
    "to_label: scores": (lambda at: la.to_label("ou66", at.set, n=2, scores=[]), ValueError, "^scores: 0 are given"),
    "to_label: vectors": (
        lambda at: la.to_label("ou66", at.set, n=2, embedding=at.folder / "gone.npy"), FileNotFoundError, "gone",
    ),
    "realism: label": (lambda at: la.realism("ou66", at.set, at.set, label="galaxy"), ValueError, "^label='galaxy'"),
    "realism: seed": (lambda at: la.realism("ou66", at.set, at.set, seed=-1), ValueError, "^seed=-1"),
    "realism: one set": (lambda at: la.realism("ou66", at.set, at.set), ValueError, "as real and as simulated"),
    "realism: data": (lambda at: la.realism("ou66", at.folder / "gone", at.set), FileNotFoundError, "gone"),
    "embed: layer": (lambda at: la.embed("ou66", at.set, layer="x"), ValueError, "^finder ou66 has no layer x; its"),
    "embed: metric": (lambda at: la.embed("ou66", at.set, metric="angle"), ValueError, "^metric='angle'"),
    "embed: neighbours": (lambda at: la.embed("ou66", at.set, neighbours=-1), ValueError, "^neighbours=-1"),
    "embed: training": (lambda at: la.embed("ou66", at.set, training=at.folder / "gone"), FileNotFoundError, "gone"),
    "probe: name": (lambda at: la.probe("ou66", "blue-lens"), ValueError, "blue-lens"),
    "probe: file": (lambda at: la.probe("ou66", at.folder / "gone.yaml"), FileNotFoundError, "gone"),
    "probe: names": (lambda at: la.probe("ou66", ["blue-lens"]), ValueError, "blue-lens"),
    "probe: n": (lambda at: la.probe("ou66", "red-source", n=1), ValueError, "^n=1"),
    "probe: seed": (lambda at: la.probe("ou66", "red-source", seed=-1), ValueError, "^seed=-1"),
    "probe: tolerance": (lambda at: la.probe("ou66", "red-source", tolerance=2.0), ValueError, "^tolerance=2"),
    "probe: workers": (lambda at: la.probe("ou66", "red-source", workers=0), ValueError, "^workers=0"),
    "probe: stretch": (lambda at: la.probe("ou66", "red-source", stretch="log"), ValueError, "^stretch='log'"),
    "probe: mode": (lambda at: la.probe("ou66", "red-source", mode="fast"), ValueError, "^mode='fast'"),
    "probe: psf": (lambda at: la.probe("ou66", "red-source", psf="k.fits"), ValueError, "^psf"),
    "probe: no psf": (lambda at: la.probe("ou66", "psf-rotation-real"), ValueError, "psf"),
    "probe: data": (lambda at: la.probe("ou66", "compound", data=at.set, n=2), ValueError, "leave data out"),
    "probe: out": (
        lambda at: la.probe("ou66", "red-source", n=2, out=at.folder / "set/lensset.json"),
        ValueError, "out",
    ),
    "audit: data": (lambda at: la.audit("ou66", at.folder / "gone"), FileNotFoundError, "gone"),
    "audit: probes": (lambda at: la.audit("ou66", at.set, probes=["blue-lens"]), ValueError, "blue-lens"),
    "audit: seed": (lambda at: la.audit("ou66", at.set, seed=-1), ValueError, "^seed"),
    "audit: maps": (lambda at: la.audit("ou66", at.set, maps_n=-1), ValueError, "^maps_n"),
    "audit: batch": (lambda at: la.audit("ou66", at.set, batch_size=0), ValueError, "batch_size"),
    "audit: certificate": (
        lambda at: la.audit("ou66", at.set, certificate=at.folder / "gone.json"), FileNotFoundError, "^certificate",
    ),
    "audit: write": (lambda at: la.api.auditing.Audit(at.folder).write(at.folder), ValueError, "another folder"),
    "compare: twice": (lambda at: la.compare(["ou66", "ou66"], at.set), ValueError, "ou66 is given twice"),
    "compare: one set twice": (lambda at: la.compare(["ou66"], [at.set, at.set]), ValueError, "data"),
    "compare: no set": (lambda at: la.compare(["ou66"], []), ValueError, "data"),
    "compare: none": (lambda at: la.compare([], at.set), ValueError, "finder"),
    "compare: method": (lambda at: la.compare(["ou66"], at.set, methods=["shap"], judge_n=2), ValueError, "shap"),
    "compare: probes": (lambda at: la.compare(["ou66"], at.set, probes=["blue-lens"]), ValueError, "blue-lens"),
    "compare: n": (lambda at: la.compare(["ou66"], at.set, n=0), ValueError, "^n"),
    "compare: refit": (lambda at: la.compare(["ou66"], at.set, refit=True), ValueError, "^refit=True"),
    "render_report: no audit": (lambda at: la.render_report(at.folder / "gone"), FileNotFoundError, "gone"),
    "render_report: torn": (lambda at: la.render_report(at.folder / "audit"), ValueError, "audit.json"),
    "LensSet.open: gone": (lambda at: la.LensSet.open(at.folder / "gone"), FileNotFoundError, "gone"),
    "LensSet.open: other": (lambda at: la.LensSet.open(at.folder / "other"), ValueError, "other"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_a_builtin_error_of_one_line_that_speaks_of_arguments(name, place):
    make, kind, about = MISTAKES[name]
    with pytest.raises(kind) as caught:
        make(place)
    line = str(caught.value)
    assert re.search(about, line), line
    assert not OPTION.search(NO_FUNCTION.sub("", line)), line
    assert line.isprintable()
    assert type(caught.value).__module__ == "lensaudit.errors", repr(caught.value)


def test_all_names_have_their_mistakes():
    assert {name.split(":")[0].split(".")[0] for name in MISTAKES} == set(la.__all__)


ELSEWHERE = {
    "training/ablation.py", "training/cross_validation.py", "evaluation/visual_inspection.py", "report/quickstart.py",
    "probes/outside/export.py", "probes/outside/importing.py", "probes/outside/key.py", "probes/outside/plan.py",
    "explaining/explained_files.py", "explaining/layers.py", "explaining/kernels/kernel_files.py",
    "evaluation/audit_plan.py", "finders/score_parts.py", "finders/compiling.py",
}  # fmt: skip
"""Modules that only commands call: their options have no argument of the front door."""

COMMANDS_ALONE = {"brighten", "column", "dask", "fail_on", "layers", "scan", "threads"} | {
    "local_dir",
    "output",
    "saved_model",
}
"""Arguments no function has: what they say is said where a command alone comes along, or they are of tf2onnx and hf."""


def test_each_option_that_a_message_names_is_an_argument_of_the_front_door():
    """So that no advice names an argument which does not exist; commands to type stay commands."""
    package = Path(la.__file__).parent
    wrong = []
    for path in sorted(package.rglob("*.py")):
        name = str(path.relative_to(package))
        if name.split("/")[0] in {"cli", "api", "planted_bias", "clustering", "ensembles"} or name in ELSEWHERE:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        texts = (n for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str))
        for text in texts:
            for option in re.findall(r"(?<![\w-])--([a-z][a-z-]*)", text.value) if id(text) not in prose else ():
                argument = ARGUMENTS.get(option, option.replace("-", "_")).split("=")[0]
                if argument not in arguments() | COMMANDS_ALONE and not text.value.endswith(".json"):
                    wrong.append(f"{name}:{text.lineno}: --{option} becomes {argument}")
    assert not wrong, "\n".join(wrong)


def arguments() -> set[str]:
    """Of all functions of the front door, their keyword options included."""
    found = {name for one in la.__all__ if one != "LensSet" for name in inspect.signature(getattr(la, one)).parameters}
    for module in (
        "auditing",
        "calibrating",
        "embedding",
        "explaining",
        "finders",
        "hosts",
        "measuring",
        "retraining",
        "sets",
    ):
        for kind in vars(import_module(f"lensaudit.api.{module}")).values():
            found |= set(kind.__annotations__) if isinstance(kind, type) and issubclass(kind, dict) else set()
    return found


@pytest.mark.parametrize(
    ("told", "argued"),
    [
        ("use a smaller --batch", "use a smaller batch_size"),
        ("give --resample, or --field-of-view 14", "give resample=True, or field_of_view=14"),
        ("give --pixel-scale VIS=ARCSEC", "give pixel_scale={'VIS': ARCSEC}"),
        ("choose --nan zero", "choose nan='zero'"),
        ("add --restart to replace it", "add restart=True to replace it"),
        ("lensaudit ensemble a --data SET; leave --psf out", "lensaudit ensemble a --data SET; leave psf out"),
    ],
)
def test_options_become_arguments(told, argued):
    assert in_python(told) == argued


def test_systems_are_named_by_ids_and_whole_numbers_of_any_kind(place):
    finder = la.declare_finder(place.net, bands=("VIS",), size=40)
    for ids, n in ((np.int64(1), 1), (np.array([2, 3]), 2), ("euclid-000004", 1), (["euclid-000004", 5], 2)):
        assert len(la.explain(finder, place.set, ids, method="saliency")) == n
    with pytest.raises(TypeError, match="integer"):
        la.explain(finder, place.set, [0.5])


def test_what_is_no_option_is_pythons_own_error(place):
    wrong: dict[str, Any] = {"no_such_option": 1}
    for call in (la.audit, la.train, la.judge, la.dream):
        with pytest.raises(TypeError, match="no_such_option"):
            call("ou66", place.set, **wrong)
