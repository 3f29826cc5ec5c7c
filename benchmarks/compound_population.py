"""Wilde et al. 2022, Table 6: recall of their seven networks on compound arcs and double rings, fitted and predicted.

What the authors drew magnitudes from, their Faber–Jackson table, the unit of their pixels and how their square-rooted
images came to [0, 1] is not published. Points of all of it are drawn and the recall of the arcs decides; that of the
rings is predicted. Images are made as the public notebook makes them: one point a pixel, a PSF of 0.16″ in all bands.
Every cell is kept, so that an interrupted run goes on.

    python benchmarks/compound_population.py --network OU-200=OU_200_Weights.pt [--network OU-Y=…] --out DIR
        [--sets 60] [--near 30] [--n 48] [--again 200] [--final 400] [--seed 1] [--release 1.6.0] [--scaling by-band]
        [--spectra as-meant] [--figure PNG]
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from lensaudit.display.figures import new_figure, save_figure
from lensaudit.finders import Finder, load_finder, load_recipe, read_published
from lensaudit.finders.stretch import SQRT_CEILING, resized
from lensaudit.imaging import EUCLID, Band, Instrument, Numerics
from lensaudit.imaging.noise import add_noise, unit_noise
from lensaudit.imaging.psf import convolve, kernel
from lensaudit.imaging.render import draw_light
from lensaudit.probes.definition import load_definition
from lensaudit.scenes import Galaxy, Scene
from lensaudit.scenes.populations.faithful import FAITHFUL_ARCS, FAITHFUL_RINGS, FITTED, Catalogue, draw_faithful
from lensaudit.statistics import wilson_interval

KINDS = {"arcs": FAITHFUL_ARCS, "rings": FAITHFUL_RINGS}
FITTED_KIND = "arcs"
"""The rule, chosen before any number was seen: the arcs of all networks are fitted, all rings predicted."""
RECIPES = {name: name.lower() for name in ("OU-H", "OU-J", "OU-Y", "OU-JYH", "OU-VIS")} | {
    "OU-66": "ou66",
    "OU-200": "ou200",
}
RANGES = {
    "source_mag": (21.0, 26.0),
    "middle_mag": (20.5, 25.0),
    "lens_absolute_mag": (-25.0, -21.0),
    "width_mag": (0.5, 1.8),
    "heavier_mag": (-0.5, 1.0),
}
SCALINGS = ("together", "by-instrument", "by-band", "unscaled")
"""All bands by one minimum and maximum, NISP's three by one and VIS by its own, each by its own, as stored."""
RELEASES = ("1.5.1", "1.6.0", "1.9.1")
"""Of lenstronomy, each the first or last of its kind: to 1.5.1 pixels are counts, later electrons; to 1.9.0 the noise of
the sky is taken for the square of its light; to 1.8.2 the Sérsic radius is that of the major axis."""
SPECTRA = ("as-called", "as-meant")
"""The notebook hands its spectra's weights to SkyPy as a redshift; with the weights as meant galaxies are redder."""
UNIT_MAG = 15.0
"""Light is rendered at this magnitude, so that nothing is too faint to draw, and scaled."""
PIXEL_CENTRES = Numerics(core_oversample=1)
NOTEBOOK_FWHM_ARCSEC = 0.16
LIGHTS = 4
"""Points that share their masses, and so their rays."""
PARENTS = 5
WORTH_A_LOOK = 0.10
"""A point whose misfit is above this and above the best one's is left as soon as that is certain."""


def _instrument(bands: Sequence[str], pixels: int) -> Instrument:
    """Bands with one ray a pixel and the notebook's PSF."""
    sharp = tuple(replace(EUCLID.band(name), fwhm_arcsec=NOTEBOOK_FWHM_ARCSEC) for name in bands)
    return Instrument("notebook", sharp, pixels, sharp[0].pixel_scale_arcsec)


INSTRUMENTS = (_instrument(("VIS",), 200), _instrument(("Y", "J", "H"), 66))
BANDS = {band.name: band for instrument in INSTRUMENTS for band in instrument.bands}


