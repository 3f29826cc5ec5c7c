"""Herle, O'Riordan & Vegetti 2024: the shifts of the medians of selected lenses, and which of them are causal.

Medians of Einstein radius, source size and source Sérsic index among the lenses selected at two false-positive rates
of a test set; how far each would move if the arcs' S/N alone decided; and each property set to the 10 % and 90 % points
of the population in paired images, with the source's flux held, with the arcs' flux held (which takes the magnification
away) and with the arcs' S/N held.

    python benchmarks/herle_2024.py FINDER [FINDER ...] --test SET [--also SET] --out DIR [--n 600]
        [--seed 154] [--figure PNG]

The population is `uniform`, where these properties are independent. Answers are kept in DIR and asked only once.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lensaudit.display.figures import new_figure, save_figure
from lensaudit.finders import Finder, load_finder, score_set
from lensaudit.imaging import INSTRUMENTS, Band, Instrument, Rendered, render
from lensaudit.imaging.raytracing import Shared
from lensaudit.imaging.truth import ARC_THRESHOLD_SIGMA, arc_signal_to_noise, brighter_by_mag
from lensaudit.lensset import LensSet
from lensaudit.scenes import Scene, draw_scene, edits
from lensaudit.scenes.edits.lens import the_pair, theta_e_arcsec
from lensaudit.scenes.populations.uniform import TABLE
from lensaudit.statistics import (
    allowed_false_positives,
    bootstrap_interval,
    mcnemar_exact,
    median_shifts,
    paired_difference_interval,
    strict_threshold,
)

RATES = {"8σ": 0.01, "12σ": 0.001}
"""False-positive rates that stand for the paper's two thresholds; its own scale is not in its abstract."""
THEIRS = {"theta_e_arcsec": (0.879, 1.04), "source_r_eff_arcsec": (0.178, 0.194), "source_n_sersic": (2.55, 2.62)}
"""Medians at 8σ and at 12σ, Herle et al. 2024, abstract."""
RESAMPLES = 1000
SNR_BINS = 20
Floats = NDArray[np.float64]


def _at(bounds: tuple[float, float]) -> tuple[float, float]:
    low, high = bounds
    return low + 0.1 * (high - low), low + 0.9 * (high - low)


def _theta(scene: Scene, value: float) -> Scene:
    return edits.einstein_radius(scene, value)


def _theta_and_source(scene: Scene, value: float) -> Scene:
    return edits.source_size(_theta(scene, value), value / theta_e_arcsec(*the_pair(scene, "theta-and-source")))


def _size(scene: Scene, value: float, hold: str = "flux") -> Scene:
    return edits.source_size(scene, value / scene.lensed[-1].light[0].r_eff_arcsec, hold=hold)


def _size_at_surface_brightness(scene: Scene, value: float) -> Scene:
    return _size(scene, value, hold="surface-brightness")


@dataclass(frozen=True)
class Property:
    """What is set to a low and a high value, and what else is asked of it with the arcs' flux and S/N held."""

    label: str
    edit: Callable[[Scene, float], Scene]
    values: tuple[float, float]
    holds: tuple[str, ...] = ("source flux", "arc flux", "arc S/N")


PROPERTIES = (
    Property("θ_E", _theta, _at(TABLE.theta_e_arcsec)),
    Property("θ_E, the source scaled with it", _theta_and_source, _at(TABLE.theta_e_arcsec)),
    Property("source size", _size, _at(TABLE.source_r_eff_arcsec)),
    Property(
        "source size, surface brightness held",
        _size_at_surface_brightness,
        _at(TABLE.source_r_eff_arcsec),
        ("surface brightness",),
    ),
    Property("source Sérsic index", edits.source_sersic, _at(TABLE.source_n_sersic)),
    Property("source flux, ± 1 mag", lambda scene, mag: edits.source_dimmed(scene, -mag), (-1.0, 1.0), ("all else",)),
)
MEASURED = ("arc_snr", "mag_arc_VIS", "magnification", "n_arc_pixels")


Render = Callable[[Scene], Rendered]


def held(scene: Scene, edited: Scene, what: str, band: Band, seen: Render) -> Scene:
    """The edited scene with its source's flux changed so that flux or S/N of its arcs is that of the drawn scene."""
    if what not in ("arc flux", "arc S/N"):
        return edited
    before, light = (seen(one).truth.source_light[band.name] for one in (scene, edited))
    if what == "arc flux":
        return edits.source_dimmed(edited, 2.5 * float(np.log10(light.sum(dtype=float) / before.sum(dtype=float))))
    sigma = scene.noise_scale * band.background_sigma
    target = arc_signal_to_noise(before, before > ARC_THRESHOLD_SIGMA * sigma, sigma)
    brighter = brighter_by_mag(light, sigma, target)
    assert brighter is not None
    return edits.source_dimmed(edited, -brighter)


