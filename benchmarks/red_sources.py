"""Whether red sources are found: the built-in probes, and two of colours that no set of `simulate --redden` has.

`dust` and `old` are edits of `red_sources_dust.yaml` and `red_sources_old.yaml`; the VIS magnitude stays, as in
`red-source`. Prints a table for each probe, differences between finders over the same pairs, and one figure:

    python benchmarks/red_sources.py FINDER [NAME=FINDER …] --n 300 --out DIR
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from open_questions import answers_of, draw, table

from lensaudit.finders import Finder, load_finder
from lensaudit.probes import ProbeDefinition, audited, load_definition
from lensaudit.probes.page import crossing_sentence
from lensaudit.probes.result import ProbeResult
from lensaudit.probes.run import why_not_applicable
from lensaudit.scenes import Scene, draw_scene, edits
from lensaudit.scenes.colours import draw_template_mix, effective_wavelength_nm, magnitudes_on
from lensaudit.statistics import auroc, auroc_interval, bootstrap_interval

STREAM = 8101
HERE = Path(__file__).resolve().parent
PROBES = ("red-source", "red-source-total-flux", HERE / "red_sources_dust.yaml", HERE / "red_sources_old.yaml")


def dust(scene: Scene, strength: float) -> Scene:
    """Put the source behind a screen of `strength` mag of A_V: the law of Calzetti et al. 2000 in its rest frame."""
    (source,) = (galaxy for galaxy in scene.galaxies if galaxy.role == "source")
    sky = scene.sky
    micron = {b: effective_wavelength_nm(sky.filter(b)) / 1000 / (1 + source.redshift) for b in sky.bands}
    extinction = {band: strength * calzetti(value) for band, value in micron.items()}
    shift = {band: value - extinction[sky.reference] for band, value in extinction.items()}
    return _in_colours(scene, {band: source.magnitude(band) + shift[band] for band in sky.bands})


def old(scene: Scene, strength: float) -> Scene:
    """Move the source's colours towards those of a red galaxy at its redshift, as lens galaxies are drawn: 1 is one."""
    (source,) = (galaxy for galaxy in scene.galaxies if galaxy.role == "source")
    rng = np.random.default_rng([scene.noise_seed, STREAM])
    mix = draw_template_mix("red", source.redshift, rng)
    red = magnitudes_on(scene.sky, mix, source.redshift, source.magnitude(scene.sky.reference))
    own = {band: source.magnitude(band) for band in scene.sky.bands}
    return _in_colours(scene, {band: own[band] + strength * (red[band] - own[band]) for band in own})


def calzetti(micron: float) -> float:
    """A(λ) / A_V, λ in µm of the rest frame: Calzetti et al. 2000, eq. 4 (0.12–2.2 µm)."""
    if micron >= 0.63:
        return (2.659 * (-1.857 + 1.040 / micron) + 4.05) / 4.05
    return (2.659 * (-2.156 + 1.509 / micron - 0.198 / micron**2 + 0.011 / micron**3) + 4.05) / 4.05


def _in_colours(scene: Scene, magnitudes: dict[str, float]) -> Scene:
    """The scene with these magnitudes of its source."""
    return replace(
        scene,
        galaxies=tuple(
            replace(galaxy, light=(replace(galaxy.light[0], magnitudes=magnitudes),))
            if galaxy.role == "source"
            else galaxy
            for galaxy in scene.galaxies
        ),
    )


def all_answers(finders: Sequence[Finder], probe: ProbeDefinition, arguments: argparse.Namespace) -> list[ProbeResult]:
    """One result per finder; the probe must apply to all, as they are held against each other pair by pair."""
    for finder in finders:
        why = why_not_applicable(probe, finder)
        if why is not None:
            raise SystemExit(f"probe {probe.name}: {why}; leave one of the two out")
    return [one for one in answers_of(finders, probe, arguments) if one is not None]


