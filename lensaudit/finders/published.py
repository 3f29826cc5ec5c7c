"""Reading published state dicts without running anything that is stored in them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lensaudit.errors import DataError, UsageError
from lensaudit.files import sha256
from lensaudit.finders.architectures import unfilled
from lensaudit.finders.finder import Finder
from lensaudit.finders.recipe import Recipe
from lensaudit.finders.store import fill


def read_published(path: Path, recipe: Recipe) -> Finder:
    """Read a ``torch.save``d state dict of the published finders, or of ours, as a finder of `recipe`.

    The file is read with ``weights_only=True``; its tensors must be exactly those of the architecture in name and
    shape.

    Raises
    ------
    UsageError
        The recipe asks for what published weights do not have.
    DataError
        Not a plain state dict, or it differs from the architecture; one line names the first difference.
    """
    if recipe.symmetrise or recipe.extra_inputs:
        raise UsageError(f"recipe {recipe.name}: published weights go without symmetrise and extra_inputs; drop them")
    module = unfilled(recipe.architecture, len(recipe.bands), recipe.outputs, recipe.size, recipe.architecture_options)
    tensors = read_state_dict(Path(path))
    fill(module, _renamed(tensors, published_names(module)), Path(path))
    return Finder(recipe, module, f"imported from {Path(path).name} (SHA-256 {sha256(Path(path))})")


def published_names(module: nn.Sequential) -> dict[str, str]:
    """Key in the files of Wilde et al. → ours.

    They hold two sequences: ``layer`` for what comes before the flattening, counted as we do, and ``fc_layer`` for
    what comes after it, counted from 0 again.
    """
    flatten = next(index for index, layer in enumerate(module) if isinstance(layer, nn.Flatten))
    names = {}
    for key in module.state_dict():
        index, _, kind = key.partition(".")
        body = int(index) < flatten
        names[f"layer.{index}.{kind}" if body else f"fc_layer.{int(index) - flatten - 1}.{kind}"] = key
    return names


def _renamed(tensors: Mapping[str, torch.Tensor], names: Mapping[str, str]) -> dict[str, torch.Tensor]:
    """Published names become ours; every other key stays, to be refused by name if it is foreign."""
    if not any(key in names for key in tensors):
        return dict(tensors)
    return {names.get(key, key): tensor for key, tensor in tensors.items()}


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Tensors of a `torch.save`d state dict, read with ``weights_only=True``; DataError if it is anything else."""
    if not path.is_file():
        raise DataError(f"{path}: is not a file; give a state dict written by torch.save")
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a torn or hostile file may fail anywhere in the reader
        raise DataError(
            f"{path}: is not a plain state dict ({_reason(error)}); nothing in it was run; "
            f"save it again with torch.save(module.state_dict(), FILE)"
        ) from error
    if not isinstance(content, Mapping) or not content:
        raise DataError(f"{path}: holds {type(content).__name__}, a state dict is needed; save module.state_dict()")
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor) or value.layout != torch.strided:
            raise DataError(f"{path}: entry {str(key)[:80]!r} is not a plain tensor; save module.state_dict() alone")
    return dict(content)


def _reason(error: Exception) -> str:
    """One phrase; torch's refusals name what the file wanted to call after the word GLOBAL."""
    text = " ".join(str(error).split())
    called = re.search(r"GLOBAL (\S+)", text)
    return f"it asks for {called[1][:60]} to be run" if called else f"{type(error).__name__}: {text[:60]}"
