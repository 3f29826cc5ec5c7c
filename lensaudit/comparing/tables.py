"""Finders in pairs on the same images; rows of the page and of the printed table, numbers with n and interval."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.display.numbers import count, decimal, interval, p_value, significant
from lensaudit.evaluation import FPR, Calibration
from lensaudit.statistics import RESAMPLES, allowed_false_positives, holm, mcnemar_exact, paired_auroc, strict_threshold
from lensaudit.verdicts import STATES, present_word, state_of

SIGNIFICANCE = 0.05
"""Holm-corrected p-value below which a difference is shown."""

FEWEST = 2
"""Images of each class that a comparison needs."""

_STREAM = 21


@dataclass(frozen=True, eq=False)
class Told:
    """What one finder said of the images that all finders of the set could score.

    Attributes
    ----------
    finder
        Its label.
    p_lens, logit
        Scores, float64 (n,).
    threshold
        On p.
    """

    finder: str
    p_lens: NDArray[np.float64]
    logit: NDArray[np.float64]
    threshold: float


def pairs_of(labels: NDArray[np.int8], told: Sequence[Told], seed: int) -> list[dict[str, Any]]:
    """Compare every two finders on the same labelled images.

    Parameters
    ----------
    labels
        1 or 0 (n,).
    told
        One per finder, on these images in this order.

    Returns
    -------
    list of dict
        One per pair, in the order of `told`: ``a``, ``b``, and three comparisons. ``own``: which images each calls
        right at its own threshold. ``fpr``: which lenses each finds at a false-positive rate of at most 1 % of
        these non-lenses. ``auroc``: difference a − b. ``p`` is McNemar's exact one, for ``auroc`` DeLong's; ``p_holm``
        is corrected over all pairs of that comparison. Empty with one finder, or fewer than two of a class.
    """
    lens = labels == 1
    if len(told) < 2 or min(lens.sum(), (~lens).sum()) < FEWEST:
        return []
    right = {one.finder: (one.p_lens >= one.threshold) == lens for one in told}
    found = {one.finder: _found_at_fpr(one, lens) for one in told}
    logits = np.stack([one.logit for one in told], axis=1)
    areas = paired_auroc(logits[lens], logits[~lens], np.random.default_rng([seed, _STREAM]))
    pairs: list[dict[str, Any]] = []
    for (i, a), (j, b) in combinations(enumerate(told), 2):
        difference, low, high = areas.difference(i, j)
        area = {"n": len(lens), "difference": difference, "low": low, "high": high, "p": areas.p_value(i, j)}
        pairs.append(
            {
                "a": a.finder,
                "b": b.finder,
                "own": _mcnemar(right[a.finder], right[b.finder]),
                "fpr": _mcnemar(found[a.finder], found[b.finder]),
                "auroc": {**area, "method": f"paired bootstrap, {RESAMPLES} resamples; p by DeLong"},
            }
        )
    for name in ("own", "fpr", "auroc"):
        for pair, adjusted in zip(pairs, holm([pair[name]["p"] for pair in pairs]), strict=True):
            pair[name]["p_holm"] = float(adjusted)
    return pairs


def ranking_of(rows: Sequence[dict[str, Any]], pairs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Finders by AUROC, the highest first, each with those below and above it that it cannot be told from.

    Returns
    -------
    list of dict
        ``place``, ``finder``, ``not_told_from`` (labels whose AUROC differs with a Holm-corrected p of 0.05 or more;
        None where no pair was tested).
    """
    areas = {row["finder"]: row["metrics"]["auroc"]["value"] for row in rows}
    order = sorted(areas, key=lambda name: (areas[name] is None, -(areas[name] or 0.0), name))
    alike: dict[str, list[str]] = {name: [] for name in order}
    for pair in pairs:
        if pair["auroc"]["p_holm"] >= SIGNIFICANCE:
            alike[pair["a"]].append(pair["b"])
            alike[pair["b"]].append(pair["a"])
    return [
        {
            "place": place,
            "finder": name,
            "not_told_from": sorted(alike[name], key=order.index) if pairs else None,
        }
        for place, name in enumerate(order, 1)
    ]