@dataclass(frozen=True)
class Point:
    """One reading of what is not published: means and width of the catalogue's magnitudes, and three habits.

    Attributes
    ----------
    heavier_mag
        Galaxies have the velocity dispersion that our Faber–Jackson relation gives to those so much brighter.
    """

    source_mag: float
    middle_mag: float
    lens_absolute_mag: float
    width_mag: float
    heavier_mag: float
    release: str
    scaling: str
    spectra: str

    @property
    def masses(self) -> Catalogue:
        """Catalogue in which our relation gives the deflectors' masses; its sources are at `UNIT_MAG`."""
        middle, lens = (round(mag - self.heavier_mag, 6) for mag in (self.middle_mag, self.lens_absolute_mag))
        return Catalogue(UNIT_MAG, middle, lens, self.width_mag)

    def words(self) -> str:
        """For a line of the result."""
        return (
            f"source {self.source_mag:.2f}, middle {self.middle_mag:.2f}, lens {self.lens_absolute_mag:.2f}, width "
            f"{self.width_mag:.2f}, heavier {self.heavier_mag:+.2f}, {self.release}, {self.scaling}"
        )


@dataclass(frozen=True)
class Sample:
    """Which systems are drawn."""

    kind: str
    n: int
    seed: int


def at_unit(galaxy: Galaxy) -> Galaxy:
    """The galaxy with one magnitude in every band."""
    light = tuple(replace(part, magnitudes=dict.fromkeys(BANDS, UNIT_MAG)) for part in galaxy.light)
    return replace(galaxy, light=light)


def flux_of(magnitude: float) -> float:
    """Over that of `UNIT_MAG`."""
    return float(10.0 ** (-0.4 * (magnitude - UNIT_MAG)))


