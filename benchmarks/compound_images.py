"""Images of compound lenses as Wilde et al. 2022 make them with lenstronomy, and what networks see in them.

Images are made as the public notebook makes them: one point a pixel, a PSF of 0.16″ in all bands, square roots. Run by
itself it says what networks call noise, single galaxies and arcs whose bands are changed.

    python benchmarks/compound_images.py --network OU-JYH=OU_JYH_Weights.pt [--network OU-66=…] [--n 100]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from lensaudit.finders import Finder, load_finder, load_recipe, read_published
from lensaudit.finders.stretch import SQRT_CEILING, resized
from lensaudit.imaging import EUCLID, Band, Instrument, Numerics
from lensaudit.imaging.noise import add_noise, unit_noise
from lensaudit.imaging.psf import convolve, kernel
from lensaudit.imaging.render import draw_light, noiseless_images
from lensaudit.scenes import Galaxy, Light, Psf, Scene
from lensaudit.scenes.populations.faithful import FAITHFUL_ARCS, FAITHFUL_RINGS, Catalogue, draw_faithful
from lensaudit.statistics import wilson_interval

KINDS = {"arcs": FAITHFUL_ARCS, "rings": FAITHFUL_RINGS}
RECIPES = {name: name.lower() for name in ("OU-H", "OU-J", "OU-Y", "OU-JYH", "OU-VIS")} | {
    "OU-66": "ou66",
    "OU-200": "ou200",
}
SCALINGS = ("together", "by-instrument", "by-band", "unscaled")
"""One minimum and maximum for all bands; one for NISP's and one for VIS; one for each; none, the root over 100."""
RELEASES = ("1.5.1", "1.6.0", "1.9.1")
"""Of lenstronomy: to 1.5.1 pixels are counts, later electrons; to 1.9.0 the square of the sky's light is taken for the
variance of its noise; to 1.8.2 the Sérsic radius is that of the major axis. 1.6.0 stands for all to 1.8.2."""
SPECTRA = ("as-called", "as-meant")
"""The notebook hands its spectra's weights to SkyPy as a redshift; with the weights as meant galaxies are redder."""
UNIT_MAG = 15.0
"""Light is rendered at this magnitude, so that nothing is too faint to draw, and scaled."""
PIXEL_CENTRES = Numerics(core_oversample=1)
NOTEBOOK_FWHM_ARCSEC = 0.16


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
            f"{self.width_mag:.2f}, heavier {self.heavier_mag:+.2f}, {self.release}, {self.scaling}, {self.spectra}"
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
        self.parts = {
            name: [np.stack(images) for images in zip(*(one[name] for one in parts), strict=True)] for name in BANDS
        }

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
    keys: dict[str, Callable[[str], object]]
    keys = {"together": lambda _: "", "by-instrument": lambda band: band == "VIS", "by-band": str}
    key = keys[scaling]
    found = torch.empty_like(images)
    for group in {key(band) for band in bands}:
        these = [index for index, band in enumerate(bands) if key(band) == group]
        part = images[:, these]
        low, high = part.amin(dim=(1, 2, 3), keepdim=True), part.amax(dim=(1, 2, 3), keepdim=True)
        found[:, these] = (part - low) / (high - low)
    return found


def prepared(bands: dict[str, torch.Tensor], finder: Finder, scaling: str) -> torch.Tensor:
    """What goes into a network (n, bands, size, size) of native images of every band."""
    recipe = finder.recipe
    return scaled(
        torch.stack([resized(bands[name], recipe.size) for name in recipe.bands], dim=1), recipe.bands, scaling
    )


def alike(scaling: str, bands: Sequence[str]) -> str:
    """The first scaling that is the same for these bands."""
    if scaling == "by-instrument" and "VIS" not in bands:
        return "together"
    return "by-band" if len(bands) == 1 and scaling != "unscaled" else scaling


def found_by(finder: Finder, images: torch.Tensor) -> int:
    """How many of the images the finder calls a lens."""
    with torch.inference_mode():
        return sum(int((finder.logit(part) >= 0).sum()) for part in images.split(16))


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


def noisy(light: dict[str, np.ndarray], n: int) -> dict[str, np.ndarray]:
    """Band → n images (n, h, w) of the same light, with the noise of today's lenstronomy."""
    found = {}
    for index, (name, band) in enumerate(BANDS.items()):
        noise = np.stack([unit_noise(seed, index, (band.pixels,) * 2) for seed in range(n)])
        found[name] = add_noise(np.broadcast_to(light[name], noise.shape).astype(np.float32), noise, band)
    return found


def galaxy_of(magnitude: float, radius_arcsec: float) -> dict[str, np.ndarray]:
    """Band → light of one galaxy of that magnitude in every band, noiseless."""
    light = Light("sersic", dict.fromkeys(BANDS, magnitude), radius_arcsec, n_sersic=2.75, axis_ratio=0.7)
    scene = Scene(
        "no-source", (Galaxy("lens", 0.5, 0.0, 0.0, (light,), lensed=False),), psf=Psf("gaussian"), noise_seed=0
    )
    return {
        name: image
        for instrument in INSTRUMENTS
        for name, image in noiseless_images(scene, instrument, PIXEL_CENTRES).items()
    }


def rooted(images: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """As the notebook stores them."""
    return {name: torch.from_numpy(np.sqrt(np.clip(image, 0, SQRT_CEILING)) / 100) for name, image in images.items()}


def main() -> None:
    """Print what each network calls a lens."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", action="append", required=True, metavar="NAME=PATH")
    parser.add_argument("--n", type=int, default=100)
    options = parser.parse_args()
    torch.set_num_threads(1)
    finders = read_networks(options.network)

    def report(what: str, images: dict[str, torch.Tensor], scaling: str) -> None:
        cells = []
        for finder in finders.values():
            found = found_by(finder, prepared(images, finder, scaling))
            low, high = wilson_interval(found, options.n)
            cells.append(f"{found / options.n:.2f} [{low:.2f}, {high:.2f}]")
        print(f"| {what} | {scaling} | {' | '.join(cells)} |", flush=True)

    print(f"| images | scaled | {' | '.join(finders)} |")
    noise = noisy(dict.fromkeys(BANDS, np.zeros(())), options.n)
    report("noise, linear", {name: torch.from_numpy(image) for name, image in noise.items()}, "by-band")
    for scaling in SCALINGS:
        report("noise, root", rooted(noise), scaling)
    for magnitude, radius in ((21.0, 3.0), (19.0, 3.0), (17.0, 3.0), (19.0, 0.5)):
        light = noisy(galaxy_of(magnitude, radius), options.n)
        report(f"galaxy of {magnitude:.0f} mag, R {radius}″, root", rooted(light), "together")
    point = Point(24.0, 24.0, -22.0, 0.9, 0.0, "1.6.0", "together", "as-called")
    systems = Systems(point.masses, point.spectra, True, Sample("arcs", options.n, 1))
    roots = {name: systems.root(name, point) for name in BANDS}
    for scaling in SCALINGS:
        report("arcs", roots, scaling)
    report("arcs, root of VIS halved", roots | {"VIS": roots["VIS"] / 2}, "together")
    report("arcs, J and Y exchanged", roots | {"J": roots["Y"], "Y": roots["J"]}, "together")


if __name__ == "__main__":
    main()
