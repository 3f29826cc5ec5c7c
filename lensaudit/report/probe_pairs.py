"""The pairs a probe shows: rendered again, their pixels kept under ``arrays/``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lensaudit.report.audit_file import ARRAYS
from lensaudit.report.pieces import keep_arrays, kept_arrays, key_of, short_name

PER_POPULATION = {True: 3, False: 1}
"""Pairs of each population: of a probe with an effect, and of one without, whose pairs look much alike."""


def pairs_of(record: dict[str, Any], finder: Any, out: Path, *, many: bool) -> list[dict[str, Any]]:
    """Entries of the pairs, the control beside the treated arm of the last dose.

    Parameters
    ----------
    record
        ``probe.json`` of the probe.
    many
        Whether the pairs are worth showing, not one alone.
    """
    shown: dict[str, list[dict[str, Any]]] = {}
    for example in record["examples"]:
        shown.setdefault(example["population"], []).append(example)
    return [
        _pair(example, record, finder, out) for group in shown.values() for example in group[: PER_POPULATION[many]]
    ]


def _pair(example: dict[str, Any], record: dict[str, Any], finder: Any, out: Path) -> dict[str, Any]:
    from lensaudit.probes import Drawn, Experiment, ProbeDefinition

    definition, settings = ProbeDefinition.model_validate(record["definition"]), record["settings"]
    population = definition.modes[settings["mode"]].populations[example["population"]]
    drawn = Drawn(population, settings["seed"], settings["n"], definition.instrument)
    experiment = Experiment(drawn, definition.arms())
    path = f"{ARRAYS}/pair-{short_name(record['probe'] + example['pair_id'])}.npz"
    inputs = dict(experiment.inputs)
    key = key_of(finder, id=example["pair_id"], seed=drawn.seed, definition=record["definition"], inputs=inputs)
    if kept_arrays(out / path, key) is None:
        keep_arrays(out / path, key, _pixels(experiment, example["index"]))
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
    arms = {"control": 0, "treated": len(experiment.arms) - 1}
    images = {arm: experiment.images(index, number) for arm, number in arms.items()}
    return {f"{arm}:band:{band}": image for arm, bands in images.items() for band, image in bands.items()}
