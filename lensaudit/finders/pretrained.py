"""Weights that others trained, read into the body of a transfer finder; nothing in the file is run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from lensaudit.errors import DataError, NoSuchData, UsageError
from lensaudit.files import sha256
from lensaudit.finders.architectures.transfer import BODIES, Body, Transfer, new_body
from lensaudit.finders.published import closest_to, with_counts
from lensaudit.finders.recipe import Recipe
from lensaudit.finders.store import fill
from lensaudit.finders.weights_file import most_bytes, read_weights

HUB = "hub"
"""What ``--pretrained`` says for timm's own download."""

MODES = ("frozen", "fine-tuned", "random")
"""What becomes of the body in training: left as it is, trained from weights that were given, or from random ones."""

UNTRAINED = "random: no pretrained weights were given"

_UNUSED = ("AuxLogits.",)
"""Beginnings of names in weight files that belong to an auxiliary classifier, left out."""


@dataclass(frozen=True)
class Pretrained:
    """Weights of a body.

    Attributes
    ----------
    tensors
        By the body's own names.
    origin
        Where they came from, for card and record: file, SHA-256, and whether they were assigned by name or position.
    """

    tensors: Mapping[str, torch.Tensor]
    origin: str


def transfer_part(module: nn.Module) -> Transfer | None:
    """The part of a finder's module that has a body of its own; None for other architectures."""
    return next((part for part in module.modules() if isinstance(part, Transfer)), None)


def in_mode(recipe: Recipe, mode: str | None, pretrained: str | None) -> Recipe:
    """The recipe with its body frozen or not; None leaves what the recipe says.

    Raises
    ------
    UsageError
        The recipe has no body of this kind, the mode is not known, or it contradicts `pretrained`.
    """
    if recipe.architecture != "transfer":
        if mode is not None or pretrained is not None:
            raise UsageError(f"recipe {recipe.name} has no pretrained body; --body and --pretrained are for transfer-…")
        return recipe
    if mode is None:
        return recipe
    if mode not in MODES:
        raise UsageError(f"--body {mode} is not known; allowed: {', '.join(MODES)}")
    if mode == "random" and pretrained is not None:
        raise UsageError("--body random starts from random weights; leave --pretrained away, or say fine-tuned")
    if mode == "fine-tuned" and pretrained is None:
        raise UsageError("--body fine-tuned starts from pretrained weights; give --pretrained FILE, or say random")
    options = {**recipe.architecture_options, "frozen": mode == "frozen"}
    return recipe.model_copy(update={"architecture_options": options})


def body_facts(recipe: Recipe, source: str | None) -> dict[str, str]:
    """For card and record, under ``body``: which, whether it is left as it is, and where its weights come from.

    Empty for other architectures. Errors as in `read_pretrained`.
    """
    if recipe.architecture != "transfer":
        return {}
    origin = UNTRAINED if source is None else read_pretrained(source, recipe).origin
    options = recipe.architecture_options
    name = str(options.get("body", "efficientnet-lite0"))
    state = "frozen" if options.get("frozen", True) else "trained with the rest"
    return {"body": f"{name} (timm's {BODIES[name].timm_name}), {state}; its weights before training: {origin}"}


def read_pretrained(source: str, recipe: Recipe) -> Pretrained:
    """Weights for the body of `recipe` from a file, or from timm's hub.

    A safetensors file, or a state dict or checkpoint written by ``torch.save`` and read with ``weights_only=True``. Its
    tensors must be the body's by name, perhaps after a prefix that they share, or, where the names are another
    library's, by position: all shapes in timm's order. timm's classifier may follow and is left out.

    Raises
    ------
    DataError
        The file is missing (the line has the command to get it), or its tensors are not those of the body.
    UsageError
        The hub cannot be reached.
    """
    name = str(recipe.architecture_options.get("body", "efficientnet-lite0"))
    if source == HUB:
        return _from_hub(name)
    path = Path(source)
    if not path.is_file():
        raise NoSuchData(f"{path}: no such file; {how_to_get(name, path)}")
    with torch.device("meta"):
        expected = new_body(name).state_dict()
    mappings = read_weights(path, most_bytes(expected))
    group = closest_to(expected, mappings)
    tensors, by = _assigned(group.tensors, expected, BODIES[name], path)
    if by == "position" and not group.ordered:
        raise DataError(
            f"{path}: its tensors have other names than {BODIES[name].timm_name}'s, and a safetensors file keeps no "
            f"order; give a file written by torch.save"
        )
    return Pretrained(tensors, f"{path.name} (SHA-256 {sha256(path)}), by {by}")


def fill_body(module: nn.Module, pretrained: Pretrained) -> None:
    """Put the weights into the body of `module`, key by key."""
    part = transfer_part(module)
    assert part is not None
    fill(part.body, pretrained.tensors, Path(pretrained.origin.partition(" ")[0]))


def how_to_get(name: str, path: Path) -> str:
    """The command that writes the weights of body `name` to `path`, for a machine with network."""
    timm_name = BODIES[name].timm_name
    return (
        f"get it with: python -c \"import timm, torch; torch.save(timm.create_model('{timm_name}', pretrained=True)"
        f".state_dict(), '{path}')\""
    )


def _from_hub(name: str) -> Pretrained:
    timm_name = BODIES[name].timm_name
    try:
        body = new_body(name, pretrained=True)
    except UsageError:
        raise
    except Exception as error:  # whatever the network, the hub or its client brings
        reason = " ".join(str(error).split())[:100]
        raise UsageError(
            f"--pretrained hub: timm could not fetch {timm_name} ({type(error).__name__}: {reason}); where there is "
            f"network, {how_to_get(name, Path(f'{timm_name}.pth'))}, and give --pretrained {timm_name}.pth"
        ) from error
    tag = getattr(body, "pretrained_cfg", {}).get("tag") or "default"
    return Pretrained(body.state_dict(), f"timm's hub, {timm_name}, tag {tag}, by name")


def _assigned(
    tensors: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor], body: Body, path: Path
) -> tuple[dict[str, torch.Tensor], str]:
    """Tensors of the file under the body's names, and ``name`` or ``position``."""
    counts = {key for key in expected if key.endswith("num_batches_tracked")}
    if any(key in expected for key in tensors):
        kept = {key: value for key, value in tensors.items() if not _left_out(key, body)}
        return with_counts(kept, expected), "name"
    for left_away in (set(), counts):  # files of TensorFlow's weights have no counts of batches
        keys = [key for key in expected if key not in left_away]
        values = list(tensors.values())
        features = values[: len(keys)]
        follow = [value.ndim for value in values[len(keys) :]]
        if [v.shape for v in features] == [expected[key].shape for key in keys] and follow in ([], [2, 1]):
            return with_counts(dict(zip(keys, features, strict=True)), expected), "position"
    raise DataError(
        f"{path}: its tensors fit {body.timm_name} neither by name nor, all shapes in order, by position; give the "
        f"weights of that body"
    )


def _left_out(key: str, body: Body) -> bool:
    return key in body.classifier or key.startswith(_UNUSED)
