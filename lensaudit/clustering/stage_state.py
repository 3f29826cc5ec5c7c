"""The state of an unfinished stage in one file, written whole or not at all; reading it runs nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from lensaudit.errors import DataError, UsageError
from lensaudit.files import write_bytes

Tensors = dict[str, torch.Tensor]


@dataclass
class StageState:
    """Where a stage stands.

    Attributes
    ----------
    net, optimizer
        Weights, and Adam's tensors.
    epoch, batch
        Epochs finished, and batches finished of the next one.
    loss, images
        Sum over the images of the current epoch so far, and their number.
    history
        Per finished epoch, mean cross-entropy per pixel of (training images, validation images).
    """

    net: Tensors
    optimizer: Tensors = field(default_factory=dict)
    epoch: int = 0
    batch: int = 0
    loss: float = 0.0
    images: int = 0
    history: list[tuple[float, float]] = field(default_factory=list)

    def write(self, path: Path, identity: dict[str, Any]) -> None:
        """Write to `path`, atomically."""
        parts = {"net": self.net, "optimizer": self.optimizer}
        tensors = {
            f"{part}/{name}": tensor.detach().cpu().contiguous()
            for part, group in parts.items()
            for name, tensor in group.items()
        }
        counts = {name: getattr(self, name) for name in ("epoch", "batch", "loss", "images", "history")}
        write_bytes(path, save(tensors, {"identity": json.dumps(identity), "counts": json.dumps(counts)}))

    @classmethod
    def read(cls, path: Path, identity: dict[str, Any]) -> StageState:
        """Read `path`, which must be of the stage `identity`.

        Raises
        ------
        DataError
            It is torn or no such file.
        UsageError
            It is of another stage; the message names what differs.
        """
        parts: dict[str, Tensors] = {"net": {}, "optimizer": {}}
        try:
            with safe_open(path, framework="pt") as stored:
                words = stored.metadata() or {}
                theirs, counts = json.loads(words["identity"]), json.loads(words["counts"])
                for key in stored.keys():  # noqa: SIM118 - a safetensors file is no mapping
                    part, _, name = key.partition("/")
                    parts[part][name] = stored.get_tensor(key)
            counts["history"] = [(float(train), float(validation)) for train, validation in counts["history"]]
            state = cls(parts["net"], parts["optimizer"], **counts)
        except (SafetensorError, LookupError, TypeError, ValueError, AttributeError, RecursionError) as broken:
            raise DataError(f"{path}: is torn or no checkpoint; start anew with --restart") from broken
        differing = sorted(name for name in theirs.keys() | identity.keys() if theirs.get(name) != identity.get(name))
        if differing:
            name = differing[0]
            raise UsageError(
                f"{path.parent.parent}: holds another clustering ({name} was {theirs.get(name)!r}, you ask for "
                f"{identity.get(name)!r}); choose another --out or add --restart"
            )
        return state
