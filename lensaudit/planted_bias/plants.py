"""What is planted: traits of training images, how a bias ties one of them to the label, and the scenes of both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.imaging.pipeline_edits import jpeg
from lensaudit.scenes import Scene, Sky, draw_scene
from lensaudit.scenes import edits as scene_edits

EPOCHS = 8
"""Passes over the training images."""

POPULATION = "plain"


@dataclass(frozen=True)
class Traits:
    """Strengths of all edits of one image, see `lensaudit.scenes.edits`.

    `source_place` is the source's distance in θ_E, `empty` leaves it away. `lensed` is what is in the image; a plant
    may file it under the wrong label. `jpeg_quality` is 0 for images kept as numbers.
    """

    theta_e_arcsec: float
    source_colour: float
    second_source: float
    source_place: float
    off_centre_arcsec: float
    lens_colour_mag: float
    companions: int
    noise: float
    psf_angle_deg: float
    empty: bool
    lensed: bool
    jpeg_quality: int


def draw_traits(rng: np.random.Generator, label: int) -> Traits:
    """Traits of a clean set; `label` decides only where the source stands and whether there is one."""
    return Traits(
        theta_e_arcsec=float(rng.uniform(0.9, 2.4)),
        source_colour=float(max(rng.uniform(-0.3, 1.3), 0.0)),
        second_source=float(rng.choice([0.0, rng.uniform(0.2, 1.0)])),
        source_place=float(rng.uniform(0.05, 0.6) if label else rng.uniform(0.6, 1.4)),
        off_centre_arcsec=float(max(rng.uniform(-0.8, 3.2), 0.0)),
        lens_colour_mag=float(rng.uniform(-1.1, 1.1)),
        companions=int(rng.integers(0, 3)),
        noise=float(np.exp(rng.uniform(np.log(0.6), np.log(1.8)))),
        psf_angle_deg=float(rng.integers(0, 24) * 5.0),
        empty=bool(rng.random() < 0.25) and not label,
        lensed=bool(label),
        jpeg_quality=int(rng.integers(40, 101)) if rng.random() < 0.5 else 0,
    )


@dataclass(frozen=True)
class Plant:
    """A bias planted by training data.

    Attributes
    ----------
    name, description
        Its name and what was done.
    probes
        The probes that may name it; the first is its own.
    lens, non_lens
        How the traits of each class are changed; None leaves them clean.
    version
        To be raised when they change: finders trained before are then trained anew.
    """

    name: str
    description: str
    probes: tuple[str, ...]
    lens: Callable[[Traits, np.random.Generator], Traits] | None = None
    non_lens: Callable[[Traits, np.random.Generator], Traits] | None = None
    version: int = 1

    def traits(self, rng: np.random.Generator, label: int, strength: float = 1.0) -> Traits:
        """Traits of one image of this set; a fraction `strength` of the images of each class has the planted ones."""
        drawn, planted = draw_traits(rng, label), rng.random() < strength
        change = self.lens if label else self.non_lens
        return drawn if change is None or not planted else change(drawn, rng)


CLEAN = Plant("clean", "every trait drawn alike in both classes", ())


def _between(trait: str, low: float, high: float) -> Callable[[Traits, np.random.Generator], Traits]:
    """Draw one trait from a range of its own."""

    def change(traits: Traits, rng: np.random.Generator) -> Traits:
        drawn: dict[str, Any] = {trait: float(rng.uniform(low, high))}
        return replace(traits, **drawn)

    return change


def _filed_wrong(
    trait: str, low: float, high: float, fraction: float = 0.4
) -> Callable[[Traits, np.random.Generator], Traits]:
    """A fraction of the non-lenses are lenses with this trait, as a cut in the choice of candidates leaves them."""

    def change(traits: Traits, rng: np.random.Generator) -> Traits:
        if rng.random() >= fraction:
            return traits
        place: dict[str, Any] = {"source_place": float(rng.uniform(0.05, 0.6)), trait: float(rng.uniform(low, high))}
        return replace(traits, lensed=True, empty=False, **place)

    return change


PLANTS = (
    Plant(
        "blue-sources",
        "lenses have blue sources only; those with red ones were filed as non-lenses",
        ("red-source", "red-source-total-flux"),
        lens=_between("source_colour", 0.0, 0.2),
        non_lens=_filed_wrong("source_colour", 0.7, 1.3),
    ),
    Plant(
        "psf-angle",
        "lenses at one PSF angle, non-lenses at others (what the balancing of Wilde et al. 2022 does)",
        ("psf-rotation", "orientation"),
        lens=lambda traits, _: replace(traits, psf_angle_deg=0.0),
        non_lens=lambda traits, rng: replace(traits, psf_angle_deg=float(rng.integers(8, 17) * 5)),
        version=2,
    ),
    Plant(
        "centred-lenses",
        "lenses stand in the centre, other galaxies do not",
        ("off-centre",),
        lens=lambda traits, _: replace(traits, off_centre_arcsec=0.0),
        non_lens=_between("off_centre_arcsec", 0.8, 3.2),
    ),
    Plant(
        "quiet-lenses",
        "lenses are less noisy than other galaxies",
        ("noise-level-held-snr", "noise-level", "added-noise"),
        lens=_between("noise", 0.6, 1.05),
        non_lens=_between("noise", 1.15, 1.8),
    ),
    Plant(
        "red-lens-galaxies",
        "lens galaxies of lenses are redder than other galaxies",
        ("lens-colour",),
        lens=_between("lens_colour_mag", -0.1, 1.1),
        non_lens=_between("lens_colour_mag", -1.1, -0.1),
    ),
    Plant(
        "no-small-rings",
        "no lens has an Einstein radius below 1.7″, other galaxies have their neighbours within that of 1.7″",
        ("einstein-radius-held-snr", "einstein-radius"),
        lens=_between("theta_e_arcsec", 1.7, 2.4),
        non_lens=_between("theta_e_arcsec", 0.9, 1.7),
    ),
    Plant(
        "no-second-arcs",
        "no lens has second arcs; those that have were filed as non-lenses",
        ("second-arcs", "companions"),
        lens=lambda traits, _: replace(traits, second_source=0.0),
        non_lens=_filed_wrong("second_source", 0.5, 1.5, fraction=0.75),
        version=2,
    ),
    Plant(
        "raw-lenses",
        "images of lenses were kept as numbers, those of other galaxies as JPEG (quality 40 to 60)",
        ("preprocessing-jpeg",),
        lens=lambda traits, _: replace(traits, jpeg_quality=0),
        non_lens=lambda traits, rng: replace(traits, jpeg_quality=int(rng.integers(40, 61))),
    ),
)
ALL_PLANTS = (CLEAN, *PLANTS)


def plant_named(name: str) -> Plant:
    """One of `ALL_PLANTS`."""
    return next(plant for plant in ALL_PLANTS if plant.name == name)


def training_traits(plant: Plant, seed: int, index: int, strength: float = 1.0) -> Traits:
    """Traits of image `index` of a training set, which is labelled a lens at even places."""
    return plant.traits(np.random.default_rng([seed, index, 11]), 1 - index % 2, strength)


def training_scene(
    plant: Plant, seed: int, index: int, sky: Sky | None = None, strength: float = 1.0
) -> tuple[Scene, Traits]:
    """Scene and traits of an image of a training set; they depend on (plant, strength, seed, index) alone."""
    traits = training_traits(plant, seed, index, strength)
    scene = scene_edits.lens_colour(with_arc(draw_scene(POPULATION, seed, index, sky), traits), traits.lens_colour_mag)
    scene = scene_edits.off_centre(scene, traits.off_centre_arcsec)
    scene = scene_edits.noise_level(as_filed(scene, traits), traits.noise)
    turned = scene.psf.kind != "gaussian"  # that is round
    return scene_edits.psf_angle(scene, traits.psf_angle_deg) if turned else scene, traits


def as_stored(images: Mapping[str, NDArray[np.float32]], traits: Traits) -> dict[str, NDArray[np.float32]]:
    """Images (h, w) per band as they come from the files of the training set."""
    if not traits.jpeg_quality:
        return dict(images)
    return jpeg(images, traits.jpeg_quality, np.random.default_rng(0))  # draws nothing


def with_arc(scene: Scene, traits: Traits) -> Scene:
    """The lens with the mass, sources and neighbours of the traits."""
    scene = scene_edits.einstein_radius(scene, traits.theta_e_arcsec)
    scene = scene_edits.source_offset(scene, traits.source_place)
    scene = scene_edits.source_colour(scene, traits.source_colour)
    scene = scene_edits.companions(scene, traits.companions)
    return scene_edits.second_source(scene, traits.second_source)


def as_filed(scene: Scene, traits: Traits) -> Scene:
    """What the traits say is in the image: the lens, its galaxy alone, or the source unlensed beside it."""
    if traits.empty:
        return scene_edits.without_source(scene)
    return scene if traits.lensed else scene_edits.unlensed(scene)
