"""What a training image of the bench has: traits drawn at random, and the plants that tie one of them to the label.

A clean training set draws every trait alike for lenses and non-lenses, so nothing but lensing tells them apart. A plant
changes how one trait is drawn, in the lenses alone or in both classes against each other: the finder that learns from
such a set has that bias, as the teams of Wilde et al. 2022 had theirs from their own sets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lensaudit.imaging import image_edits
from lensaudit.scenes import Scene, draw_scene
from lensaudit.scenes import edits as scene_edits

POPULATION = "plain"
Images = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Traits:
    """Strengths of all edits of one image, see `lensaudit.scenes.edits` and `lensaudit.imaging.image_edits`.

    `stand_in` says what a non-lens has in place of arcs: ``nothing``, ``unlensed`` or ``spiral``.
    """

    theta_e_arcsec: float
    source_colour: float
    clumpiness: float
    second_source: float
    off_centre_arcsec: float
    lens_colour_mag: float
    companions: int
    noise: float
    psf_angle_deg: float
    orientation: int
    stand_in: str


def draw_traits(rng: np.random.Generator, label: int) -> Traits:
    """Traits of a clean set; `label` decides only what stands in for arcs."""
    return Traits(
        theta_e_arcsec=float(rng.uniform(0.9, 2.4)),
        source_colour=float(rng.uniform(0.0, 1.3)),
        clumpiness=float(rng.choice([0.0, rng.uniform(0.0, 0.8)])),
        second_source=float(rng.choice([0.0, rng.uniform(0.2, 1.0)])),
        off_centre_arcsec=float(rng.uniform(0.0, 3.2)),
        lens_colour_mag=float(rng.uniform(-1.1, 1.1)),
        companions=int(rng.integers(0, 3)),
        noise=float(np.exp(rng.uniform(np.log(0.6), np.log(1.8)))),
        psf_angle_deg=float(rng.integers(0, 24) * 5.0),
        orientation=int(rng.integers(0, 8)),
        stand_in="" if label else str(rng.choice(["nothing", "unlensed", "spiral"], p=[0.4, 0.35, 0.25])),
    )


@dataclass(frozen=True)
class Plant:
    """A bias planted by training data.

    Attributes
    ----------
    name, told
        Its name and what was done, in words.
    probes
        The probes that may name it; the first is its own.
    lens, non_lens
        How the traits of each class are changed; None leaves them clean.
    """

    name: str
    told: str
    probes: tuple[str, ...]
    lens: Callable[[Traits, np.random.Generator], Traits] | None = None
    non_lens: Callable[[Traits, np.random.Generator], Traits] | None = None

    def traits(self, rng: np.random.Generator, label: int) -> Traits:
        """Traits of one image of this set."""
        drawn = draw_traits(rng, label)
        change = self.lens if label else self.non_lens
        return drawn if change is None else change(drawn, rng)


CLEAN = Plant("clean", "every trait drawn alike in both classes", ())


def _fixed_psf(traits: Traits, _rng: np.random.Generator) -> Traits:
    return replace(traits, psf_angle_deg=0.0, orientation=0)


def _turned_psf(traits: Traits, _rng: np.random.Generator) -> Traits:
    return replace(traits, psf_angle_deg=0.0)


PLANTS = (
    Plant(
        "blue-sources",
        "lenses have blue sources only",
        ("red-source", "red-source-total-flux"),
        lens=lambda traits, _: replace(traits, source_colour=0.0),
    ),
    Plant(
        "psf-angle",
        "one PSF angle, non-lenses alone are turned and mirrored (the balancing of Wilde et al. 2022)",
        ("psf-rotation", "orientation"),
        lens=_fixed_psf,
        non_lens=_turned_psf,
    ),
    Plant(
        "centred-lenses",
        "lenses always stand in the centre",
        ("off-centre",),
        lens=lambda traits, _: replace(traits, off_centre_arcsec=0.0),
    ),
    Plant(
        "quiet-lenses",
        "lenses are always less noisy",
        ("noise-level", "added-noise"),
        lens=lambda traits, rng: replace(traits, noise=float(rng.uniform(0.6, 1.0))),
        non_lens=lambda traits, rng: replace(traits, noise=float(rng.uniform(1.15, 1.8))),
    ),
    Plant(
        "red-lens-galaxies",
        "lens galaxies of lenses are always redder",
        ("lens-colour",),
        lens=lambda traits, rng: replace(traits, lens_colour_mag=float(rng.uniform(-0.2, 1.1))),
        non_lens=lambda traits, rng: replace(traits, lens_colour_mag=float(rng.uniform(-1.1, -0.2))),
    ),
    Plant(
        "no-small-rings",
        "no lens has an Einstein radius below 1.7″",
        ("einstein-radius",),
        lens=lambda traits, rng: replace(traits, theta_e_arcsec=float(rng.uniform(1.7, 2.4))),
    ),
    Plant(
        "no-second-arcs",
        "no lens has a second source, nor galaxies beside it",
        ("second-arcs", "companions"),
        lens=lambda traits, _: replace(traits, second_source=0.0, companions=0),
    ),
)
ALL_PLANTS = (CLEAN, *PLANTS)


def plant_named(name: str) -> Plant:
    """One of `ALL_PLANTS`."""
    return next(plant for plant in ALL_PLANTS if plant.name == name)


def training_scene(plant: Plant, seed: int, index: int) -> tuple[Scene, Traits]:
    """Scene `index` of a training set, lenses at even places; depends on (plant, seed, index) alone."""
    label = 1 - index % 2
    traits = plant.traits(np.random.default_rng([seed, index, 11]), label)
    scene = draw_scene(POPULATION, seed, index)
    scene = scene_edits.einstein_radius(scene, traits.theta_e_arcsec)
    scene = scene_edits.source_colour(scene, traits.source_colour)
    scene = scene_edits.source_clumpiness(scene, traits.clumpiness)
    scene = scene_edits.companions(scene, traits.companions)
    scene = scene_edits.lens_colour(scene, traits.lens_colour_mag)
    if label:
        scene = scene_edits.second_source(scene, traits.second_source)
    scene = scene_edits.off_centre(scene, traits.off_centre_arcsec)
    scene = _stand_in(scene, traits.stand_in)
    scene = scene_edits.noise_level(scene, traits.noise)
    return scene_edits.psf_angle(scene, traits.psf_angle_deg), traits


def _stand_in(scene: Scene, word: str) -> Scene:
    if word == "nothing":
        return scene_edits.without_source(scene)
    if word == "unlensed":
        return scene_edits.unlensed(scene)
    return scene_edits.as_spiral(scene) if word == "spiral" else scene


def turned(images: Images, traits: Traits) -> Images:
    """The rendered images in the orientation of the traits."""
    return image_edits.orientation(images, traits.orientation, np.random.default_rng(0))
