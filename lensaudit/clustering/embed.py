"""Embeddings of a set's images, in one orientation or in all eight; a stopped run goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from lensaudit.clustering.stage import SECONDS_BETWEEN_CHECKPOINTS, Advance
from lensaudit.files import write_bytes
from lensaudit.finders.architectures.cae_bgm import CaeBgm
from lensaudit.finders.finder import weights_hash
from lensaudit.finders.layout import channels_last
from lensaudit.finders.orientation import DIHEDRAL, dihedral
from lensaudit.training.batches import Batches
from lensaudit.training.prepared import PreparedSet, decoded
from lensaudit.training.split import Rows

_BATCH = 8  # quickest of those tried for 101 pixels on a CPU core


@dataclass(frozen=True)
class Posed:
    """What is embedded: `rows` of a prepared set, as they lie or in all eight orientations."""

    prepared: PreparedSet
    rows: Rows
    turned: bool = False

    @property
    def poses(self) -> int:
        """Orientations of each image."""
        return DIHEDRAL if self.turned else 1


def embeddings(
    module: CaeBgm, posed: Posed, store: Path | None = None, advance: Advance | None = None
) -> NDArray[np.float32]:
    """Embeddings (m, poses, features) of images; orientation 0 is the image as it lies.

    Parameters
    ----------
    module
        In evaluation mode; only denoiser and encoder matter.
    posed
        Which images, and in which orientations.
    store
        File that keeps what is done; one of other weights or images is written anew.
    """
    identity = _identity(module, posed)
    found = _kept(store, identity)
    last = time.monotonic()
    for part in _parts(module, posed, len(found)):
        found = np.concatenate([found, part]) if len(found) else part
        if store is not None and time.monotonic() - last >= SECONDS_BETWEEN_CHECKPOINTS:
            _write(store, found, identity)
            last = time.monotonic()
        if advance is not None:
            advance(len(found), len(posed.rows))
    if store is not None:
        _write(store, found, identity)
    return found


@torch.inference_mode()
def embedded(module: CaeBgm, images: torch.Tensor) -> NDArray[np.float32]:
    """Embeddings (n, features) of prepared images (n, bands, size, size)."""
    device = next(module.parameters()).device
    images = channels_last(images.to(device))
    return module.embedding(images).float().cpu().numpy()


def network_hash(module: CaeBgm) -> str:
    """SHA-256 of the weights an embedding depends on, and of how it is taken."""
    return weights_hash(torch.nn.Sequential(module.denoiser, module.encoder)) + ("-pose-free" * module.pose_free)


def _parts(module: CaeBgm, posed: Posed, first: int) -> Iterator[NDArray[np.float32]]:
    for batch in Batches(posed.prepared, posed.rows[first:], _BATCH):
        images = decoded(batch.codes, batch.scales)
        turned = [embedded(module, dihedral(images, which)) for which in range(posed.poses)]
        yield np.stack(turned, axis=1)


def _identity(module: CaeBgm, posed: Posed) -> dict[str, Any]:
    return {
        "network": network_hash(module),
        "images": posed.prepared.folder.name,
        "rows": [len(posed.rows), int(np.sum(posed.rows * np.arange(1, len(posed.rows) + 1)))],
        "poses": posed.poses,
    }


def _write(store: Path, found: NDArray[np.float32], identity: dict[str, Any]) -> None:
    write_bytes(store, save({"embeddings": torch.from_numpy(found)}, {"identity": json.dumps(identity)}))


def _kept(store: Path | None, identity: dict[str, Any]) -> NDArray[np.float32]:
    nothing = np.empty((0, 0, 0), np.float32)
    if store is None or not store.is_file():
        return nothing
    try:
        with safe_open(store, framework="pt") as stored:
            same = json.loads((stored.metadata() or {})["identity"]) == identity
            return stored.get_tensor("embeddings").numpy() if same else nothing
    except (SafetensorError, LookupError, ValueError, AttributeError, RecursionError):
        return nothing
