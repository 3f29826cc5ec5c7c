"""A finder's calibration on disk: ``calibrator.json`` in its folder."""

from __future__ import annotations

from pathlib import Path

from lensaudit.documents import keep_json, read_json, refuse_broken_seal
from lensaudit.errors import DataError
from lensaudit.finders.facts import CalibrationFacts
from lensaudit.statistics import Calibrator

CALIBRATOR_FILE = "calibrator.json"

_FIX = "calibrate the finder again"


def calibration_facts(calibrator: Calibrator, prevalence: float | None = None) -> CalibrationFacts:
    """What ``finder.yaml`` and files of scores say of a calibration; `prevalence` in place of its own."""
    words = {
        "method": calibrator.method,
        "prevalence": calibrator.prevalence if prevalence is None else prevalence,
        "n_lenses": calibrator.n_lenses,
        "n_non_lenses": calibrator.n_non_lenses,
        "set": calibrator.set,
    }
    return CalibrationFacts.model_validate(words)


def write_calibrator(folder: Path, calibrator: Calibrator | None) -> None:
    """Write ``calibrator.json`` into a finder's folder; without a calibration remove what is there."""
    path = Path(folder) / CALIBRATOR_FILE
    if calibrator is None:
        path.unlink(missing_ok=True)
        return
    keep_json(path, calibrator.to_json())


def read_calibrator(folder: Path, facts: CalibrationFacts | None) -> Calibrator | None:
    """The calibration of the finder in `folder`; None where ``finder.yaml`` has no `facts` of one.

    Raises
    ------
    DataError
        It is missing, was changed, or cannot be a calibration.
    """
    if facts is None:
        return None
    path = Path(folder) / CALIBRATOR_FILE
    if not path.is_file():
        raise DataError(f"{path}: is missing, and finder.yaml says that the finder is calibrated; {_FIX}")
    words = read_json(path, _FIX)
    sealed = refuse_broken_seal(words, f"{path}", _FIX)
    found = Calibrator.from_json(words, f"{path}", _FIX)
    if not sealed or calibration_facts(found).to_json() != facts.to_json():
        raise DataError(f"{path}: is not the calibration that finder.yaml records; {_FIX}")
    if found.complaint:
        raise DataError(f"{path}: {found.complaint}; {_FIX}")
    return found
