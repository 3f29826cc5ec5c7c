"""A module of the user's may do anything; the command answers in one line, and its own output stays its own."""

from __future__ import annotations

import json
import os
import signal
import sys
import warnings
from pathlib import Path

import pytest

from lensaudit.errors import LensauditWarning, UsageError
from lensaudit.finders import load_finder, load_recipe, save_finder
from lensaudit.finders.recipe import builtin_finder_folder
from lensaudit.foreign_code import imported
from lensaudit.probes.steps import Arm, Step
from lensaudit.scenes import draw_scene

MODULE = """
import argparse, os, signal, sys
from torch import nn
from lensaudit.finders import declare_finder

class Net(nn.Module):
    act = None
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(1, 1)
    def forward(self, x):
        if self.act is not None:
            self.act()
        return self.linear(x.mean((1, 2, 3))[:, None])

class Odd(BaseException):
    pass

def raise_odd():
    raise Odd("odd")

def at_once(act):
    act()
    return late(None)

def late(act):
    net = Net()
    finder = declare_finder(net, bands=("VIS",), size=20)
    net.act = act
    return finder

def tamper():
    print("hello")
    os.chdir("/")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert len(sys.argv) == 1
    argparse.ArgumentParser().parse_args()

DEEDS = {
    "exit": lambda: sys.exit(0), "hard": lambda: os._exit(0), "zero": lambda: 1 / 0, "odd": raise_odd,
    "tamper": tamper,
}
"""
DEEDS = {"exit": "sys.exit", "hard": "os._exit", "zero": "ZeroDivisionError", "odd": "Odd: odd"}


@pytest.fixture
def lens_set(make_set, make_cutouts) -> Path:
    return make_set("set", make_cutouts(3)).path


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """Writes a module with factories ``NAME_when`` and gives its name; another one in every test."""
    name = f"own_{abs(hash(str(tmp_path))):x}"
    factories = "\n".join(
        f"def {deed}_{when}(): return {when}(DEEDS['{deed}'])"
        for deed in (*DEEDS, "tamper")
        for when in ("at_once", "late")
    )
    (tmp_path / f"{name}.py").write_text(MODULE + factories)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield name
    sys.modules.pop(name, None)


@pytest.mark.parametrize("when", ["at_once", "late"])
@pytest.mark.parametrize("deed", DEEDS)
def test_a_module_that_fails_or_leaves_is_one_line_and_two(lensaudit, lens_set, mine, deed, when):
    code, out, err = lensaudit("score", f"{mine}:{deed}_{when}", lens_set, "--out", "scores.parquet")
    assert (code, out) == (2, "")
    line = err.strip().splitlines()[-1]
    assert line.startswith(f"lensaudit: finder {mine}:{deed}_{when}: ")
    assert DEEDS[deed] in line
    assert f"{mine}.py:" in line
    assert "Traceback" not in err


@pytest.mark.parametrize("when", ["at_once", "late"])
def test_a_module_cannot_tamper_with_the_command(lensaudit, lens_set, mine, when):
    folder, handler = os.getcwd(), signal.getsignal(signal.SIGINT)
    code, out, err = lensaudit("score", f"{mine}:tamper_{when}", lens_set, "--out", "scores.parquet", "--json")
    assert code == 0, err
    assert json.loads(out)["n"] == 3
    assert "hello" in err
    assert Path("scores.parquet").is_file()
    assert os.getcwd() == folder
    assert signal.getsignal(signal.SIGINT) is handler
    assert sys.argv[1:2] == ["score"]


@pytest.mark.parametrize(
    "text", ["import sys; sys.exit(0)", "import os; os._exit(0)", "raise BaseException('no')", "1 +"]
)
def test_a_module_that_leaves_when_imported_is_one_line(tmp_path, monkeypatch, text):
    name = f"leaving_{abs(hash((str(tmp_path), text))):x}"
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(UsageError, match=f"finder {name}:finder: cannot be imported: it (ends the program|failed)"):
        load_finder(f"{name}:finder")


