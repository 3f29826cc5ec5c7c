"""Rendering arcs into hosts: the host's own pixels, and through its own PSF the light of a lensed source.

The rays of all arms of a host are traced once. What a pixel gets of the arc below `ARC_CUT_SIGMA` of its σ is nothing:
pixels the arc does not reach are the host's bit for bit.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lensaudit.imaging import Rendered, kernel
from lensaudit.imaging.canvas import DEFAULT_NUMERICS, Numerics
from lensaudit.imaging.noise import unit_noise
from lensaudit.imaging.psf import Spectrum, convolved_piece, resampled, spectrum
from lensaudit.imaging.raytracing import Shared
from lensaudit.imaging.render import lensed_light, unlensed_light
from lensaudit.imaging.truth import measure_truth
from lensaudit.injection.choosing import Chosen, Prepared, choose, prepare
from lensaudit.injection.deflector import Seen, depth_of, draw_lensing
from lensaudit.injection.hosts import HostCutout, HostSource, middle_sigma
from lensaudit.injection.light import CentralLight
from lensaudit.injection.settings import InjectionSettings
from lensaudit.injection.sources import Wanted, sources_of
from lensaudit.scenes import Psf, Scene

Array = NDArray[np.float64]

ARC_CUT_SIGMA = 0.001
"""Light below this fraction of a pixel's σ is not added."""
HOST_PSF = "instrument"
"""Kind of a scene's PSF that is its host's own."""
_SYSTEM, _NOISE = 1, 2
"""What is drawn from (seed, index, …), so that no draw depends on the number of another's."""
KEPT_HOSTS = 4


class Hosts:
    """Hosts with a mass and a source for each, and arcs rendered into them.

    System i depends on (seed, i) and its host alone. Nothing is kept but the last few hosts.

    Parameters
    ----------
    cutouts
        A sequence of `HostCutout`; `lensaudit.injection.of_set` makes one of a lens set.
    settings
        What is put into them.
    chosen
        Which hosts are used, where that is known; by default `choose` looks at them.

    Attributes
    ----------
    chosen
        Which hosts are used, and what was left out.
    """

    def __init__(
        self, cutouts: HostSource, settings: InjectionSettings | None = None, chosen: Chosen | None = None
    ) -> None:
        self.settings = InjectionSettings() if settings is None else settings
        self._cutouts = cutouts
        self.chosen = choose(cutouts, self.settings) if chosen is None else chosen
        self._sources = sources_of(self.settings)
        self._kept: OrderedDict[int, Prepared] = OrderedDict()

    @property
    def n(self) -> int:
        """Number of systems."""
        return len(self.chosen.rows)

    def id(self, i: int) -> str:
        """Name of the host of system `i`."""
        return self.cutout(i).id

    def cutout(self, i: int) -> HostCutout:
        """The host of system `i`, its PSFs and RMS brought right."""
        return self.prepared(i).cutout

    def prepared(self, i: int) -> Prepared:
        """The host of system `i` with its instrument and central light."""
        row = self.chosen.rows[i]
        if row not in self._kept:
            lights = self.chosen.lights
            self._kept[row] = prepare(self._cutouts[row], self.settings, None if lights is None else lights.at(i))
            if len(self._kept) > KEPT_HOSTS:
                self._kept.popitem(last=False)
        return self._kept[row]

    def scene(self, i: int) -> Scene:
        """Its scene: role ``lens`` is the host's measured light with a mass, role ``source`` is lensed.

        The PSF is the host's, and the light of the lens is in the host's pixels already: neither is drawn.
        """
        return self.drawn(i)[0]

    def drawn(self, i: int) -> tuple[Scene, dict[str, str]]:
        """The scene of system `i`, and where its redshift, mass and source come from."""
        host = self.prepared(i)
        light = host.light or _assumed_light(host.cutout)
        rng = np.random.default_rng([self.settings.seed, i, _SYSTEM])
        sky = host.instrument.sky
        seen = Seen(light, host.cutout.row, depth_of(host.cutout, light.band), sky)
        lensing = draw_lensing(rng, seen, self.settings)
        wanted = Wanted(
            sky,
            lensing.source_redshift,
            lensing.source_magnitude,
            lensing.source_x_arcsec,
            lensing.source_y_arcsec,
        )
        source, source_from = self._sources(rng, wanted)
        noise = int(np.random.default_rng([self.settings.seed, i, _NOISE]).integers(2**62))
        scene = Scene("single", (lensing.deflector, source), psf=Psf(HOST_PSF), noise_seed=noise, sky=sky)
        light_from = f"measured in {light.band}" if host.light else "none seen: a round galaxy in the middle"
        return scene, {
            "lens_light_from": light_from,
            "z_lens_from": lensing.redshift_from,
            "mass_from": lensing.mass_from,
            "source_from": source_from,
        }

    def host(self, i: int) -> Rendered:
        """The host alone: its own pixels, and truth without an arc."""
        return self.render(i, [alone(self.scene(i))])[0]

    def render(self, i: int, scenes: Sequence[Scene], numerics: Numerics = DEFAULT_NUMERICS) -> list[Rendered]:
        """Arms of host `i`: its pixels + the arc of each scene; they share the ray-tracing.

        Light of the galaxies of role ``lens`` is the host's and is not drawn; all else of a scene is. The noise of what
        is drawn is its shot noise, where the electrons per pixel unit are known. `noiseless` is host + noiseless arc.

        Raises
        ------
        DataError
            A scene lacks a magnitude in one of the host's bands.
        """
        arms = _Arms(self.prepared(i), numerics)
        return [arms.rendered(scene) for scene in scenes]


