"""Scores of the explanations themselves, and what the finder's kernels answer to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lensaudit.errors import UsageError
from lensaudit.report.options import AuditOptions
from lensaudit.spread import StageProgress

SHARE = "positive-share"
LENSES = ("single", "compound-arcs", "compound-rings", "lens")

CHECKED = ("saliency", "input-x-gradient", "guided-backprop", "deeplift", "gradcam", "guided-gradcam")
"""Methods whose randomisation check takes seconds; ``lensaudit judge`` checks all."""

CHECK_IMAGES = 6
DRAWN_PER_JUDGED = 4
COMPOUNDS = ("compound-arcs", "compound-rings")


def judged_block(
    finder: Any, lens_set: Any, compound: bool, out: Path, options: AuditOptions, progress: StageProgress
) -> dict[str, Any] | None:
    """Judge the explanations on ``options.judge_n`` lenses of each kind; keeps its parts under ``judged/``.

    Parameters
    ----------
    compound
        Whether compound lenses, drawn as the compound probe draws them, are judged too.

    Returns
    -------
    dict or None
        ``kinds``, ``rows`` (one per method or baseline: ``shares`` by kind), ``checks`` and ``views``; None where
        none was asked for, or the set has no truth to judge by.
    """
    if options.judge_n == 0 or not lens_set.has_truth or not (lens_set.labels == 1).any():
        return None
    from lensaudit.explaining.judging.attributor import attributor
    from lensaudit.explaining.judging.judge import Watcher, judge

    watcher = Watcher(progress=lambda done, total: progress("judging explanations", 100 * done // max(total, 1), 100))
    sets = [lens_set, *(_compound_sets(Path(out), options) if compound else [])]
    asked = judge_settings(finder, options)
    scores = judge(finder, sets, Path(out) / "judged" / "scores", asked["scores"], watcher)
    checks: dict[str, Any] = {"randomisation": [], "failed": {}}
    if "checks" in asked:
        checks = judge(finder, sets[:1], Path(out) / "judged" / "checks", asked["checks"], watcher).to_json()
    block = laid_out(scores.to_json(), checks)
    for row in block["rows"]:
        row["title"] = attributor(row["method"]).title
    return block


def judge_settings(finder: Any, options: AuditOptions) -> dict[str, Any]:
    """Folder under ``judged/`` → settings of its judgement; no ``checks`` where none applies to the finder."""
    from lensaudit.explaining import applicable_methods
    from lensaudit.explaining.judging.attributor import JudgeSettings

    common: dict[str, Any] = {"kinds": LENSES, "seed": options.seed}
    apply = applicable_methods(finder)
    parts = ("localisation", "compound")
    asked = {"scores": JudgeSettings(methods=apply, parts=parts, per_kind=options.judge_n, **common)}
    if quick := tuple(name for name in CHECKED if name in apply):
        asked["checks"] = JudgeSettings(
            methods=quick, parts=("randomisation",), per_kind=CHECK_IMAGES, check_images=CHECK_IMAGES, **common
        )
    return asked


def laid_out(scores: dict[str, Any], checks: dict[str, Any]) -> dict[str, Any]:
    """What the page shows of two judgements (see `lensaudit.explaining.judging.judgement.Judgement.to_json`)."""
    kinds = [kind for kind in LENSES if kind in scores["images"]]
    methods: dict[str, dict[str, Any]] = {}
    for row in scores["rows"]:
        if row["score"] == SHARE and row["kind"] in kinds:
            entry = methods.setdefault(row["method"], {"method": row["method"], "shares": {}})
            entry["shares"][row["kind"]] = {
                name: row[name] for name in ("value", "low", "high", "chance", "n", "gain_low", "gain_high")
            }
    verdicts = {check["method"]: check["verdict"] for check in checks["randomisation"]}
    asked = scores["settings"]["methods"]
    rows = [
        {**entry, "check": verdicts.get(name, ""), "baseline": name not in asked} for name, entry in methods.items()
    ]
    return {
        "kinds": kinds,
        "rows": rows,
        "checks": [
            {name: check[name] for name in ("method", "title", "verdict", "sentence", "label")}
            for check in checks["randomisation"]
        ],
        "views": scores["compound"],
        "failed": {**checks["failed"], **scores["failed"]},
        "n_per_kind": scores["settings"]["per_kind"],
    }


def _compound_sets(out: Path, options: AuditOptions) -> list[Any]:
    """A few compound arcs and double rings, the first ones of the compound probe."""
    from lensaudit.lensset import simulate

    n = DRAWN_PER_JUDGED * options.judge_n
    return [
        simulate("euclid", name, n, options.seed, _compound_folder(out, name, options), options.workers, _unseen)
        for name in COMPOUNDS
    ]


def judged_folders(out: Path, options: AuditOptions) -> list[Path]:
    """Folders of the compound lenses that an earlier run simulated for the same judgement."""
    folders = [_compound_folder(out, name, options) for name in COMPOUNDS]
    return folders if all(folder.is_dir() for folder in folders) else []


def _compound_folder(out: Path, name: str, options: AuditOptions) -> Path:
    n = DRAWN_PER_JUDGED * options.judge_n  # some show no lensed light and cannot judge a map
    return out / "judged" / "sets" / f"{name}-n{n}-seed{options.seed}"


def _unseen(done: int, total: int) -> None:
    """A few seconds of rendering tell nobody anything."""


EACH = 3
"""Kernels shown for each property of a lens."""


def kernels_block(
    finder: Any, lens_set: Any, out: Path, options: AuditOptions, progress: StageProgress
) -> dict[str, Any] | None:
    """Kernel activation values of the whole set (kept as ``kav.parquet``) and what they go with.

    Returns
    -------
    dict or None
        ``kernels``, ``live``, ``n``, ``significant`` (pairs of kernel and property), ``pairs`` (all), ``statements``
        (the surest for each property) and ``note``; None where it was switched off or the finder has no convolution.
    """
    if not options.kernels:
        return None
    from lensaudit.explaining import kernel_activations, study_kernels
    from lensaudit.explaining.kernels.sheet import strongest_statements
    from lensaudit.explaining.kernels.study import LIVE

    try:
        table = kernel_activations(
            finder,
            lens_set,
            Path(out) / "kav.parquet",
            batch_size=options.batch,
            progress=lambda done, total: progress("kernel activations", done, total),
        )
    except UsageError:  # no convolution: nothing to tell
        return None
    study = study_kernels(table, lens_set)
    found = study.correlations
    return {
        "kernels": len(study.kernels),
        "live": len(study.in_state(LIVE)),
        "n": study.n,
        "significant": 0 if found is None else int(found.significant.sum()),
        "pairs": 0 if found is None else int(found.rho.size),
        "statements": [one.summary() for one in strongest_statements(study, EACH)],
        "note": study.note,
    }
