"""lensaudit: train, explain, probe and report strong-lens finders.

``import lensaudit as la`` gives the names below; each is imported when it is first used, so that nothing loads torch
before a function that needs it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lensaudit.api.auditing import audit, compare, render_report
    from lensaudit.api.calibrating import calibrate
    from lensaudit.api.embedding import embed
    from lensaudit.api.explaining import dream, explain, judge, kernels, occlusion
    from lensaudit.api.finders import declare_finder, load_finder, score, train
    from lensaudit.api.hosts import cut, inject
    from lensaudit.api.measuring import evaluate, probe, realism, selection_function
    from lensaudit.api.retraining import ensemble, to_label
    from lensaudit.api.sets import ingest, simulate
    from lensaudit.lensset import LensSet

__version__ = "0.2.0"

__all__ = [
    "LensSet",
    "audit",
    "calibrate",
    "compare",
    "cut",
    "declare_finder",
    "dream",
    "embed",
    "ensemble",
    "evaluate",
    "explain",
    "ingest",
    "inject",
    "judge",
    "kernels",
    "load_finder",
    "occlusion",
    "probe",
    "realism",
    "render_report",
    "score",
    "selection_function",
    "simulate",
    "to_label",
    "train",
]

_HOME = {
    "LensSet": "lensset",
    "audit": "api.auditing",
    "calibrate": "api.calibrating",
    "compare": "api.auditing",
    "cut": "api.hosts",
    "declare_finder": "api.finders",
    "dream": "api.explaining",
    "embed": "api.embedding",
    "ensemble": "api.retraining",
    "evaluate": "api.measuring",
    "explain": "api.explaining",
    "ingest": "api.sets",
    "inject": "api.hosts",
    "judge": "api.explaining",
    "kernels": "api.explaining",
    "load_finder": "api.finders",
    "occlusion": "api.explaining",
    "probe": "api.measuring",
    "realism": "api.measuring",
    "render_report": "api.auditing",
    "score": "api.finders",
    "selection_function": "api.measuring",
    "simulate": "api.sets",
    "to_label": "api.retraining",
    "train": "api.finders",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
