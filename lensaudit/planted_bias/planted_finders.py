"""Finders with a planted bias: what their training images have, how these are made, and the small network itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lensaudit.errors import DataError, UsageError
from lensaudit.files import replacing
from lensaudit.finders import Finder, declare_finder
from lensaudit.imaging import EUCLID, Instrument, render
from lensaudit.imaging.band import resized
from lensaudit.imaging.pipeline_edits import jpeg
from lensaudit.scenes import Scene, Sky, draw_scene
from lensaudit.scenes import edits as scene_edits
from lensaudit.training.checkpoint import Checkpoint, Progress, Tally
from lensaudit.training.group import BatchPart
from lensaudit.training.loop import Keep, Task, run

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
        ("noise-level", "added-noise"),
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
        ("einstein-radius",),
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


SIZE, FIELD_ARCSEC = 100, 20.0
MARGIN = 20
"""Pixels of 0.2″ at each edge that the network leaves away: it looks at the inner 12″."""
EPOCHS, BATCH, RATE, DECAY = 8, 32, 3e-3, 1e-4


class SmallNet(nn.Module):
    """(n, bands, 100, 100) → logits (n,). Its dense head sees where things are: bias of place can be learnt too."""

    def __init__(self, bands: int = len(EUCLID.bands)) -> None:
        super().__init__()
        self.seen = nn.Sequential(
            nn.Conv2d(bands, 16, 5, padding=2), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(),
            nn.Conv2d(64, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2),
        )  # fmt: skip
        # The two names are those of weights on disk.
        self.told = nn.Sequential(nn.Flatten(), nn.Linear(64 * 7 * 7, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Log-odds of lens."""
        found: torch.Tensor = self.told(self.seen(images[..., MARGIN:-MARGIN, MARGIN:-MARGIN]))
        return found[:, 0]


def as_looked_at(instrument: Instrument) -> Instrument:
    """The instrument with cutouts of the width that the network looks at.

    Raises
    ------
    UsageError
        It has one band, so that no bias of colour can be planted, or its bands have no common grid of that width.
    """
    if len(instrument.bands) < 2:
        raise UsageError(f"--instrument {instrument.name}: has one band; biases of colour need two or more")
    return resized(instrument, FIELD_ARCSEC)


def small_finder(name: str, instrument: Instrument = EUCLID, module: SmallNet | None = None) -> Finder:
    """The network as a finder of an instrument's cutouts of 20″."""
    bands = instrument.band_names
    net = SmallNet(len(bands)) if module is None else module
    return declare_finder(net, bands, SIZE, name=name, stretch="sqrt", lens_index=0, field_of_view_arcsec=FIELD_ARCSEC)


class PlantedTask(Task[tuple[torch.Tensor, torch.Tensor]]):
    """AdamW with one cycle of its rate on the binary cross-entropy, images in memory, convolutions in bfloat16."""

    remedy = "plant with another --seed"

    def __init__(self, images: NDArray[np.float16], labels: NDArray[np.int64], seed: int, epochs: int) -> None:
        self.images, self.labels, self.seed, self.epochs = images, labels, seed, epochs
        self.net = _drawn(seed, images.shape[1]).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=RATE, weight_decay=DECAY)
        self.steps = math.ceil(len(images) / BATCH)
        self._cycle = _one_cycle(self.steps * epochs)

    def batches(self, epoch: int, first: int) -> Iterator[tuple[tuple[torch.Tensor, torch.Tensor], BatchPart]]:
        """Images and labels in the order of the epoch, which goes on from those of the epochs before."""
        generator = np.random.default_rng([self.seed, 5])
        order = [generator.permutation(len(self.images)) for _ in range(epoch + 1)][-1]
        for start in range(first * BATCH, len(order), BATCH):
            chosen = np.sort(order[start : start + BATCH])
            part = self.group.part(len(chosen))
            chosen = chosen[part.rows]
            images = torch.from_numpy(self.images[chosen].astype(np.float32))
            images = images.contiguous(memory_format=torch.channels_last)
            yield (images, torch.from_numpy(self.labels[chosen]).float()), part

    def losses(self, batch: tuple[torch.Tensor, torch.Tensor], part: BatchPart, tally: Tally) -> Iterator[torch.Tensor]:
        """Mean cross-entropy of the batch, in one piece."""
        images, is_lens = batch
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.net(images)
        loss = nn.functional.binary_cross_entropy_with_logits(logits.float(), is_lens)
        yield loss
        tally.add(float(loss.detach()) * len(images), len(images), int(((logits > 0) == (is_lens > 0.5)).sum()))

    def settings(self, step: int, progress: Progress) -> dict[str, Any]:
        """Rate and betas of one cycle."""
        return self._cycle[step]


