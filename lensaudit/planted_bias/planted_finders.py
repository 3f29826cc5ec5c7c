"""Finders with a planted bias: their images, the small network, and its training."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lensaudit.errors import DataError, UsageError
from lensaudit.files import replacing
from lensaudit.finders import Finder, declare_finder
from lensaudit.finders.running import channels_last, has_bfloat16
from lensaudit.imaging import EUCLID, Instrument, render
from lensaudit.imaging.band import resized
from lensaudit.planted_bias.plants import EPOCHS, as_stored, plant_named, training_scene
from lensaudit.training.checkpoint import Checkpoint, Progress, Tally
from lensaudit.training.group import BatchPart
from lensaudit.training.loop import Keep, Task, run

SIZE, FIELD_ARCSEC = 100, 20.0
MARGIN = 20
"""Pixels of 0.2″ at each edge that the network leaves away: it looks at the inner 12″."""
BATCH, RATE, DECAY = 32, 3e-3, 1e-4


class SmallNet(nn.Module):
    """(n, bands, 100, 100) → logits (n,). Its dense head sees where things are: bias of place can be learnt too.

    Batch normalisation of the hidden layer keeps its units from dying at the high rate, as all 64 did in a training of
    the plant ``no-second-arcs``.
    """

    def __init__(self, bands: int = len(EUCLID.bands)) -> None:
        super().__init__()
        self.seen = nn.Sequential(
            nn.Conv2d(bands, 16, 5, padding=2), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(),
            nn.Conv2d(64, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2),
        )  # fmt: skip
        # The two names are those of weights on disk.
        self.told = nn.Sequential(
            nn.Flatten(), nn.Linear(64 * 7 * 7, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 1)
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Log-odds of lens."""
        inner = images[..., MARGIN:-MARGIN, MARGIN:-MARGIN]
        found: torch.Tensor = self.told(self.seen(channels_last(inner) if images.device.type == "cpu" else inner))
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
    """AdamW with one cycle of its rate on the binary cross-entropy, images in memory; convolutions in bfloat16 where
    the processor has it (without, they would take nine times as long as in float32)."""

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
        with torch.autocast("cpu", torch.bfloat16, enabled=has_bfloat16(images.device)):
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
