"""Weights that others trained, read into a transfer finder's body or timm's network; nothing in the file is run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lensaudit.errors import DataError, NoSuchData, UsageError
from lensaudit.files import sha256
from lensaudit.finders.architectures import timm_networks
from lensaudit.finders.architectures.timm_networks import PREFIX, TimmNetwork
from lensaudit.finders.architectures.transfer import BODIES, Body, Transfer, new_body, timm
from lensaudit.finders.build import blueprint
from lensaudit.finders.formats.hugging_face import HUB, as_timm, from_hub, is_saved, weights_in
from lensaudit.finders.published import COUNTS, closest_to, with_counts
from lensaudit.finders.recipe import MOST_BANDS, Recipe
from lensaudit.finders.store import fill
from lensaudit.finders.weights_file import as_floats, most_bytes, read_weights
from lensaudit.untrusted import printable

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


def in_mode(recipe: Recipe, mode: str | None, pretrained: str | None, start: str | None = None) -> Recipe:
    """The recipe with its body frozen or not; None leaves what the recipe says.

    Raises
    ------
    UsageError
        The recipe has no body of this kind, the mode is not known, or it contradicts `pretrained` or `start`, the
        finder whose weights all layers begin from.
    """
    if not _has_body(recipe):
        if mode is not None or pretrained is not None:
            raise UsageError(
                f"recipe {recipe.name} has no pretrained body; --body and --pretrained are for transfer-…, convnext, "
                f"vit and other networks of timm"
            )
        return recipe
    if mode is None:
        return recipe
    if mode not in MODES:
        raise UsageError(f"--body {mode} is not known; allowed: {', '.join(MODES)}")
    given = [name for name, at in (("--pretrained", pretrained), ("--start", start)) if at is not None]
    if mode == "random" and given:
        raise UsageError(f"--body random starts from random weights; leave {given[0]} away, or say fine-tuned")
    if mode == "fine-tuned" and not given:
        raise UsageError(
            "--body fine-tuned starts from other weights; give --pretrained FILE or --start FINDER, or say random"
        )
    options = {**recipe.architecture_options, "frozen": mode == "frozen"}
    return recipe.model_copy(update={"architecture_options": options})


def body_facts(recipe: Recipe, source: str | None) -> dict[str, str]:
    """For card and record, under ``body``: which, whether it is left as it is, and where its weights come from.

    Empty for other architectures. Errors as in `read_pretrained`.
    """
    if not _has_body(recipe):
        return {}
    origin = UNTRAINED if source is None else read_pretrained(source, recipe).origin
    options = recipe.architecture_options
    if recipe.architecture.startswith(PREFIX):
        state = "frozen but for its last layer" if options.get("frozen", False) else "all trained"
        name = recipe.architecture.removeprefix(PREFIX)
        return {"body": f"timm's {name}, {state}; its weights before training: {origin}"}
    name = str(options.get("body", "efficientnet-lite0"))
    state = "frozen" if options.get("frozen", True) else "trained with the rest"
    return {"body": f"{name} (timm's {BODIES[name].timm_name}), {state}; its weights before training: {origin}"}


def _has_body(recipe: Recipe) -> bool:
    return recipe.architecture == "transfer" or recipe.architecture.startswith(PREFIX)


def read_pretrained(source: str, recipe: Recipe) -> Pretrained:
    """Weights for the body of `recipe` from a file or a folder of Hugging Face, or from the hub.

    ``hub`` is timm's own download, ``hub:OWNER/NAME`` a repository with a safetensors file.

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
    if source.startswith(f"{HUB}:"):
        source = str(weights_in(from_hub(source, "--pretrained")))
    elif is_saved(Path(source)):
        source = str(weights_in(Path(source)))
    if recipe.architecture.startswith(PREFIX):
        return _of_network(source, recipe)
    name = str(recipe.architecture_options.get("body", "efficientnet-lite0"))
    if source == HUB:
        return _from_hub(name)
    path = Path(source)
    if not path.is_file():
        raise NoSuchData(f"{path}: no such file; {how_to_get(BODIES[name].timm_name, path)}")
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
    """Put the weights into the body of `module`, key by key; the last layer of a network of timm stays as it is."""
    path = Path(pretrained.origin.partition(" ")[0])
    network = next((part for part in module.modules() if isinstance(part, TimmNetwork)), None)
    if network is not None:
        own = network.network.state_dict()
        fill(network.network, {**own, **pretrained.tensors}, path)
        return
    part = transfer_part(module)
    assert part is not None
    fill(part.body, pretrained.tensors, path)


def how_to_get(timm_name: str, path: Path) -> str:
    """The command that writes the weights of timm's network to `path`, for a machine with network."""
    return (
        f"get it with: python -c \"import timm, torch; torch.save(timm.create_model('{timm_name}', pretrained=True)"
        f".state_dict(), '{path}')\""
    )