def _found_at_fpr(one: Told, lens: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which of the lenses (n1,) lie above the score that leaves at most 1 % of the non-lenses above it."""
    others = one.logit[~lens]
    return one.logit[lens] > strict_threshold(others, allowed_false_positives(len(others), FPR))


def _mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> dict[str, Any]:
    """Counts of a 2 × 2 table and McNemar's exact p-value."""
    alone, other_alone = int((first & ~second).sum()), int((~first & second).sum())
    return {
        "n": len(first),
        "both": int((first & second).sum()),
        "a_alone": alone,
        "b_alone": other_alone,
        "neither": int((~first & ~second).sum()),
        "p": mcnemar_exact(alone, other_alone),
    }


METRICS = (("auroc", "AUROC"), ("tpr0", "TPR0"), ("tpr10", "TPR10"), ("tpr_at_fpr", "Complete at FPR 1 %"))
HIGHER, LOWER = "descending", "ascending"

HEADS: tuple[tuple[str, str, str], ...] = (
    ("Finder", "", LOWER),
    *((title, "number", HIGHER) for _, title in METRICS),
    ("Calibration error", "number", LOWER),
    ("Brier score", "number", LOWER),
    ("Size", "number", LOWER),
    ("Images /s", "number", HIGHER),
    ("Probes", "", LOWER),
    ("Explained by the arcs", "number", HIGHER),
)
"""Title, class and first direction of sorting of each column of a set's table."""

MATRICES = (
    (
        "auroc",
        "Difference of AUROC",
        "AUROC of the row less that of the column, its 95 % bootstrap interval, and DeLong’s p.",
    ),
    (
        "own",
        "McNemar, each at its own threshold",
        "Images that only the row’s finder calls right : only the column’s. McNemar’s exact p.",
    ),
    (
        "fpr",
        "McNemar, both at FPR 1\u202f%",
        "Lenses that only the row’s finder finds : only the column’s, each at the threshold that leaves 1\u202f% of "
        "these non-lenses above it. McNemar’s exact p, given these thresholds.",
    ),
)


def cell(text: str, *under: str, value: float | None = None) -> dict[str, Any]:
    """A cell: its number, the small lines under it, and what the column is sorted by."""
    return {"text": text, "under": [line for line in under if line], "value": value}


def set_table(comparison: dict[str, Any], block: dict[str, Any]) -> list[dict[str, Any]]:
    """One row per finder of a set, the highest AUROC first: ``place``, ``finder``, ``cells``, ``warnings``."""
    facts = {one["finder"]: one for one in comparison["finders"]}
    speeds = {one["finder"]: one for one in comparison["speed"]}
    probes = {one["finder"]: one for one in (comparison["probes"] or {"finders": []})["finders"]}
    explained = {one["finder"]: one for one in block["explanations"]}
    rows = {row["finder"]: row for row in block["rows"]}
    table = []
    for place in block["ranking"]:
        name = place["finder"]
        row = rows[name]
        cells = [metric_cell(row["metrics"][key]) for key, _ in METRICS]
        cells += [error_cell(row["calibration"]), metric_cell(row["calibration"].brier.to_json())]
        cells += [size_cell(facts[name]), speed_cell(speeds.get(name))]
        cells += [probe_cell(probes.get(name), comparison["probes"]), share_cell(explained.get(name), block)]
        counted = {key: row[key] for key in ("n_lenses", "n_non_lenses")}
        table.append({**place, **counted, "cells": cells, "unused": unused_of(row), "warnings": warnings_of(row)})
    return table


def metric_cell(metric: dict[str, Any]) -> dict[str, Any]:
    """Value over its interval, or why there is none."""
    if metric["value"] is None:
        return cell("—", metric["status"])
    between = interval(metric["low"], metric["high"])
    return cell(decimal(metric["value"]), between, metric["status"], value=metric["value"])


def error_cell(calibration: Calibration) -> dict[str, Any]:
    """The calibration error, with what chance alone would give."""
    shown = metric_cell(calibration.ece.to_json())
    if math.isfinite(calibration.ece.value):
        shown["under"].append(f"chance < {decimal(calibration.ece_by_chance)}")
    return shown


def size_cell(facts: dict[str, Any]) -> dict[str, Any]:
    """Parameters over bytes; exact counts, so without an interval."""
    on_disk = facts["bytes_on_disk"]
    stored = f"{significant(on_disk / 1e6)} MB on disk" if on_disk else "no file"
    return cell(count(facts["parameters"]), "parameters", stored, value=facts["parameters"])


def speed_cell(speed: dict[str, Any] | None) -> dict[str, Any]:
    """Median over range; of this machine and run."""
    if speed is None:
        return cell("—", "not measured")
    between = f"{significant(speed['lowest'])}–{significant(speed['highest'])}"
    n = f"{speed['repeats']} × {speed['images']} images"
    return cell(significant(speed["images_per_s"]), between, n, value=speed["images_per_s"])


def probe_cell(said: dict[str, Any] | None, probes: dict[str, Any] | None) -> dict[str, Any]:
    """How many probes got which verdict, the gravest first."""
    if said is None or probes is None:
        return cell("—", "not asked")
    if not said["verdicts"]:
        return cell("—", "none applies")
    counted = Counter(present_word(one["word"]) for one in said["verdicts"])
    gravest_first = sorted(counted, key=lambda word: state_of(word).gravity)
    words = [f"{counted[word]} {word}" for word in gravest_first]
    under = f"of {len(said['verdicts'])}; n = {probes['n']} pairs each"
    gravity = sum(counted[word] * 100.0 ** -state_of(word).gravity for word in counted)
    return cell(", ".join(words), under, value=gravity)


def share_cell(explained: dict[str, Any] | None, block: dict[str, Any]) -> dict[str, Any]:
    """Share of the positive attribution on the arcs by the first method that was asked for."""
    if explained is None:
        return cell("—", "not asked")
    rows = [row for row in explained["rows"] if row["kind"] == block["main_kind"]]
    if not rows or rows[0]["value"] is None:
        return cell("—", explained["why"] or (rows[0]["status"] if rows else "no such lens"))
    row = rows[0]
    under = (interval(row["low"], row["high"], 2), f"chance {decimal(row['chance'], 2)}")
    return cell(decimal(row["value"], 2), *under, f"{row['title'].lower()}, n = {row['n']}", value=row["value"])


def warnings_of(row: dict[str, Any]) -> list[str]:
    """What a reader of the row must know."""
    warnings = []
    if row["seen"]:
        warnings.append(f"this set was its {row['seen']} set: its numbers here say nothing of new images")
    if row["other_pixels"]:
        warnings.append(f"{row['other_pixels']}; resampled as asked")
    if row.get("pixels"):  # not in comparisons of earlier versions
        warnings += row["pixels"]["remarks"]
    if row["n_unscored"]:
        warnings.append(f"{count(row['n_unscored'])} images could not be scored")
    return warnings


def unused_of(row: dict[str, Any]) -> str:
    """Bands of the set that the finder leaves aside; empty for none."""
    return f"leaves out {', '.join(row['unused_bands'])}" if row["unused_bands"] else ""


def told_apart(block: dict[str, Any]) -> list[str]:
    """Sentences: of each finder, from which others its AUROC is not told."""
    sentences = []
    for one in block["ranking"]:
        others = one["not_told_from"]
        if others is None:
            continue
        words = f"not told from {', '.join(others)}" if others else "told from every other"
        sentences.append(f"{one['place']}. {one['finder']}: {words}")
    return sentences


def matrices_of(block: dict[str, Any]) -> list[dict[str, Any]]:
    """The three comparisons as tables, above the diagonal, in the order of the ranking."""
    order = [one["finder"] for one in block["ranking"]]
    return [
        {
            "name": name,
            "title": title,
            "note": note,
            "order": order,
            "n": block["pairs"][0][name]["n"],
            "rows": [{"finder": a, "cells": _matrix_row(name, a, order, block["pairs"])} for a in order[:-1]],
        }
        for name, title, note in MATRICES
        if block["pairs"]
    ]


def _matrix_row(name: str, a: str, order: Sequence[str], pairs: Sequence[dict[str, Any]]) -> list[Any]:
    found = {(pair["a"], pair["b"]): pair[name] for pair in pairs}
    cells: list[Any] = []
    for b in order[1:]:
        if order.index(b) <= order.index(a):
            cells.append(None)
        elif (a, b) in found:
            cells.append(_pair_cell(name, found[a, b], forward=True))
        else:
            cells.append(_pair_cell(name, found[b, a], forward=False))
    return cells


def _pair_cell(name: str, found: dict[str, Any], *, forward: bool) -> dict[str, Any]:
    if name == "auroc":
        values = [found["difference"], found["low"], found["high"]]
        value, low, high = values if forward else [-values[0], -values[2], -values[1]]
        head, under = f"{value:+.3f}".replace("-", "−"), interval(low, high)
    else:
        alone = (found["a_alone"], found["b_alone"])
        head, under = "{} : {}".format(*map(count, alone if forward else alone[::-1])), ""
    return {
        "head": head,
        "under": under,
        "p": p_value(found["p_holm"]),
        "shown": found["p_holm"] < SIGNIFICANCE,
    }


def _instruments(verdicts: Sequence[dict[str, Any]]) -> str:
    """Whose cutouts the finder was asked about."""
    return ", ".join(dict.fromkeys(verdict["instrument"] for verdict in verdicts))


def verdicts_said(probes: dict[str, Any] | None) -> dict[str, str]:
    """Word of every state → its definition, with the words an earlier version wrote where they are in use."""
    said = {
        present_word(one["word"]) for finder in (probes or {"finders": []})["finders"] for one in finder["verdicts"]
    }
    states = {state.word: state for state in STATES} | {word: state_of(word) for word in said}
    return {word: state.definition for word, state in sorted(states.items(), key=lambda item: item[1].gravity)}


def probe_table(probes: dict[str, Any] | None) -> dict[str, Any] | None:
    """Probes as rows, finders as columns; cells hold a verdict or why the finder was not asked."""
    if probes is None:
        return None
    asked = [one for one in probes["finders"] if one["verdicts"]]
    rows = []
    for probe in probes["probes"]:
        cells = []
        for one in asked:
            said = {verdict["probe"]: verdict for verdict in one["verdicts"]}
            why = {refused["probe"]: refused["why"] for refused in one["not_applicable"]}
            cells.append({"said": said.get(probe["probe"]), "why": why.get(probe["probe"], "")})
        rows.append({**probe, "cells": cells})
    unasked = [one for one in probes["finders"] if not one["verdicts"]]
    return {
        "n": probes["n"],
        "seed": probes["seed"],
        "finders": [{"finder": one["finder"], "instruments": _instruments(one["verdicts"])} for one in asked],
        "rows": rows,
        "unasked": [{"finder": one["finder"], "why": one["not_applicable"][0]["why"]} for one in unasked],
    }