def found_in_arms(result: ProbeResult) -> NDArray[np.float64]:
    """1 where a lens is found, (arms, n), the control first."""
    columns = {one.name: np.asarray(one.values) for one in result.every_dose}
    p, arm = columns["p"], columns["arm"]
    return np.stack([p[arm == k] >= result.finder.threshold for k in np.unique(arm)]).astype(float)


def differences(results: Sequence[ProbeResult], names: Sequence[str]) -> list[str]:
    """At the largest dose: recall of one finder less another's, and its change less the other's, 95 % over pairs."""
    found, lines = [found_in_arms(one) for one in results], []
    for a, b in combinations(range(len(names)), 2):
        recall = found[b][-1] - found[a][-1]
        change = recall - (found[b][0] - found[a][0])
        said = []
        for what, values in (("recall", recall), ("change of recall", change)):
            low, high = bootstrap_interval([values], np.mean, np.random.default_rng(1))
            said.append(f"{what} {values.mean():+.3f} [{low:+.3f}, {high:+.3f}]")
        lines.append(f"* {names[b]} − {names[a]}, largest dose, n = {len(recall)}: {'; '.join(said)}")
    return lines


def drawn_colours(n: int, seed: int, low: float, high: float) -> list[NDArray[np.float64]]:
    """VIS − H (mag, means of scenes) of arcs and of what passes for them in `n` scenes of ``euclid``."""
    found: tuple[list[float], list[float]] = ([], [])
    for index in range(n):
        scene = draw_scene("euclid", seed, index)
        drawn, moved = edits.arc_colour_drawn(scene, low, high), edits.arc_colour(scene, 1.0)
        parts = zip(
            *([part for galaxy in one.galaxies for part in galaxy.light] for one in (scene, moved, drawn)), strict=True
        )
        colours = [c.magnitudes["VIS"] - c.magnitudes["H"] for a, b, c in parts if a != b]
        if colours:
            found[1 - scene.label].append(float(np.mean(colours)))
    return [np.array(one) for one in found]


def print_colours(n: int, seed: int) -> None:
    """Percentiles 5, 50, 95 of both classes' colours, plain and reddened, and how well colour alone tells the label."""
    for low, high in ((0.0, 0.0), (0.0, 1.5)):
        lenses, others = drawn_colours(n, seed, low, high)
        spread = [" ".join(f"{q:.2f}" for q in np.percentile(one, (5, 50, 95))) for one in (lenses, others)]
        area = "{:.3f} [{:.3f}, {:.3f}]".format(auroc(lenses, others), *auroc_interval(lenses, others))
        print(f"| {low:g}:{high:g} | {len(lenses)} + {len(others)} | {' | '.join(spread)} | {area} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("finders", nargs="*", help="NAME=FINDER, or a finder's name or folder")
    parser.add_argument("--colours", type=int, metavar="N", help="only print the colours of N scenes of --seed")
    parser.add_argument("--out", type=Path, default=Path("runs/red-sources"))
    parser.add_argument("--n", type=int, default=300)
    parser.add_argument("--probe", action="append", help="of red-source, … (all four by default), repeated")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.colours:
        return print_colours(arguments.colours, arguments.seed)
    names = [one.split("=")[0] for one in arguments.finders]
    finders = [load_finder(one.split("=")[-1]) for one in arguments.finders]
    probes = [load_definition(one) for one in arguments.probe or PROBES]
    results = {one.name: all_answers(finders, one, arguments) for one in probes}
    audits = [audited([own[k] for own in results.values()], {}) for k in range(len(finders))]
    for probe, own in results.items():
        print(f"\n## {probe}\n\n{table(audits, names, probe)}\n")
        for answer in own[0].responses:
            print(f"medians of the arms: { ({k: [round(v, 3) for v in vs] for k, vs in answer.truth.items()}) }")
        print(
            "\n".join(
                f"{n}: {crossing_sentence(r, one)}" for n, one in zip(names, own, strict=True) for r in one.responses
            )
        )
        print("\n".join(differences(own, names)))
    draw(results, names, arguments.out / "red-sources.png")


if __name__ == "__main__":
    main()
