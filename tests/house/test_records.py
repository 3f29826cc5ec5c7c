"""Every result survives JSON: written and read back it is the same, without torch, whatever does not exist in it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import lensaudit
from lensaudit.errors import DataError
from lensaudit.evaluation import Calibration, Evaluation, calibrate, evaluate
from lensaudit.evaluation.calibrating import CalibrationSettings, calibrate_scores
from lensaudit.evaluation.selection import SelectionFunction, selection_function
from lensaudit.evaluation.visual_inspection import KindFrequency, by_grade, frequencies_by_kind
from lensaudit.records import Record, _adapter
from lensaudit.report.schema import Audit
from lensaudit.statistics import Proportion
from tests.report.drawn import DrawnScores, DrawnSet


def catalogue(n: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(n)
    found = {name: rng.uniform(1, 4, n) for name in ("theta_e_arcsec", "arc_snr", "mag_source_VIS")}
    return found | {"label": (np.arange(n) % 3 > 0).astype(int), "p": rng.uniform(0.05, 0.95, n)}


def labels_and_scores(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(n)
    return np.arange(n) % 2, rng.uniform(0.1, 0.9, n)


def evaluation(n: int) -> Evaluation:
    labels, p = labels_and_scores(n)
    return evaluate(labels, p, np.log(p / (1 - p)))


def calibrated(n: int) -> Record:
    labels, p = labels_and_scores(n)
    return calibrate_scores(labels, np.log(p / (1 - p)), None, CalibrationSettings(prevalence=1e-4, survey=10**6))[0]


def selection(n: int) -> SelectionFunction:
    drawn = catalogue(n)
    return selection_function(DrawnScores(drawn["p"]), DrawnSet(drawn))


RESULTS: dict[str, Callable[[], Record]] = {
    "proportion": lambda: Proportion.of(3, 7),
    "proportion of nothing": lambda: Proportion.of(0, 0),
    "evaluation": lambda: evaluation(40),
    "evaluation of one image": lambda: evaluation(1),
    "calibration": lambda: calibrate(*labels_and_scores(40)),
    "calibration of nothing": lambda: calibrate([], []),
    "calibrated scores": lambda: calibrated(60),
    "kind of false positives": lambda: frequencies_by_kind(["a", "b"] * 4, np.arange(8), np.arange(3))[0],
    "grade": lambda: by_grade(["A"], [0.5])[0],
    "selection": lambda: selection(120),
    "selection of few": lambda: selection(9),
}


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_survives_json(name: str):
    result = RESULTS[name]()
    words = json.loads(json.dumps(result.to_json(), allow_nan=False))
    again = type(result).from_json(words)
    assert again.to_json() == words
    assert type(again) is type(result)


def test_every_record_of_the_package_can_be_read():
    """Types of its fields that are imported for type checking alone would show only where such a file is read."""
    package = Path(lensaudit.__file__).parent
    for file in package.rglob("*.py"):
        if "@dataclass" in file.read_text(encoding="utf-8"):
            import_module(".".join(file.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__"))
    records = set(descendants(Record))
    assert len(records) > 100
    unfinished = [one.__qualname__ for one in records if not _adapter(one).pydantic_complete]  # those made already too
    assert not unfinished


def descendants(kind: type) -> Iterator[type]:
    for one in kind.__subclasses__():
        yield one
        yield from descendants(one)


def test_it_is_written_and_read(tmp_path):
    path = Proportion.of(3, 7).write(tmp_path / "one.json")
    assert Proportion.read(path) == Proportion.of(3, 7)


def test_a_wrong_field_is_one_line_that_names_it():
    words = selection(9).to_json()
    words["cuts"][0]["recall"]["k"] = "many"
    with pytest.raises(DataError, match=r"^f\.json: .*cuts\.0\.recall\.k: .*'many'.*; make it again$"):
        SelectionFunction.from_json(words, "f.json", "make it again")


EARLIER = {
    "a recall of a probe": (Proportion, {"found": 3, "n": 7, "value": 3 / 7, "low": 0.1, "high": 0.8}, "k", 3),
    "calibration": (
        Calibration,
        {
            "ece": dict.fromkeys(("value", "low", "high"), 0.1)
            | {"name": "ece", "n": 2, "method": "", "by_chance": 0.3},
            "brier": dict.fromkeys(("value", "low", "high"))
            | {"name": "brier", "n": 2, "method": "", "of_share": None},
            "bins": [{"left": 0, "right": 1, "said": 0.4, "k": 1, "n": 2, "share": 0.5, "low": 0.1, "high": 0.9}],
        },
        "ece_by_chance",
        0.3,
    ),
    "a kind of false positives": (
        KindFrequency,
        {"kind": "spiral", "n_worst": 1, "worst": 2, "n_all": 3, "others": 9, "share_worst": 0.5},
        "kind",
        "spiral",
    ),
}


@pytest.mark.parametrize("name", EARLIER)
def test_what_an_earlier_version_wrote_is_read(name: str):
    kind, words, field, value = EARLIER[name]
    assert getattr(kind.from_json(words), field) == value


def test_an_audit_of_an_earlier_version_is_read_whole(repository: Path):
    """Its maps name their axes and cells as they did then; a class that comes twice is turned twice."""
    audit = Audit.from_json(json.loads((repository / "tests/report/audit-0.1.json").read_text(encoding="utf-8")))
    assert audit.selection_function is not None
    first = audit.selection_function.maps[0]
    assert (first.x.parameter.name, first.y.parameter.name) == ("theta_e_arcsec", "arc_snr")
    assert first.total == first.n.sum() == 210 - first.n_missing - first.n_outside
    assert audit.performance.n_lenses + audit.performance.n_non_lenses == audit.set.n
    assert Audit.from_json(audit.to_json()).to_json() == audit.to_json()


@pytest.mark.parametrize(
    "module",
    [
        "lensaudit.records",
        "lensaudit.evaluation",
        "lensaudit.evaluation.calibrating",
        "lensaudit.evaluation.selection",
        "lensaudit.explaining.judging.judgement",
        "lensaudit.probes",
        "lensaudit.realism_gate",
        "lensaudit.embedding",
        "lensaudit.report.schema",
    ],
)
def test_results_are_read_without_torch(module: str):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
