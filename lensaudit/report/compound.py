"""The compound-lens probe as a block of the audit: run it, or take what an earlier run left, and lay it out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from lensaudit import __version__
from lensaudit.report.audit_file import ARRAYS
from lensaudit.report.options import AuditOptions
from lensaudit.report.pieces import Progress, keep_arrays, kept_arrays, key_of, short_name

PROBE = "compound"
TITLES = {"arcs": "compound arcs", "rings": "double rings"}
SHOWN_PER_POPULATION = 3


def why_no_probe(finder: Any, options: AuditOptions) -> str | None:
    """Reason why the probe is left out, or ``None`` where it can be run."""
    from lensaudit.probes import load_definition, why_not_applicable

    if options.probe_n == 0:
        return "The compound probe was switched off for this audit."
    reason = why_not_applicable(load_definition(PROBE), finder.for_field(None))
    return f"The compound probe does not apply to this finder: {reason}." if reason else None


def probe_folder(out: Path, options: AuditOptions) -> Path:
    """Where the probe of an audit lies."""
    return Path(out) / "probe" / f"{PROBE}-n{options.probe_n}-seed{options.seed}"


def compound_block(finder: Any, out: Path, options: AuditOptions, progress: Progress) -> dict[str, Any]:
    """Probe `finder` with ``options.probe_n`` arcs and as many rings; keeps its folder under ``probe/``."""
    folder = probe_folder(out, options)
    record = _kept(folder, finder, options)
    if record is None:
        from lensaudit.probes import ProbeOptions, run_probe

        workers = ProbeOptions(workers=options.workers)
        record = run_probe(
            PROBE, finder.for_field(None), options.probe_n, options.seed, folder, workers, named(progress)
        ).to_json()
    else:
        progress("compound probe", 1, 1)
    block = laid_out(record, finder.recipe.architecture)
    block["pairs"] = [_pair(example, record, finder, Path(out)) for example in _shown(record["examples"])]
    return block


def named(progress: Progress) -> Progress:
    """Report the probe's stages under the name of the probe."""

    def report(what: str, done: int, total: int) -> None:
        progress(f"probe: {what}", done, total)

    return report


def laid_out(record: dict[str, Any], architecture: str) -> dict[str, Any]:
    """The block of the audit from ``probe.json``; see :mod:`lensaudit.probes.result` for its fields."""
    findings, settings = record["findings"], record["settings"]
    reasons = ", ".join(dict.fromkeys(example["reason"] for example in record["examples"]))
    first = findings[0]
    return {
        "verdict": record["verdict"]["word"],
        "question": record["question"],
        "meaning": record["meaning"],
        "n_pairs": sum(f["n"] for f in findings if f["subset"] == first["subset"]),
        "mode": settings["mode"],
        "seed": settings["seed"],
        "tolerance": settings["tolerance"],
        "design": _design(record),
        "threshold": record["finder"]["threshold"],
        "change_method": first["recall_change"]["method"],
        "logit_method": first["logit_change"]["method"],
        "groups": [_group(finding, record, architecture) for finding in findings],
        "pairs_note": f"Chosen by the change of logit: {reasons}.",
        "published": _published(record["published"], architecture),
        "pairs": [],
    }