def _from_hub(name: str) -> Pretrained:
    body, origin = _fetched(BODIES[name].timm_name, lambda: new_body(name, pretrained=True))
    return Pretrained(body.state_dict(), origin)


def _fetched(timm_name: str, fetch: Callable[[], nn.Module]) -> tuple[nn.Module, str]:
    """A network with the weights of timm's hub, and where these came from; one line where there is no way there."""
    try:
        network = fetch()
    except UsageError:
        raise
    except Exception as error:  # whatever the network, the hub or its client brings
        reason = " ".join(str(error).split())[:100]
        raise UsageError(
            f"--pretrained hub: timm could not fetch {timm_name} ({type(error).__name__}: {reason}); where there is "
            f"network, {how_to_get(timm_name, Path(f'{timm_name}.pth'))}, and give --pretrained {timm_name}.pth"
        ) from error
    tag = getattr(network, "pretrained_cfg", {}).get("tag") or "default"
    return network, f"timm's hub, {timm_name}, tag {tag}, by name"


def _of_network(source: str, recipe: Recipe) -> Pretrained:
    """All of timm's network but its last layer, as timm itself fits it to other bands, patches and sizes."""
    name, words = _network_of(recipe)
    if source == HUB:
        made, origin = _fetched(name, lambda: _built_by_timm(name, {**words, "pretrained": True}))
    else:
        path = Path(source)
        if not path.is_file():
            raise NoSuchData(f"{path}: no such file; {how_to_get(name, path)}")
        tensors, channels = _tensors_of_network(path, name, words)
        pixels = timm().get_pretrained_cfg(name).input_size[1:]
        overlay = {"state_dict": tensors, "input_size": (channels, *pixels)}
        try:
            made = _built_by_timm(name, {**words, "pretrained": True, "pretrained_cfg_overlay": overlay})
        except Exception as error:  # timm resamples and torch checks shapes: either may find something amiss
            reason = printable(" ".join(str(error).split()), 120)
            raise DataError(f"{path}: timm cannot fit its weights to {name} ({reason}); give that network's") from error
        origin = f"{path.name} (SHA-256 {sha256(path)}), by name"
    last = _last_layers(name)
    return Pretrained({key: value for key, value in made.state_dict().items() if key not in last}, origin)


def _network_of(recipe: Recipe) -> tuple[str, dict[str, Any]]:
    """timm's name of the recipe's network, and what it is made with."""
    module = blueprint(recipe.model_copy(update={"symmetrise": False}))
    assert isinstance(module, TimmNetwork)
    return module.timm_name, module.words


def _built_by_timm(name: str, words: dict[str, Any]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):  # what no file fills is drawn, and not used
        return timm_networks.created(name, words)


def _last_layers(name: str) -> set[str]:
    return {f"{layer}.{kind}" for layer in timm_networks.classifiers(name) for kind in ("weight", "bias")}


def _tensors_of_network(path: Path, name: str, words: Mapping[str, Any]) -> tuple[dict[str, torch.Tensor], int]:
    """The tensors of timm's network in a file, without its last layer, and how many bands they take."""
    native = {key: value for key, value in words.items() if key in ("depth", "embed_dim", "num_heads")}
    with torch.device("meta"):
        expected = timm_networks.created(name, native).state_dict()
    last = _last_layers(name)
    read = [replace(one, tensors=as_timm(one.tensors)) for one in read_weights(path, most_bytes(expected))]
    group = closest_to(expected, read)
    kept = {key: value for key, value in group.tensors.items() if key not in last}
    for key in expected:
        if key not in kept and key not in last and not key.endswith(COUNTS):
            raise DataError(f"{path}: tensor {key!r} is missing; give the weights of timm's {name}")
    first = str(timm().get_pretrained_cfg(name).first_conv) + ".weight"
    for key, value in kept.items():
        called = printable(key, 80)
        if key not in expected:
            raise DataError(f"{path}: tensor {called!r} is none of timm's {name}; give that network's weights")
        wanted = expected[key].shape
        if not (value.shape == wanted or _resampled(key == first, value, wanted)):
            shape = tuple(value.shape)
            raise DataError(f"{path}: tensor {called!r} has shape {shape}, {tuple(wanted)} is needed")
    ready = {key: as_floats(value, expected[key].dtype, key, path) for key, value in kept.items()}
    return ready, int(ready[first].shape[1]) if first in ready else 3


def _resampled(first: bool, value: torch.Tensor, wanted: torch.Size) -> bool:
    """Whether timm fits a tensor of this shape: a first layer for other bands, places for another number of tokens."""
    if first:
        return value.shape[:1] + value.shape[2:] == wanted[:1] + wanted[2:] and value.shape[1] <= MOST_BANDS
    return len(wanted) == 3 == value.ndim and value.shape[2] == wanted[2] and value.numel() <= 16 * wanted.numel()


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