def parts_of(scene: Scene) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Band → (arcs, light of the deflectors), noiseless, PSF included."""
    deflectors = [galaxy for galaxy in scene.galaxies if galaxy.role != "source"]
    source = next(galaxy for galaxy in scene.galaxies if galaxy.role == "source")
    split = replace(scene, galaxies=(*(at_unit(galaxy) for galaxy in deflectors), at_unit(source)))
    alone = [replace(scene, galaxies=(replace(at_unit(galaxy), mass=None),)) for galaxy in deflectors]
    found = {}
    for instrument in INSTRUMENTS:
        arcs, _ = draw_light(split, instrument, PIXEL_CENTRES)
        stars = [draw_light(one, instrument, PIXEL_CENTRES)[1] for one in alone]
        for band in instrument.bands:
            pattern, name = kernel(scene.psf, band), band.name
            rest = sum(
                flux_of(galaxy.magnitude(name)) * light[name] for galaxy, light in zip(deflectors, stars, strict=True)
            )
            seen = flux_of(source.magnitude(name)) * convolve(arcs[name], pattern)
            found[name] = seen.astype(np.float32), convolve(np.asarray(rest), pattern).astype(np.float32)
    return found


def compact(scene: Scene) -> Scene:
    """The scene with Sérsic radii taken for those of the major axis."""
    galaxies = []
    for galaxy in scene.galaxies:
        (light,) = galaxy.light
        radius = light.r_eff_arcsec * float(np.sqrt(light.axis_ratio))
        galaxies.append(replace(galaxy, light=(replace(light, r_eff_arcsec=radius),)))
    return replace(scene, galaxies=tuple(galaxies))


def as_released(band: Band, release: str) -> Band:
    """The band with the noise of a release of lenstronomy."""
    if release == "1.9.1":
        return band
    gain, time = band.gain_e_per_adu if release == "1.5.1" else 1.0, band.total_exposure_s
    assert band.sky_mag_per_arcsec2 is not None
    sky = band.flux(band.sky_mag_per_arcsec2) * band.pixel_scale_arcsec**2
    variance = band.exposures * (band.read_noise_e / gain) ** 2 + time * sky**2
    return replace(band, sigma=float(np.sqrt(variance)) / time, electrons_per_unit=gain * time)


class Systems:
    """n systems of one kind and of given masses; how bright sources and deflectors are may still be chosen."""

    def __init__(self, masses: Catalogue, spectra: str, along_major: bool, sample: Sample) -> None:
        notebook = replace(KINDS[sample.kind], catalogue=masses, weighted=spectra == "as-meant")
        number = list(KINDS).index(sample.kind)
        seeds = [[sample.seed, index, number] for index in range(sample.n)]
        self.scenes = [draw_faithful(np.random.default_rng(seed), notebook) for seed in seeds]
        parts = [parts_of(compact(scene) if along_major else scene) for scene in self.scenes]
        self.parts = {name: [np.stack(images) for images in zip(*(one[name] for one in parts))] for name in BANDS}

    @cached_property
    def noise(self) -> dict[str, np.ndarray]:
        """Band → unit noise (n, h, w)."""
        return {
            name: np.stack([unit_noise(scene.noise_seed, index, (band.pixels,) * 2) for scene in self.scenes])
            for index, (name, band) in enumerate(BANDS.items())
        }

    def root(self, name: str, point: Point) -> torch.Tensor:
        """Square roots (n, h, w) of the images of a band, as the notebook stores them."""
        brighter = flux_of(point.source_mag), flux_of(UNIT_MAG + point.heavier_mag)
        arcs, rest = (np.float32(flux) * part for flux, part in zip(brighter, self.parts[name], strict=True))
        images = add_noise(arcs + rest, self.noise[name], as_released(BANDS[name], point.release))
        return torch.from_numpy(np.sqrt(np.clip(images, 0, SQRT_CEILING)) / 100)


def scaled(images: torch.Tensor, bands: Sequence[str], scaling: str) -> torch.Tensor:
    """Resized images (n, bands, h, w) brought to [0, 1]."""
    if scaling == "unscaled":
        return images
    key = {"together": lambda _: "", "by-instrument": lambda band: band == "VIS", "by-band": str}[scaling]
    found = torch.empty_like(images)
    for group in {key(band) for band in bands}:
        these = [index for index, band in enumerate(bands) if key(band) == group]
        part = images[:, these]
        low, high = part.amin(dim=(1, 2, 3), keepdim=True), part.amax(dim=(1, 2, 3), keepdim=True)
        found[:, these] = (part - low) / (high - low)
    return found


def alike(scaling: str, bands: Sequence[str]) -> str:
    """The first scaling that is the same for these bands."""
    if scaling == "by-instrument" and "VIS" not in bands:
        return "together"
    return "by-band" if len(bands) == 1 and scaling != "unscaled" else scaling


def found_by(finder: Finder, images: torch.Tensor) -> int:
    """How many of the images the finder calls a lens."""
    with torch.inference_mode():
        return sum(int((finder.logit(part) >= 0).sum()) for part in images.split(16))


@dataclass(frozen=True)
class Cell:
    """Recall of one network at a point, as a count."""

    network: str
    point: Point
    sample: Sample
    found: int = -1


class Kept:
    """Cells in a file of one JSON line each."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        self._known: dict[Cell, int] = {}
        for words in (json.loads(line) for line in lines if line.endswith("}")):
            cell = Cell(words["network"], Point(**words["point"]), Sample(**words["sample"]))
            self._known[cell] = words["found"]

    def find(self, cell: Cell) -> int | None:
        """What is known of a cell."""
        return self._known.get(cell)

    def add(self, cell: Cell, found: int) -> None:
        """Keep a cell."""
        self._known[cell] = found
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(replace(cell, found=found))) + "\n")


class Table:
    """Asks networks about points, and keeps what they say."""

    def __init__(self, finders: dict[str, Finder], kept: Kept) -> None:
        self.finders, self.kept = finders, kept
        self._drawn: tuple[tuple[Catalogue, str, bool, Sample], Systems] | None = None

    def _systems(self, point: Point, sample: Sample) -> Systems:
        key = point.masses, point.spectra, point.release != "1.9.1", sample
        if self._drawn is None or self._drawn[0] != key:
            self._drawn = key, Systems(*key)
        return self._drawn[1]

    def cell(self, network: str, point: Point, sample: Sample) -> Cell:
        """Recall of a network at a point."""
        recipe = self.finders[network].recipe
        cell = Cell(network, replace(point, scaling=alike(point.scaling, recipe.bands)), sample)
        found = self.kept.find(cell)
        if found is None:
            systems = self._systems(point, sample)
            roots = [resized(systems.root(band, point), recipe.size) for band in recipe.bands]
            images = scaled(torch.stack(roots, dim=1), recipe.bands, point.scaling)
            found = found_by(self.finders[network], images)
            self.kept.add(cell, found)
        return replace(cell, point=point, found=found)

    def cells(self, point: Point, sample: Sample, bound: float = np.inf) -> list[Cell] | None:
        """Recall of all networks; None where the misfit is certain to be above `bound`."""
        done: list[Cell] = []
        for network in self.finders:
            done.append(self.cell(network, point, sample))
            if misfit(done) * np.sqrt(len(done) / len(self.finders)) > bound:
                return None
        return done