def _kept(folder: Path, finder: Any, options: AuditOptions) -> dict[str, Any] | None:
    try:
        record = json.loads((folder / "probe.json").read_text(encoding="utf-8"))
        same = (
            record["finder"]["weights_hash"] == finder.weights_hash
            and record["finder"]["threshold"] == finder.recipe.threshold
            and record["finder"]["bands"] == list(finder.recipe.bands)
            and record["finder"]["stretch"] == finder.recipe.stretch
            and (record["settings"]["n"], record["settings"]["seed"]) == (options.probe_n, options.seed)
            and record["provenance"]["lensaudit"] == __version__
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return dict(record) if same else None


def _design(record: dict[str, Any]) -> str:
    rule = record["lens_rule"]
    condition = f" A pair fulfils the lens rule where both arms have {rule['condition']}." if rule else ""
    return (
        "Each pair is one scene rendered twice with the same noise: with its far source, and as a control without it, "
        f"so that an ordinary single lens remains. {record['mode_note']}{condition} "
        f"Tolerated loss of recall: {record['settings']['tolerance']:g}."
    )


def _group(finding: dict[str, Any], record: dict[str, Any], architecture: str) -> dict[str, Any]:
    name = TITLES.get(finding["population"], finding["population"])
    everything = finding["subset"] == "all pairs"
    return {
        "title": name if everything else f"{name} that fulfil the lens rule",
        "control": _rate(finding["control"]),
        "treated": _rate(finding["treated"]),
        "recall_change": finding["recall_change"],
        "effect": finding["logit_change"],
        "mcnemar": {key: finding[name] for key, name in _MCNEMAR},
        "verdict": finding["verdict"]["word"],
        "sentence": re.sub(r"-(?=\d)", "−", finding["verdict"]["sentence"]),
        "published": _beside(record["published"], finding["population"], architecture) if everything else [],
    }


_MCNEMAR = (("lost", "lost"), ("gained", "gained"), ("p", "p_value"), ("p_holm", "p_holm"))


def _rate(recall: dict[str, Any]) -> dict[str, Any]:
    return {
        "k": recall["found"],
        "n": recall["n"],
        "rate": recall["value"],
        "low": recall["low"],
        "high": recall["high"],
    }


def _beside(published: dict[str, Any] | None, population: str, architecture: str) -> list[dict[str, Any]]:
    """Published recalls drawn beside ours: those of the same architecture, else of all finders there are."""
    if published is None:
        return []
    names = [name for name in published["recall"] if _same(name, architecture)] or sorted(published["recall"])
    recalls = {name: published["recall"][name].get(population) for name in names}
    return [{"name": name, "recall": recall} for name, recall in recalls.items() if recall is not None]


def _published(published: dict[str, Any] | None, architecture: str) -> dict[str, Any] | None:
    if published is None:
        return None
    populations = sorted({p for recalls in published["recall"].values() for p in recalls})
    rows = [
        {"name": name, "recall": [recalls.get(p) for p in populations], "same": _same(name, architecture)}
        for name, recalls in sorted(published["recall"].items())
    ]
    return {
        "caption": published["caption"].rstrip(".") + ".",
        "source": published["source"],
        "threshold": published["threshold"],
        "columns": [TITLES.get(p, p) for p in populations],
        "rows": rows,
    }


def _shown(examples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    shown: dict[str, list[dict[str, Any]]] = {}
    for example in examples:
        shown.setdefault(example["population"], []).append(example)
    return [example for group in shown.values() for example in group[:SHOWN_PER_POPULATION]]


def _pair(example: dict[str, Any], record: dict[str, Any], finder: Any, out: Path) -> dict[str, Any]:
    from lensaudit.probes import Drawn, Experiment, ProbeDefinition

    definition, settings = ProbeDefinition.model_validate(record["definition"]), record["settings"]
    population = definition.modes[settings["mode"]].populations[example["population"]]
    drawn = Drawn(population, settings["seed"], settings["n"], definition.instrument)
    path = f"{ARRAYS}/pair-{short_name(example['pair_id'])}.npz"
    key = key_of(finder, id=example["pair_id"], seed=settings["seed"], definition=record["definition"])
    if kept_arrays(out / path, key) is None:
        keep_arrays(out / path, key, _pixels(Experiment(drawn, definition.arms()), example["index"]))
    fields = drawn.fields
    band = "VIS" if "VIS" in fields.bands else fields.bands[0]
    return {
        "title": example["pair_id"],
        "facts": example["reason"],
        "array": path,
        "fov_arcsec": fields.shape[band][1] * fields.pixel_scale_arcsec[band],
        "p_control": example["p_control"],
        "p_treated": example["p_treated"],
    }


def _pixels(experiment: Any, index: int) -> dict[str, Any]:
    """Both arms of a pair, rendered again; the treated arm is the one of the last dose."""
    arms = {"control": 0, "treated": len(experiment.arms) - 1}
    images = {arm: experiment.images(index, number) for arm, number in arms.items()}
    return {f"{arm}:band:{band}": image for arm, bands in images.items() for band, image in bands.items()}


def _same(published: str, architecture: str) -> bool:
    return published.casefold().replace("-", "") == architecture.casefold().replace("-", "")