def arms() -> list[tuple[str, str, int]]:
    """(property, what is held, 0 low or 1 high) of every arm but the drawn scenes."""
    return [(one.label, what, end) for one in PROPERTIES for what in one.holds for end in (0, 1)]


def asked(finders: Sequence[Finder], instrument: Instrument, n: int, seed: int) -> dict[str, Floats]:
    """Logits (finders, arms + 1, n), the drawn scenes first, and truth ``MEASURED`` (arms + 1, n) of each arm."""
    known = {one.label: one for one in PROPERTIES}
    logits = np.empty((len(finders), len(arms()) + 1, n))
    truth = {name: np.empty((len(arms()) + 1, n)) for name in MEASURED}
    for index in range(n):
        scene = draw_scene("uniform-lens", seed, index, instrument.sky)
        seen = partial(render, instrument=instrument, shared=Shared())
        rendered = [seen(scene)]
        for label, what, end in arms():
            edited = known[label].edit(scene, known[label].values[end])
            rendered.append(seen(held(scene, edited, what, instrument.bands[0], seen)))
        for name in MEASURED:
            truth[name][:, index] = [float(one.truth.row[name]) for one in rendered]
        cutouts = {band: np.stack([one.images[band] for one in rendered]) for band in instrument.band_names}
        with torch.inference_mode():
            for number, finder in enumerate(finders):
                logits[number, :, index] = finder.logit(finder.preprocess(cutouts)).double().numpy()
        if index % 50 == 49:
            print(f"{index + 1} of {n} pairs", flush=True)
    return {"logits": logits, **truth}


def by_snr_alone(snr: Floats, found: NDArray[np.bool_], value: Floats) -> float:
    """Median of `value` if each lens were selected with the probability of its S/N: by its bin's recall."""
    edges = np.quantile(snr, np.linspace(0, 1, SNR_BINS + 1)[1:-1])
    bins = np.searchsorted(edges, snr)
    recall = np.bincount(bins, found, SNR_BINS) / np.maximum(np.bincount(bins, minlength=SNR_BINS), 1)
    weights, order = recall[bins], np.argsort(value)
    running = np.cumsum(weights[order])
    return float(value[order][np.searchsorted(running, running[-1] / 2)]) if running[-1] > 0 else float("nan")


def limits_of(others: Floats) -> dict[str, float]:
    """The logit of the non-lenses (n,) above which a system is selected, at each rate."""
    n = len(others)
    return {name: float(strict_threshold(others, allowed_false_positives(n, rate))) for name, rate in RATES.items()}