Ranked = list[tuple[float, Point]]


def look(table: Table, points: Iterable[Point], sample: Sample, ranked: Ranked) -> int:
    """Add the misfit of points that may be the best to `ranked`, the best first; how many were looked at."""
    count = 0
    for count, point in enumerate(points, 1):
        cells = table.cells(point, sample, max(WORTH_A_LOOK, ranked[0][0] if ranked else np.inf))
        if cells is not None:
            ranked.append((misfit(cells), point))
            ranked.sort(key=lambda one: one[0])
    return count


Readings = Sequence[tuple[str, str, str]]
"""Release, scaling and spectra."""


def anywhere(index: int, seed: int, readings: Readings) -> Iterator[Point]:
    """Points of a set: the same masses, `LIGHTS` ways how bright all is, in every reading."""
    rng = np.random.default_rng([seed, index])
    draw = {name: rng.uniform(*bounds, LIGHTS).round(2).tolist() for name, bounds in RANGES.items()}
    for reading_of, light in itertools.product(SPECTRA, range(LIGHTS)):
        heavier = draw["heavier_mag"][light]
        middle, lens = (round(draw[name][0] + heavier, 2) for name in ("middle_mag", "lens_absolute_mag"))
        for reading in (one for one in readings if one[-1] == reading_of):
            yield Point(draw["source_mag"][light], middle, lens, draw["width_mag"][0], heavier, *reading)


def near(index: int, seed: int, parent: Point) -> Iterator[Point]:
    """The same about a point, in its reading."""
    rng = np.random.default_rng([seed, index, 1])
    steps = {name: rng.normal(0.0, (high - low) / 10, LIGHTS).round(2) for name, (low, high) in RANGES.items()}
    width = float(np.clip(parent.width_mag + steps["width_mag"][0], *RANGES["width_mag"]).round(2))
    for source, heavier in zip(steps["source_mag"], steps["heavier_mag"], strict=True):
        yield replace(
            parent,
            source_mag=round(parent.source_mag + float(source), 2),
            middle_mag=round(parent.middle_mag + float(steps["middle_mag"][0] + heavier), 2),
            lens_absolute_mag=round(parent.lens_absolute_mag + float(steps["lens_absolute_mag"][0] + heavier), 2),
            width_mag=width,
            heavier_mag=round(parent.heavier_mag + float(heavier), 2),
        )


def published() -> dict[tuple[str, str], float]:
    """(network, kind) → recall in the paper's Table 6."""
    definition = load_definition("compound").published
    assert definition is not None
    return {(name, kind): value for name, row in definition.recall.items() for kind, value in row.items()}


PUBLISHED = published()


def misfit(cells: Sequence[Cell]) -> float:
    """Root mean square of ours less the paper's."""
    away = [cell.found / cell.sample.n - PUBLISHED[cell.network, cell.sample.kind] for cell in cells]
    return float(np.sqrt(np.mean(np.square(away))))


def as_table(cells: Sequence[Cell]) -> str:
    """All numbers beside the paper's."""
    lines = ["| network | kind | ours | paper | difference | |", "| --- | --- | --- | --- | --- | --- |"]
    near_ones = 0
    for cell in cells:
        low, high = wilson_interval(cell.found, cell.sample.n)
        ours, theirs = cell.found / cell.sample.n, PUBLISHED[cell.network, cell.sample.kind]
        near_ones += abs(ours - theirs) <= 0.10
        how = "fitted" if cell.sample.kind == FITTED_KIND else "predicted"
        row = f"{ours:.2f} [{low:.2f}, {high:.2f}] | {theirs:.2f} | {ours - theirs:+.2f} | {how}"
        lines.append(f"| {cell.network} | {cell.sample.kind} | {row} |")
    rms = ", ".join(f"{kind} {misfit([cell for cell in cells if cell.sample.kind == kind]):.3f}" for kind in KINDS)
    return "\n".join([*lines, f"{near_ones} of {len(cells)} within ± .10; root mean square differences: {rms}"])