@pytest.mark.parametrize("reference", ["builtins:exit", "sys:exit", "os:_exit", "builtins:print", "os.path:join"])
def test_what_is_pythons_own_is_no_finder(reference):
    with pytest.raises(UsageError, match="is a module of Python itself, not one of yours; give "):
        load_finder(reference)


def test_what_a_module_of_yours_took_from_python_is_no_finder(tmp_path, monkeypatch):
    (tmp_path / "took_from_python.py").write_text("from sys import exit as finder\nfrom os import getcwd\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(UsageError, match=r"is sys\.exit of Python itself"):
        load_finder("took_from_python:finder")


def test_a_file_named_like_a_module_of_python_is_told_to_be_renamed(tmp_path, monkeypatch):
    (tmp_path / "code.py").write_text("def finder(): pass\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"rename your code\.py, which it hides"):
        load_finder("code:finder")


def test_a_callable_object_and_a_partial_are_taken(tmp_path, monkeypatch):
    (tmp_path / "callables.py").write_text(
        "from functools import partial\nclass Made:\n    def __call__(self): return 1\nmade = Made()\n"
        "def two(x): return x\ntaken = partial(two, 2)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert [imported(f"callables:{name}", "it", "function")[0]() for name in ("made", "taken")] == [1, 2]


def test_what_python_does_outside_commands_stays_as_it_is(mine):
    """Errors of the module come through as they are; nothing is redirected for good."""
    finder = load_finder(f"{mine}:zero_late")
    with pytest.raises(ZeroDivisionError) as caught:
        finder.logit(finder.preprocess({"VIS": [[[float(i + j) for i in range(20)] for j in range(20)]]}))
    assert any("its module" in note for note in caught.value.__notes__)


def test_an_edit_of_a_probe_cannot_leave_or_print_either(tmp_path, monkeypatch, capsys):
    (tmp_path / "own_edits.py").write_text(
        "import sys\ndef quits(scene, strength): sys.exit(0)\n"
        "def shouts(scene, strength): print('hello'); return scene\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    scene = draw_scene("euclid", 1, 0)
    with pytest.raises(UsageError, match=r"own_edits:quits', .* ends the program"):
        Arm((Step(edit="own_edits:quits"),)).scene(scene)
    assert Arm((Step(edit="own_edits:shouts"),)).scene(scene) == scene
    assert capsys.readouterr() == ("", "hello\n")


def test_a_folder_that_hides_a_built_in_finder_is_said(lensaudit, lens_set, make_finder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_finder(make_finder("ou66"), tmp_path / "LASTRO", origin="a test")
    with pytest.warns(LensauditWarning, match=r"finder LASTRO: \./LASTRO is taken, not the built-in"):
        assert load_finder("LASTRO").origin == "LASTRO"
    assert load_finder("./LASTRO").origin == "LASTRO"
    monkeypatch.setattr(warnings, "filters", [])  # as Python starts, where pytest makes errors of them
    code, _, err = lensaudit("score", "LASTRO", lens_set)
    assert code == 0, err
    assert [line for line in err.splitlines() if "warning" in line] == [
        "lensaudit: warning: finder LASTRO: ./LASTRO is taken, not the built-in finder of that name; rename it to have "
        "the built-in one, or say ./LASTRO to have it without this line"
    ]


def test_a_recipe_that_hides_a_built_in_one_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ou66").write_text((builtin_finder_folder("ou66") / "recipe.yaml").read_text())
    with pytest.warns(LensauditWarning, match="recipe ou66"):
        load_recipe("ou66")


def test_signal_handlers_and_the_working_folder_are_put_back_after_each_call(mine):
    finder, folder, handler = load_finder(f"{mine}:tamper_late"), os.getcwd(), signal.getsignal(signal.SIGINT)
    finder.logit(finder.preprocess({"VIS": [[[float(i + j) for i in range(20)] for j in range(20)]]}))
    assert signal.getsignal(signal.SIGINT) is handler
    assert os.getcwd() == folder
