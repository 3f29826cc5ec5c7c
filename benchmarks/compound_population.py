"""Which assumptions about the compound-lens population move the recall of a finder?

Draws compound arcs and double rings, changes one assumption at a time, and prints the recall at p ≥ 0.5 of each
finder under its own stretch and under the authors' square root, with the median arc S/N. Meant for the published
finders, whose recall on the authors' images is known (Wilde et al. 2022, Table 6).

    python benchmarks/compound_population.py FINDER [FINDER …] [--n 60] [--seed 1]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from lensaudit.finders import Finder, load_finder
from lensaudit.finders.stretch import STRETCHES
from lensaudit.imaging import EUCLID, Instrument, render
from lensaudit.scenes import Galaxy, Scene, draw_scene
from lensaudit.statistics import wilson_interval

LENSES, ALL = ("lens", "mid"), ("lens", "mid", "source")
SHARP_NISP = replace(EUCLID, bands=tuple(replace(band, fwhm_arcsec=0.16) for band in EUCLID.bands))


def edited(roles: tuple[str, ...], change: Callable[[Galaxy], Galaxy]) -> Callable[[Scene], Scene]:
    """A scene edit that changes the galaxies of some roles."""
    return lambda scene: replace(scene, galaxies=tuple(change(g) if g.role in roles else g for g in scene.galaxies))


def fainter(magnitudes: float) -> Callable[[Galaxy], Galaxy]:
    """Make a galaxy fainter by so many magnitudes."""

    def change(galaxy: Galaxy) -> Galaxy:
        parts = (
            replace(part, magnitudes={band: value + magnitudes for band, value in part.magnitudes.items()})
            for part in galaxy.light
        )
        return replace(galaxy, light=tuple(parts))

    return change


def smaller(factor: float) -> Callable[[Galaxy], Galaxy]:
    """Shrink a galaxy's half-light radii."""
    return lambda galaxy: replace(
        galaxy, light=tuple(replace(part, r_eff_arcsec=part.r_eff_arcsec * factor) for part in galaxy.light)
    )


def heavier(factor: float) -> Callable[[Galaxy], Galaxy]:
    """Raise a galaxy's velocity dispersion."""

    def change(galaxy: Galaxy) -> Galaxy:
        mass = galaxy.mass
        return galaxy if mass is None else replace(galaxy, mass=replace(mass, sigma_v_km_s=mass.sigma_v_km_s * factor))

    return change


def same(scene: Scene) -> Scene:
    """Leave the scene as drawn."""
    return scene


@dataclass(frozen=True)
class Assumption:
    """A variant of the population: its name, the population it starts from, an edit and an instrument."""

    name: str
    suffix: str = "-faithful"
    edit: Callable[[Scene], Scene] = same
    instrument: Instrument = EUCLID


ASSUMPTIONS = (
    Assumption("faithful, as drawn"),
    Assumption("physical, as drawn (field, three-fold PSF, middle lensed)", suffix=""),
    Assumption("Table 1 as printed (n to 20, shear to 0.5)", suffix="-printed"),
    Assumption("NISP PSF 0.16″", instrument=SHARP_NISP),
    Assumption("source 2 mag brighter", edit=edited(("source",), fainter(-2.0))),
    Assumption("source 4 mag brighter", edit=edited(("source",), fainter(-4.0))),
    Assumption("lens galaxies 2 mag fainter", edit=edited(LENSES, fainter(2.0))),
    Assumption("all sizes / 4", edit=edited(ALL, smaller(0.25))),
    Assumption("σ_v × 1.5", edit=edited(LENSES, heavier(1.5))),
    Assumption("physical, source 3 mag brighter", suffix="", edit=edited(("source",), fainter(-3.0))),
)


def recall(finder: Finder, cutouts: dict[str, np.ndarray]) -> tuple[int, int]:
    """How many of the cutouts the finder calls a lens, and how many there are."""
    with torch.inference_mode():
        called = finder.logit(finder.preprocess(cutouts)) >= 0
    return int(called.sum()), len(called)


def main() -> None:
    """Print one table for arcs and one for rings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("finders", nargs="+")
    parser.add_argument("--n", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    finders = [load_finder(name) for name in options.finders]
    names = [finder.name for finder in finders]
    half = max(high - low for low, high in [wilson_interval(options.n // 2, options.n)]) / 2
    print(f"n = {options.n} each; a recall of 0.5 is known to ± {half:.2f} (95 % Wilson)")
    for kind in ("arcs", "rings"):
        print(f"{kind:58s} S/N    own stretch: {' '.join(names)}    square root: {' '.join(names)}")
        for assumption in ASSUMPTIONS:
            scenes = [
                assumption.edit(draw_scene(f"compound-{kind}{assumption.suffix}", options.seed, index))
                for index in range(options.n)
            ]
            rendered = [render(scene, assumption.instrument) for scene in scenes]
            snr = np.median([float(r.truth.row["arc_snr"]) for r in rendered])
            own = {band: np.stack([r.images[band] for r in rendered]) for band in EUCLID.band_names}
            root = {
                band: STRETCHES["sqrt-minmax"].native(torch.from_numpy(images)).numpy() for band, images in own.items()
            }
            cells = [f"{k / n:5.2f}" for cutouts in (own, root) for k, n in (recall(f, cutouts) for f in finders)]
            half_way = len(finders)
            print(
                f"  {assumption.name:56s} {snr:5.1f}   {' '.join(cells[:half_way])}    {' '.join(cells[half_way:])}",
                flush=True,
            )


if __name__ == "__main__":
    main()
