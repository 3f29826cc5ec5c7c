"""``import lensaudit as la``: lazy, typed, one argument order, in memory, errors that speak of arguments."""

from __future__ import annotations

import dataclasses
import gc
import inspect
import subprocess
import sys
import tempfile
import typing
from doctest import ELLIPSIS, DocTestFinder, DocTestRunner
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest

import lensaudit as la
from lensaudit.api.hosts import HostOptions

MODULES = (
    "calling",
    "sets",
    "finders",
    "explaining",
    "embedding",
    "measuring",
    "calibrating",
    "auditing",
    "retraining",
)
FUNCTIONS = [name for name in la.__all__ if name != "LensSet"]


def test_no_torch_is_imported_until_a_name_needs_it(tmp_path):
    program = (
        "import sys, lensaudit as la\n"
        "assert set(la.__all__) <= set(dir(la))\n"
        "n = len(sys.modules)\n"
        "la.LensSet\n"
        "assert 'astropy' not in sys.modules\n"
        "la.ingest\n"
        f"la.simulate('euclid', n=1, out={str(tmp_path / 'set')!r})\n"
        "assert 'torch' not in sys.modules\n"
        "la.load_finder\n"
        "assert 'torch' in sys.modules\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr


def test_there_are_so_many_names_and_no_others():
    assert len(la.__all__) == 25
    assert dir(la) == sorted([*la.__all__, "__version__"])
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        la.no_such_name  # noqa: B018


def test_no_name_is_a_room():
    """Else the one hides the other, depending on which is imported first."""
    assert not set(la.__all__) & {module.name for module in iter_modules(la.__path__)}


@pytest.mark.parametrize("order", ["rooms, names", "names backwards, rooms backwards"])
def test_rooms_and_names_are_reached_in_every_order(order):
    """In a fresh interpreter each, as what was imported first stays."""
    program = (
        "from importlib import import_module\n"
        "from inspect import isclass, isfunction, ismodule\n"
        "from pkgutil import iter_modules\n"
        "import lensaudit as la\n"
        "rooms = [module.name for module in iter_modules(la.__path__) if module.name != '__main__']\n"
        "def reach(kind):\n"
        "    for name in (rooms if 'rooms' in kind else la.__all__)[:: -1 if 'backwards' in kind else 1]:\n"
        "        import_module(f'lensaudit.{name}') if 'rooms' in kind else getattr(la, name)\n"
        f"for kind in {order!r}.split(', '):\n"
        "    reach(kind)\n"
        "assert all(ismodule(getattr(la, room)) for room in rooms)\n"
        "assert all(isfunction(getattr(la, name)) or isclass(getattr(la, name)) for name in la.__all__)\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr


def test_the_class_among_the_names_is_described_too():
    text = inspect.getdoc(la.LensSet) or ""
    for section in ("Attributes", "Examples", "See Also"):
        assert f"{section}\n{'-' * len(section)}\n" in text


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_function_is_described_as_numpydoc_has_it(name):
    function = getattr(la, name)
    text = inspect.getdoc(function) or ""
    for section in ("Parameters", "Returns", "Examples", "See Also", "Raises"):
        assert f"{section}\n{'-' * len(section)}\n" in text, f"{name} lacks {section}"
    described = text.split("Parameters\n")[1].split("\nReturns\n")[0]
    for parameter in inspect.signature(function).parameters.values():
        assert parameter.name in described, f"{name}: {parameter.name} is not described"
        assert parameter.annotation is not inspect.Parameter.empty


def test_the_finder_comes_first_and_the_data_second():
    """What else is asked is named; the probes of `probe`, which need no data, stand where others have theirs."""
    with_data = 0
    for name in FUNCTIONS:
        parameters = list(inspect.signature(getattr(la, name)).parameters.values())
        places = {one.name: place for place, one in enumerate(parameters) if one.kind is not one.KEYWORD_ONLY}
        if "data" in places:
            with_data += 1
            assert parameters[0].name in {"finder", "finders", "recipe"}
            assert places["data"] == 1
        assert len([place for place in places.values() if parameters[place].default is inspect.Parameter.empty]) <= 3
    assert with_data >= 11


def test_a_user_s_script_that_make_lint_types_strictly_has_all_names():
    script = (Path(__file__).parent / "user_script.py").read_text(encoding="utf-8")
    assert [name for name in la.__all__ if f"la.{name}" not in script] == []
    assert (Path(la.__file__).parent / "py.typed").is_file()


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ("api.finders.TrainOptions", "training.TrainingOptions"),
        ("api.calibrating.CalibrateOptions", "evaluation.calibrating.CalibrationSettings"),
        ("api.measuring.RunOptions", "probes.ProbeOptions"),
        ("api.auditing.AuditOptions", "report.AuditOptions"),
        ("api.auditing.ComparisonOptions", "comparing.CompareOptions"),
        ("api.embedding.EmbedOptions", "embedding.EmbedOptions"),
        ("api.explaining.JudgeOptions", "explaining.JudgeSettings"),
        ("api.explaining.DreamOptions", "explaining.Changes"),
    ],
)
def test_keyword_options_are_those_of_the_settings(options, settings):
    """Those that the function itself takes, or spells as all functions do, aside."""
    named = {"batch": "batch_size", "explanations": "judge_n", "k": "neighbours"}
    given = {"method", "quick", "body", "restart", "cache", "processes", "seed", "methods", "per_kind", "lens_set"}
    given |= set(HostOptions.__annotations__) - {"hosts"}  # parts of the settings' `hosts`: `asked_hosts`
    kind = _at(settings)
    fields = kind.model_fields if hasattr(kind, "model_fields") else [field.name for field in dataclasses.fields(kind)]
    assert {named.get(name, name) for name in fields} - given == set(_at(options).__annotations__) - given


def _at(place: str) -> typing.Any:
    module, _, name = place.rpartition(".")
    return getattr(import_module(f"lensaudit.{module}"), name)


@pytest.mark.parametrize("module", [*(f"api.{name}" for name in MODULES), "lensset.store", "records"])
def test_examples_run(module):
    runner = DocTestRunner(verbose=False, optionflags=ELLIPSIS)
    for example in DocTestFinder().find(import_module(f"lensaudit.{module}")):
        runner.run(example)
    assert runner.failures == 0
    assert runner.tries > 0


def test_what_is_made_without_out_is_gone_with_its_object(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    lenses = la.simulate("euclid", n=2)
    assert Path(lenses.path).is_dir()
    la.probe("ou66", "red-source", n=4)
    del lenses
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_a_result_made_in_python_says_so_and_no_path_of_the_interpreter(tmp_path):
    found = la.probe("ou66", "red-source", n=4, out=tmp_path / "probe")
    assert found.provenance.command == "lensaudit.probe in Python"
    assert (tmp_path / "probe" / "probe.json").is_file()


def test_progress_is_told_to_a_function_or_shown_as_bars(capsys):
    told: list[tuple[str, int, int]] = []
    lenses = la.simulate("euclid", n=3, progress=lambda *step: told.append(step))
    assert told[-1] == ("simulating", 3, 3)
    la.score("ou66", lenses, progress=True)
    assert "scoring with ou66: 100%" in capsys.readouterr().err
