"""Red sources off the line that `lensaudit simulate --redden` draws along: reddened by dust, and old galaxies.

Edits of `benchmarks/red_sources_dust.yaml` and `red_sources_old.yaml`; the VIS magnitude stays, as in `red-source`.

    PYTHONPATH=benchmarks lensaudit probe run benchmarks/red_sources_dust.yaml ou66 --n 200 --out DIR
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lensaudit.scenes import Scene
from lensaudit.scenes.colours import draw_template_mix, effective_wavelength_nm, magnitudes_on

STREAM = 8101


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