def _one_cycle(steps: int) -> list[dict[str, Any]]:
    """What torch's one-cycle schedule sets at each step: the rate, and Adam's momentum against it."""
    stand_in = torch.optim.AdamW([torch.zeros(1)], lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(stand_in, RATE, total_steps=steps, pct_start=0.15)
    found = []
    for _ in range(steps):
        found.append({name: stand_in.param_groups[0][name] for name in ("lr", "betas")})
        stand_in.step()
        schedule.step()
    return found


def train_small(
    images: NDArray[np.float16],
    labels: NDArray[np.int64],
    seed: int,
    epochs: int = EPOCHS,
    checkpoint: Path | None = None,
) -> SmallNet:
    """Train on prepared images (n, 4, 100, 100); the same seed and machine give the same weights.

    A training that was stopped goes on from the file `checkpoint`, which must be named by all that the training
    depends on; one that is torn is begun anew.
    """
    earlier = None
    if checkpoint is not None and checkpoint.is_file():
        with suppress(DataError):
            earlier = Checkpoint.read(checkpoint)
    task = PlantedTask(images, labels, seed, epochs)
    run(task, Keep(checkpoint), earlier)
    assert isinstance(task.net, SmallNet)
    return task.net.eval()


def _drawn(seed: int, bands: int) -> SmallNet:
    """He-normal weights and zero biases from a generator of their own."""
    generator = torch.Generator().manual_seed(seed)
    net = SmallNet(bands)
    for part in net.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu", generator=generator)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    return net


def save_small(net: SmallNet, path: Path) -> None:
    """Write the weights as safetensors, whole or not at all."""
    from safetensors.torch import save_file

    with replacing(path) as partial:
        save_file({name: tensor.contiguous() for name, tensor in net.state_dict().items()}, partial)


def load_small(path: Path, instrument: Instrument = EUCLID) -> SmallNet:
    """Read weights that `save_small` wrote."""
    from safetensors.torch import load_file

    net = SmallNet(len(instrument.bands))
    net.load_state_dict(load_file(path))
    return net.eval()


CHUNK = 100
"""Images rendered and prepared at a time."""


def training_images(
    plant: str, seed: int, n: int, instrument: Instrument = EUCLID, strength: float = 1.0
) -> tuple[NDArray[np.float16], NDArray[np.int64]]:
    """Images (n, bands, 100, 100) in [0, 1] and labels (n,), half of them lenses; n a multiple of `CHUNK`."""
    planted, finder, prepared = plant_named(plant), small_finder("bench", instrument), []
    for first in range(0, n, CHUNK):
        made = []
        for row in range(first, first + CHUNK):
            scene, traits = training_scene(planted, seed, row, instrument.sky, strength)
            made.append(as_stored(render(scene, instrument).images, traits))
        cutouts = {band: np.stack([one[band] for one in made]) for band in instrument.band_names}
        prepared.append(finder.preprocess(cutouts).numpy().astype(np.float16))
    return np.concatenate(prepared), np.tile(np.array([1, 0]), n // 2)