def alone(scene: Scene) -> Scene:
    """The scene of a host without the arc: its galaxy and nothing that would be drawn."""
    return replace(scene, kind="no-source", galaxies=tuple(g for g in scene.galaxies if g.role == "lens"))


def _assumed_light(host: HostCutout) -> CentralLight:
    """What stands for the host galaxy of a cutout without one, which was asked for: round, faint, in the middle."""
    band = host.bands[0]
    depth = depth_of(host, band)
    magnitudes = dict.fromkeys(host.bands, depth.sigma_mag - 2.5)
    return CentralLight(band, 0.0, 0.0, 1.0, 0.0, max(depth.fwhm_arcsec, 0.1), magnitudes, is_star=False)


@dataclass(frozen=True, eq=False)
class _Piece:
    """Light on a part of a band's pixels; there is none elsewhere."""

    window: tuple[slice, slice]
    light: Array

    def whole(self, shape: tuple[int, ...]) -> Array:
        """On all of the band's pixels."""
        filled = np.zeros(shape)
        filled[self.window] = self.light
        return filled


_NOWHERE = _Piece((slice(0, 0), slice(0, 0)), np.zeros((0, 0)))


class _Arms:
    """Renders scenes into one host, and keeps what they share."""

    def __init__(self, host: Prepared, numerics: Numerics) -> None:
        self._host, self._numerics, self._shared = host.cutout, numerics, Shared()
        self._instrument = host.instrument
        self._noise: dict[tuple[int, int], NDArray[np.float32]] = {}

    def rendered(self, scene: Scene) -> Rendered:
        lensed = scene.lensed
        lit = tuple(g for g in scene.galaxies if not any(g is other for other in lensed) and g.role != "lens")
        instrument, numerics, shared = self._instrument, self._numerics, self._shared
        arcs = shared.get(
            ("arcs", scene.deflectors, lensed), partial(lensed_light, scene, instrument, numerics, shared)
        )
        rest = shared.get(("rest", lit), partial(unlensed_light, lit, instrument, numerics, shared)) if lit else {}
        images, noiseless, source_light = {}, {}, {}
        for index, band in enumerate(instrument.bands):
            name, shape = band.name, (band.pixels, band.pixels)
            arc = self._seen(arcs, scene.psf, name)
            added = arc
            if lit:
                other = self._seen(rest, scene.psf, name)
                added = _Piece((slice(None), slice(None)), arc.whole(shape) + other.whole(shape))
            source_light[name] = arc.whole(shape).astype(np.float32)
            noiseless[name] = self._on_host(name, added, added.light)
            noise = self._shot_noise(name, added, scene.noise_seed, index)
            images[name] = noiseless[name] if noise is None else self._on_host(name, added, added.light + noise)
        truth = measure_truth(scene, instrument, source_light, dict(self._host.rms))
        return Rendered(images, noiseless, truth)

    def _seen(self, light: dict[str, Array], psf: Psf, band: str) -> _Piece:
        """Light through the host's PSF, or another where the scene says so, cut where there is next to none."""

        def make() -> _Piece:
            pattern = self._pattern(psf, band)
            half = pattern.shape[0] // 2
            before: Spectrum = self._shared.get(
                ("spectrum", id(light), band, half), partial(spectrum, light[band], half)
            )
            if before.window is None:
                return _NOWHERE
            seen = convolved_piece(before, pattern)
            rms = self._host.rms[band]
            sigma = rms[before.window]
            bad = np.isinf(sigma)
            # In bad pixels by the σ of the others, for the truth.
            least = ARC_CUT_SIGMA * (np.where(bad, np.float32(middle_sigma(rms)), sigma) if bad.any() else sigma)
            seen[seen <= least] = 0.0
            return _Piece(before.window, seen)

        return self._shared.get(("seen", id(light), psf, band), make)

    def _pattern(self, psf: Psf, band: str) -> Array:
        """The host's own PSF, turned and widened as the scene says, or the scene's."""
        own = self._host.psf[band]
        if psf.kind != HOST_PSF:
            return kernel(psf, self._instrument.band(band))
        if psf.angle_deg == 0.0 and psf.fwhm_scale == 1.0:
            return own
        turned = np.maximum(resampled(own, 1.0 / psf.fwhm_scale, psf.angle_deg, len(own)), 0.0)
        return turned / turned.sum()

    def _on_host(self, band: str, piece: _Piece, added: Array) -> NDArray[np.float32]:
        """The host's pixels with light added where there is some and the pixel is good."""
        image = self._host.images[band].copy()
        part = image[piece.window]
        reached = (piece.light != 0.0) & np.isfinite(self._host.rms[band][piece.window])
        part[reached] = (part[reached] + added[reached]).astype(np.float32)
        return image

    def _shot_noise(self, band: str, piece: _Piece, seed: int, index: int) -> Array | None:
        electrons = self._host.electrons_per_unit.get(band)
        if electrons is None:
            return None
        height, columns = self._host.images[band].shape
        rows = piece.window[0].indices(height)[1]  # the last that is taken: those after it need not be drawn
        unit = self._noise.get((seed, index))
        if unit is None or len(unit) < rows:
            unit = self._noise[seed, index] = unit_noise(seed, index, (rows, columns))
        return np.asarray(unit[piece.window] * np.sqrt(piece.light / electrons))
