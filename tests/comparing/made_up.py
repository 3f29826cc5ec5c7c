"""A made-up comparison of believable size: finders that are only scores, so that pages are tested without networks."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit

from lensaudit.comparing.comparison_file import SCHEMA
from lensaudit.comparing.tables import Told, pairs_of, ranking_of
from lensaudit.evaluation import calibrate, evaluate

NAMES = ("ou66", "ou200", "ou-j", "ou-vis", "deeplens <b>", "cae-bgm")
REFUSED = {"finder": "deeplens <b>", "why": "finder deeplens needs band g, the set (instrument euclid) has VIS; use g"}


def logits(names: tuple[str, ...], n: int, seed: int = 4) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Labels (n,) and logits (n,) of each finder, the first the best; the last two rank alike."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    shared = rng.normal(0, 1, n)
    found = {
        name: (labels - 0.5) * (4 - 1.1 * place) + 1.2 * shared + rng.normal(0, 1, n)
        for place, name in enumerate(names)
    }
    found[names[-1]] = found[names[-2]] * 1.3
    return labels, found


def row(name: str, labels: np.ndarray, logit: np.ndarray, seen: str = "") -> dict[str, Any]:
    result = evaluate(labels, expit(logit), logit).to_json()
    counted = ("n", "n_lenses", "n_non_lenses", "n_unlabelled", "n_unscored", "threshold", "counts", "roc")
    return {
        "finder": name,
        **{key: result[key] for key in counted},
        "metrics": {metric["name"]: metric for metric in result["metrics"]},
        "calibration": calibrate(labels, expit(logit)).to_json(),
        "seen": seen,
        "unused_bands": ["Y", "J", "H"] if name == "ou-vis" else [],
        "other_pixels": "band VIS has pixels of 0.2″, finder ou200 was trained on 0.1″" if name == "ou200" else "",
        "pixels": {
            "units": {"VIS": "unknown"},
            "finder_units": {},
            "clipping": {"VIS": {"below": 0.25, "above": 0.0, "remark": "odd"}} if name == "ou200" else {},
            "remarks": ["these are no ordinary pixels for finder ou200"] if name == "ou200" else [],
        },
    }


def set_block(names: tuple[str, ...], n: int) -> dict[str, Any]:
    eating = tuple(name for name in names if name != REFUSED["finder"])
    labels, found = logits(eating, n)
    rows = [row(name, labels, found[name], "training" if name == "ou-j" else "") for name in eating]
    pairs = pairs_of(labels, [Told(name, expit(found[name]), found[name], 0.5) for name in eating], seed=0)
    return {
        "set": {
            "name": "test",
            "content_hash": "cd" * 32,
            "instrument": "euclid",
            "n": 2 * n,
            "bands": ["VIS 200×200 at 0.1″", "Y 66×66 at 0.3″"],
            "population": "euclid",
            "seed": 3,
            "simulated": True,
        },
        "n": n,
        "rows": rows,
        "refused": [REFUSED] if REFUSED["finder"] in names else [],
        "n_compared": n,
        "pairs": pairs,
        "ranking": ranking_of(rows, pairs),
        "explanations": [explained(name) for name in eating],
        "main_kind": "single",
    }


def explained(name: str) -> dict[str, Any]:
    if name == "cae-bgm":
        return {"finder": name, "rows": [], "left_out": [], "why": "it has no gradient"}
    one = {"kind": "single", "low": 0.3, "high": 0.6, "chance": 0.03, "n": 8, "status": "ok", "gain_low": 0.2}
    rows = [
        {**one, "method": method, "title": method.title(), "value": 0.4, "gain_high": 0.5}
        for method in ("occlusion", "input-x-gradient")
    ]
    return {"finder": name, "rows": rows, "left_out": [{"method": "deeplift", "why": "no ReLU"}], "why": ""}


def asked(name: str) -> dict[str, Any]:
    if name == REFUSED["finder"]:
        return {"finder": name, "verdicts": [], "not_applicable": [{"probe": "red-source", "why": "it needs band g"}]}
    share = {"found": 40, "n": 100, "value": 0.4, "low": 0.31, "high": 0.5}
    one = {
        "instrument": "euclid",
        "sentence": "…",
        "meaning": "…",
        "population": "lenses",
        "n": 100,
        "treated": share,
        "p_holm": 0.001,
    }
    change = {"value": -0.21, "low": -0.3, "high": -0.11, "method": "Tango 1998 score interval"}
    return {
        "finder": name,
        "verdicts": [
            {**one, "probe": "red-source", "word": "bias", "dose": 1.0, "change": change},
            {**one, "probe": "false-positive", "word": "equivalent within tolerance", "dose": None, "change": change},
        ],
        "not_applicable": [],
    }


def comparison(names: tuple[str, ...] = NAMES, n: int = 400) -> dict[str, Any]:
    facts = {
        "origin": "built-in",
        "weights_hash": "ab" * 32,
        "architecture": "ou66",
        "bands": ["J", "Y", "H", "VIS"],
        "size": 66,
        "stretch": "minmax",
        "field_of_view_arcsec": 20.0,
        "threshold": 0.5,
        "parameters": 203192,
        "bytes_in_memory": 812768,
        "bytes_on_disk": 814384,
        "differentiable": True,
        "trained_on": {"instrument": "euclid", "population": "euclid", "n_training": 45000},
    }
    titles = {"red-source": ("Red sources", "population"), "false-positive": ("No lensing", "contaminant")}
    return {
        "schema": SCHEMA,
        "finders": [{"finder": name, **facts} for name in names],
        "sets": [set_block(names, n)],
        "probes": {
            "n": 100,
            "seed": 0,
            "probes": [{"probe": name, "title": title, "nature": nature} for name, (title, nature) in titles.items()],
            "finders": [asked(name) for name in names],
        },
        "options": {"seed": 0, "n": n},
        "provenance": {"lensaudit": "0.1.0", "command": "lensaudit compare ou66 ou200 --set test", "seed": 0},
    }


def speeds(names: tuple[str, ...] = NAMES) -> list[dict[str, Any]]:
    one = {"lowest": 71.2, "highest": 88.0, "repeats": 5, "images": 32, "batch": 16, "device": "CPU", "threads": 1}
    return [{"finder": name, "images_per_s": 84.3 - place, **one} for place, name in enumerate(names)]