def draw_examples(path: Path) -> None:
    """Six arcs and six rings of the population as shipped, VIS, as the notebook stores them."""
    figure = new_figure(6.4, 2.5)
    axes = figure.subplots(2, 6)
    shipped = Point(*(FITTED.source_mag, FITTED.middle_mag, FITTED.lens_absolute_mag, FITTED.width_mag), 0.0, *("",) * 3)
    for row, kind in zip(axes, KINDS, strict=True):
        sample = Sample(kind, 6, 1)
        roots = Systems(shipped.masses, SPECTRA[0], False, sample).root("VIS", shipped)
        for ax, image in zip(row, roots, strict=True):
            ax.imshow(image, origin="lower", cmap="gray")
            ax.set_axis_off()
        row[0].set_title(kind, loc="left")
    save_figure(path, figure)


def read_networks(words: Sequence[str]) -> dict[str, Finder]:
    """``NAME=PATH`` of published weights, or of a finder's folder."""
    finders = {}
    for word in words:
        name, _, path = word.partition("=")
        if name not in RECIPES or not path:
            raise SystemExit(f"--network {word}: give one of {', '.join(RECIPES)} and a path, as OU-66=PATH")
        folder = Path(path).is_dir()
        finders[name] = load_finder(path) if folder else read_published(Path(path), load_recipe(RECIPES[name]))
    quick = sorted(finders.items(), key=lambda item: (item[1].recipe.size, len(item[1].recipe.bands)))
    return dict(quick)


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", action="append", required=True, metavar="NAME=PATH")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sets", type=int, default=60, help="masses drawn anywhere")
    parser.add_argument("--near", type=int, default=30, help="masses drawn about the best points")
    parser.add_argument("--finalists", type=int, default=12, help="best points that are looked at again")
    parser.add_argument("--n", type=int, default=48, help="systems a point in the search")
    parser.add_argument("--again", type=int, default=200, help="new systems a finalist")
    parser.add_argument("--final", type=int, default=400, help="new systems of each kind at the best point")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--figure", type=Path, help="example cutouts of the shipped population, beside the search")
    parser.add_argument("--release", action="append", choices=RELEASES)
    parser.add_argument("--scaling", action="append", choices=SCALINGS)
    parser.add_argument("--spectra", action="append", choices=SPECTRA)
    return parser.parse_args()


def main() -> None:
    """Search, look at the finalists again, and measure the best of them on new systems."""
    options = arguments()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    table = Table(read_networks(options.network), Kept(options.out / "cells.jsonl"))
    if options.figure:
        draw_examples(options.figure)
    chosen = options.release or RELEASES, options.scaling or SCALINGS, options.spectra or SPECTRA[:1]
    readings, ranked, sample = list(itertools.product(*chosen)), [], Sample(FITTED_KIND, options.n, options.seed)
    looked = sum(look(table, anywhere(i, options.seed, readings), sample, ranked) for i in range(options.sets))
    print(f"{looked} points anywhere, {len(ranked)} with all networks asked; best misfit {ranked[0][0]:.3f}", flush=True)
    for index in range(options.near):
        looked += look(table, near(index, options.seed, ranked[index % PARENTS][1]), sample, ranked)
    for reading in readings:
        best = [one for one in ranked if (one[1].release, one[1].scaling, one[1].spectra) == reading][:3]
        for value, point in best:
            print(f"{value:.3f} at {point.words()}")
    print(f"{looked} points; again:", flush=True)
    again: Ranked = []
    fresh = replace(sample, n=options.again, seed=options.seed + 1)
    for _, point in ranked[: options.finalists]:
        again.append((misfit(table.cells(point, fresh) or []), point))
    again.sort(key=lambda one: one[0])
    for value, point in again:
        print(f"{value:.3f} at {point.words()}", flush=True)
    if options.final:
        last = [Sample(kind, options.final, options.seed + 2) for kind in KINDS]
        print(as_table([cell for one in last for cell in table.cells(again[0][1], one) or []]))


if __name__ == "__main__":
    main()
