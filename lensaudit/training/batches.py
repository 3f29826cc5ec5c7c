"""The batches of a training, read ahead, and the streams of random numbers that their order and changes come from."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from lensaudit.finders.layers import DIHEDRAL
from lensaudit.training.augment import UNIFORMS
from lensaudit.training.group import ALONE, BatchPart, Group
from lensaudit.training.prepared import Prepared, Rows


class Purpose(IntEnum):
    """What a stream is for; the values are part of the results and are never re-used."""

    WEIGHTS = 1
    SPLIT = 2
    ORDER = 3
    AUGMENT = 4
    DROPOUT = 5


def stream(seed: int, purpose: Purpose, *where: int) -> np.random.Generator:
    """Generator of (seed, purpose, epoch, step); SFC64, the quickest of numpy's."""
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence([seed, int(purpose), *where])))


def torch_seed(seed: int, purpose: Purpose, *where: int) -> int:
    """A 63-bit seed for a ``torch.Generator``."""
    return int(stream(seed, purpose, *where).integers(2**63 - 1))


class Batch(NamedTuple):
    """Undecoded images, small enough to travel.

    Attributes
    ----------
    codes, scales
        See `PreparedSet.read`.
    is_lens
        0.0 or 1.0 (n,).
    choices
        Integers in [0, 8) (n,) for the augmentation.
    uniform
        Numbers in [0, 1) (n, `UNIFORMS`) for the augmentation.
    part
        Which images of the batch these are: all, or those of one process.
    """

    codes: torch.Tensor
    scales: torch.Tensor
    is_lens: torch.Tensor
    choices: torch.Tensor
    uniform: torch.Tensor
    part: BatchPart

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        codes, scales, is_lens, choices, uniform = (
            tensor.to(device, non_blocking=True)
            for tensor in (self.codes, self.scales, self.is_lens, self.choices, self.uniform)
        )
        return Batch(codes, scales, is_lens, choices, uniform, self.part)


@dataclass(frozen=True)
class Batches:
    """The batches of one epoch, the last one possibly short.

    Attributes
    ----------
    prepared, order
        Where the images are, and the order in which they come.
    batch_size
        Images per batch.
    seed, epoch
        The augmentation's choices of a batch are drawn from these and its number.
    first
        Number of batches already done, when a killed epoch goes on.
    group
        The processes that each batch is divided over; what is drawn for an image does not depend on them.
    """

    prepared: Prepared
    order: Rows
    batch_size: int
    seed: int = 0
    epoch: int = 0
    first: int = 0
    group: Group = ALONE

    def __len__(self) -> int:
        return count_batches(len(self.order), self.batch_size) - self.first

    def __iter__(self) -> Iterator[Batch]:
        numbers = range(self.first, self.first + len(self))
        with ThreadPoolExecutor(max_workers=1) as reader:
            ahead = reader.submit(self._read, self.first) if len(self) else None
            for number in numbers:
                assert ahead is not None
                batch = ahead.result()
                if number + 1 < numbers.stop:
                    ahead = reader.submit(self._read, number + 1)
                yield batch

    def _read(self, number: int) -> Batch:
        which = self.order[number * self.batch_size : (number + 1) * self.batch_size]
        part = self.group.part(len(which))
        own = which[part.rows]
        codes, scales = self.prepared.read(own)
        labels = torch.from_numpy(self.prepared.labels[own].astype(np.float32))
        generator = stream(self.seed, Purpose.AUGMENT, self.epoch, number)
        turns = torch.from_numpy(generator.integers(DIHEDRAL, size=len(which))[part.rows])
        uniform = torch.from_numpy(generator.random((len(which), UNIFORMS), dtype=np.float32)[part.rows])
        return Batch(codes, scales, labels, turns, uniform, part)


def shuffled(rows: Rows, seed: int, epoch: int) -> Rows:
    """`rows` in the order of epoch `epoch`."""
    return stream(seed, Purpose.ORDER, epoch).permutation(rows)


def balanced(rows: Rows, labels: NDArray[np.integer], seed: int, epoch: int) -> Rows:
    """An order for epoch `epoch` in which lenses and non-lenses take turns, so that every batch is half of each.

    The smaller class comes round again, in another order each time, until the larger one has been seen.

    Parameters
    ----------
    rows
        What to order (n,).
    labels
        0 or 1 of each of them (n,).
    """
    generator = stream(seed, Purpose.ORDER, epoch)
    classes = [rows[labels == value] for value in (0, 1)]
    longest = max(len(members) for members in classes)
    rounds = [
        np.concatenate([generator.permutation(members) for _ in range(-(-longest // len(members)))])[:longest]
        for members in classes
    ]
    return np.stack(rounds, axis=1).ravel()


def epoch_size(labels: NDArray[np.integer], balance: bool) -> int:
    """Images of an epoch over images with these labels."""
    lenses = int((labels == 1).sum())
    return 2 * max(lenses, len(labels) - lenses) if balance else len(labels)


def count_batches(images: int, batch_size: int) -> int:
    """Batches per epoch, the short last one counted."""
    return -(-images // batch_size)
