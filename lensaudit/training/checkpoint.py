"""The state of an unfinished training in one file, written whole or not at all; reading it runs nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from lensaudit.errors import DataError, UsageError
from lensaudit.files import write_bytes
from lensaudit.training.progress import Progress, Tensors

_PARTS = ("module", "optimizer", "best")


@dataclass(frozen=True)
class Checkpoint:
    """What is stored.

    Attributes
    ----------
    identity
        Recipe, data and options that a training must share to go on from here.
    module
        State dict now.
    optimizer
        Adam's per-parameter tensors, keyed ``<parameter index>.<name>``.
    progress
        Counters, history and the best weights.
    """

    identity: dict[str, Any]
    module: Tensors
    optimizer: Tensors
    progress: Progress

    def write(self, path: Path) -> None:
        """Write to `path`, atomically."""
        parts = dict(zip(_PARTS, (self.module, self.optimizer, self.progress.best_weights), strict=True))
        tensors = {
            f"{part}/{name}": tensor.detach().cpu().contiguous()
            for part, group in parts.items()
            for name, tensor in group.items()
        }
        words = {"identity": json.dumps(self.identity), "progress": json.dumps(self.progress.as_json())}
        write_bytes(path, save(tensors, words))

    @classmethod
    def read(cls, path: Path) -> Checkpoint:
        """Read `path`.

        Raises
        ------
        DataError
            It is torn or no checkpoint.
        """
        try:
            with safe_open(path, framework="pt") as stored:
                words = stored.metadata() or {}
                identity, progress = json.loads(words["identity"]), json.loads(words["progress"])
                parts: dict[str, Tensors] = {part: {} for part in _PARTS}
                for key in stored.keys():  # noqa: SIM118 - a safetensors file is no mapping
                    part, _, name = key.partition("/")
                    parts[part][name] = stored.get_tensor(key)
            return cls(identity, parts["module"], parts["optimizer"], Progress.from_json(progress, parts["best"]))
        except (SafetensorError, LookupError, TypeError, ValueError, AttributeError, RecursionError) as broken:
            raise DataError(f"{path}: is torn or no checkpoint; start anew with --restart") from broken

    def refuse_other(self, path: Path, wanted: dict[str, Any]) -> None:
        """Raise UsageError naming what differs between this training and the one asked for."""
        keys = sorted(self.identity.keys() | wanted.keys())
        differing = [key for key in keys if self.identity.get(key) != wanted.get(key)]
        if differing:
            shown = "; ".join(
                f"{key} was {_brief(self.identity.get(key))}, you ask for {_brief(wanted.get(key))}"
                for key in differing[:3]
            )
            raise UsageError(
                f"{path.parent.parent}: holds another training ({shown}); choose another --out or add --restart"
            )


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> Tensors:
    """Adam's moments and step counts, flat."""
    state = optimizer.state_dict()["state"]
    return {f"{index}.{name}": tensor for index, entry in state.items() for name, tensor in entry.items()}


def optimizer_state(flat: Tensors, learning_rate: float, parameters: int) -> dict[str, Any] | None:
    """The inverse, in the form of ``Optimizer.load_state_dict``; None if nothing is stored yet."""
    if not flat:
        return None
    state: dict[int, Tensors] = {}
    for key, tensor in flat.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = tensor
    defaults = torch.optim.Adam([torch.zeros(1)], lr=learning_rate).state_dict()["param_groups"][0]
    return {"state": state, "param_groups": [{**defaults, "params": list(range(parameters))}]}


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."