def shifts(logit: Floats, lens_set: LensSet, limits: dict[str, float]) -> list[str]:
    """Rows of medians: all lenses, the selected ones, how far apart, and how far by the arcs' S/N alone."""
    labels = lens_set.labels
    lenses = logit[labels == 1]
    columns = {name: np.asarray(lens_set.column(name), float)[labels == 1] for name in (*THEIRS, "arc_snr")}
    found = np.column_stack([lenses > limit for limit in limits.values()])
    table = np.column_stack([columns[name] for name in THEIRS])
    of_all = median_shifts(table, found, np.random.default_rng(1), resamples=RESAMPLES)
    loose = found[:, 0]
    between = median_shifts(table[loose], found[loose][:, 1:], np.random.default_rng(2), resamples=RESAMPLES)
    recall = ", ".join(f"{name} {found[:, i].mean():.3f}" for i, name in enumerate(limits))
    lines = [f"{len(lenses)} lenses, {(labels == 0).sum()} non-lenses; recall {recall}; logits above {limits}"]
    for k, name in enumerate(THEIRS):
        cells = [f"{of_all.everyone[k]:.3f}"]
        for c in range(len(RATES)):
            cells.append(
                f"{of_all.members[c, k]:.3f} [{of_all.members_low[c, k]:.3f}, {of_all.members_high[c, k]:.3f}]"
            )
            cells.append(f"{of_all.shift[c, k]:+.3f} [{of_all.shift_low[c, k]:+.3f}, {of_all.shift_high[c, k]:+.3f}]")
            alone = _resampled_alone(columns["arc_snr"], found[:, c], columns[name])
            cells.append("S/N alone " + alone)
        cells.append(f"{between.shift[0, k]:+.3f} [{between.shift_low[0, k]:+.3f}, {between.shift_high[0, k]:+.3f}]")
        cells.append(f"theirs {THEIRS[name][1] - THEIRS[name][0]:+.3f}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def _resampled_alone(snr: Floats, found: NDArray[np.bool_], value: Floats) -> str:
    rng = np.random.default_rng(3)
    drawn = []
    for _ in range(300):
        rows = rng.integers(0, len(value), len(value))
        drawn.append(by_snr_alone(snr[rows], found[rows], value[rows]) - np.median(value[rows]))
    low, high = np.quantile(drawn, (0.025, 0.975))
    return f"{by_snr_alone(snr, found, value) - np.median(value):+.3f} [{low:+.3f}, {high:+.3f}]"


def effects(logits: Floats, truth: dict[str, Floats], limits: dict[str, float]) -> list[dict[str, Any]]:
    """High less low of every property and hold: log-odds, recall at each rate, and what the arcs did."""
    rows: list[dict[str, Any]] = []
    for place in range(0, len(arms()), 2):
        label, what, _ = arms()[place]
        low, high = logits[place + 1], logits[place + 2]
        change = high - low
        ends = bootstrap_interval([change], np.mean, np.random.default_rng(4), resamples=RESAMPLES)
        row: dict[str, Any] = {"property": label, "held": what, "logit": (float(change.mean()), *ends)}
        for name, limit in limits.items():
            gained, lost = int(((high > limit) & (low <= limit)).sum()), int(((high <= limit) & (low > limit)).sum())
            difference = (gained - lost) / len(low), *paired_difference_interval(gained, lost, len(low))
            row[name] = (float((low > limit).mean()), float((high > limit).mean()), *difference)
            row[f"p {name}"] = mcnemar_exact(gained, lost)
        row["arcs"] = {name: [float(np.median(truth[name][place + end])) for end in (1, 2)] for name in MEASURED}
        rows.append(row)
    return rows


def as_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The effects as a table."""
    lines = ["| property | held | arc S/N | magnification | log-odds | recall, 8σ | recall, 12σ |"]
    for row in rows:
        arcs, cells = row["arcs"], []
        for name in RATES:
            low, high, change, start, end = row[name]
            cells.append(f"{low:.3f} → {high:.3f}, {change:+.3f} [{start:+.3f}, {end:+.3f}], p {row['p ' + name]:.1g}")
        logit = "{:+.2f} [{:+.2f}, {:+.2f}]".format(*row["logit"])
        seen = " | ".join("{:.1f} → {:.1f}".format(*arcs[name]) for name in ("arc_snr", "magnification"))
        lines.append(f"| {row['property']} | {row['held']} | {seen} | {logit} | " + " | ".join(cells) + " |")
    return lines


def draw(path: Path, rows: dict[str, list[dict[str, Any]]], rate: str = "12σ") -> None:
    """Change of recall from low to high of every property and hold, one mark a finder."""
    figure = new_figure(7.4, 4.2)
    axes = figure.subplots()
    names = [f"{row['property']}: {row['held']}" for row in next(iter(rows.values()))]
    for number, (finder, of_it) in enumerate(rows.items()):
        for place, row in enumerate(of_it):
            _, _, change, low, high = row[rate]
            y, colour = -place - 0.22 * number, f"C{number}"
            axes.plot([low, high], [y, y], color=colour, linewidth=1.1)
            axes.plot(change, y, "o", color=colour, markersize=4, label=finder if not place else None)
    axes.axvline(0, color="0.6", linewidth=0.8)
    axes.set_yticks([-place - 0.1 for place in range(len(names))], names)
    axes.set_xlabel("change of recall at FPR 0.1 %")
    axes.legend(loc="upper left", frameon=False)
    save_figure(path, figure)


def main() -> None:
    """Ask, or take what was asked before, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("finders", nargs="+")
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--also", type=Path, help="lenses of another population, at the same logits")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--instrument", default="vis64")
    parser.add_argument("--n", type=int, default=600)
    parser.add_argument("--seed", type=int, default=154)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    finders = [load_finder(name) for name in options.finders]
    torch.set_num_threads(1)
    kept = options.out / f"answers-{options.seed}-{options.n}-{'-'.join(one.weights_hash[:8] for one in finders)}.npz"
    if not kept.exists():
        said: dict[str, Any] = asked(finders, INSTRUMENTS[options.instrument], options.n, options.seed)
        np.savez(kept, **said)
    answers, rows = dict(np.load(kept)), {}
    for number, (name, finder) in enumerate(zip(options.finders, finders, strict=True)):
        logit = np.asarray(score_set(finder, LensSet.open(options.test)).logit, float)
        limits = limits_of(logit[LensSet.open(options.test).labels == 0])
        lines = shifts(logit, LensSet.open(options.test), limits)
        if options.also:
            other = LensSet.open(options.also)
            lines += shifts(np.asarray(score_set(finder, other).logit, float), other, limits)
        rows[Path(name).name] = effects(answers["logits"][number], answers, limits)
        drawn = ", ".join(f"{(answers['logits'][number, 0] > limit).mean():.3f}" for limit in limits.values())
        print(f"\n## {name}\n", *lines, f"recall of the {options.n} drawn lenses {drawn}", sep="\n")
        print(*as_lines(rows[Path(name).name]), sep="\n")
    (options.out / "effects.json").write_text(json.dumps(rows, ensure_ascii=False, indent=1), "utf-8")
    if options.figure:
        draw(options.figure, rows)


if __name__ == "__main__":
    main()
