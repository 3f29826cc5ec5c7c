"""Folders of Hugging Face (``config.json`` and ``model.safetensors``), on disk or from the hub, as networks of timm.

They are those that timm saves, and of transformers the image classifiers of ConvNext and ViT, whose tensors have other
names there. Nothing of transformers is needed, and nothing but JSON and safetensors is read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lensaudit.documents import read_json
from lensaudit.errors import DataError, UsageError
from lensaudit.finders.architectures.timm_networks import PREFIX, known_network
from lensaudit.finders.architectures.transfer import timm
from lensaudit.untrusted import printable

HUB = "hub"
"""What stands for the hub in place of a file: alone for timm's own weights, or as ``hub:OWNER/NAME``."""

CONFIG_FILE, WEIGHTS_FILE, _LIST_OF_PARTS = "config.json", "model.safetensors", "model.safetensors.index.json"
TIMEOUT_S = 10.0
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}(?:@[\w.-]{1,100})?", re.ASCII)
_SAVE_AGAIN = "save the model again with save_pretrained(FOLDER), which writes model.safetensors"
_EXPORT = "export it with torch.export.save or as ONNX"

CONVNEXT = {
    r"embeddings\.patch_embeddings\.": "stem.0.",
    r"embeddings\.layernorm\.": "stem.1.",
    r"encoder\.stages\.(\d+)\.downsampling_layer\.(\d)\.": r"stages.\1.downsample.\2.",
    r"encoder\.stages\.(\d+)\.layers\.(\d+)\.dwconv\.": r"stages.\1.blocks.\2.conv_dw.",
    r"encoder\.stages\.(\d+)\.layers\.(\d+)\.layernorm\.": r"stages.\1.blocks.\2.norm.",
    r"encoder\.stages\.(\d+)\.layers\.(\d+)\.pwconv(\d)\.": r"stages.\1.blocks.\2.mlp.fc\3.",
    r"encoder\.stages\.(\d+)\.layers\.(\d+)\.layer_scale_parameter": r"stages.\1.blocks.\2.gamma",
    r"layernorm\.": "head.norm.",
    r"classifier\.": "head.fc.",
}
"""Beginning of a tensor's name in transformers' ConvNextForImageClassification → in timm's ConvNeXt."""

VIT = {
    r"embeddings\.cls_token": "cls_token",
    r"embeddings\.position_embeddings": "pos_embed",
    r"embeddings\.patch_embeddings\.projection\.": "patch_embed.proj.",
    r"encoder\.layer\.(\d+)\.attention\.attention\.(query|key|value)\.": r"blocks.\1.attn.\2.",
    r"encoder\.layer\.(\d+)\.attention\.output\.dense\.": r"blocks.\1.attn.proj.",
    r"encoder\.layer\.(\d+)\.intermediate\.dense\.": r"blocks.\1.mlp.fc1.",
    r"encoder\.layer\.(\d+)\.output\.dense\.": r"blocks.\1.mlp.fc2.",
    r"encoder\.layer\.(\d+)\.layernorm_before\.": r"blocks.\1.norm1.",
    r"encoder\.layer\.(\d+)\.layernorm_after\.": r"blocks.\1.norm2.",
    r"layernorm\.": "norm.",
    r"classifier\.": "head.",
}
"""The same of ViTForImageClassification; query, key and value are one tensor in timm."""

_FIRST = {"embeddings.patch_embeddings.weight": CONVNEXT, "embeddings.patch_embeddings.projection.weight": VIT}
"""End of the name of a tensor that only such a network has → its names."""
_BODIES = ("convnext.", "vit.")

_CONVNEXTS: dict[tuple[tuple[int, ...], int], str] = {
    ((3, 3, 9, 3), 96): "convnext_tiny",
    ((3, 3, 27, 3), 96): "convnext_small",
    ((3, 3, 27, 3), 128): "convnext_base",
    ((3, 3, 27, 3), 192): "convnext_large",
    ((3, 3, 27, 3), 256): "convnext_xlarge",
}
"""Blocks of each stage, and channels of the first → timm's name; each stage has twice the channels of that before."""


@dataclass(frozen=True)
class Saved:
    """What a folder of Hugging Face holds.

    Attributes
    ----------
    architecture
        Of a recipe, ``timm:NAME``.
    options
        Of the architecture.
    outputs
        How many classes it gives; 0 for an encoder alone.
    """

    architecture: str
    options: Mapping[str, int]
    outputs: int


def is_saved(folder: Path) -> bool:
    """Whether it is a folder as timm's or transformers' ``save_pretrained`` writes it."""
    return (Path(folder) / CONFIG_FILE).is_file()


def weights_in(folder: Path) -> Path:
    """The safetensors file in a folder of Hugging Face.

    Raises
    ------
    DataError
        It has none, or several parts.
    """
    folder = Path(folder)
    if (folder / WEIGHTS_FILE).is_file():
        return folder / WEIGHTS_FILE
    if (folder / _LIST_OF_PARTS).is_file():
        raise DataError(f"{folder}: its weights lie in several files; save it in one (max_shard_size='50GB')")
    raise DataError(f"{folder}: has no {WEIGHTS_FILE}, and pickles are not read from such a folder; {_SAVE_AGAIN}")


def read_config(folder: Path) -> Saved:
    """What the ``config.json`` of a folder of Hugging Face says of its network.

    Raises
    ------
    DataError
        It is torn, or of a network that has no equal in timm; the line says how to export it.
    """
    path = Path(folder) / CONFIG_FILE
    words = read_json(path, "save the model again")
    if not isinstance(words, dict):
        raise DataError(f"{path}: is no mapping; save the model again")
    try:
        return _of_timm(words, path) if "architecture" in words else _of_transformers(words, path)
    except DataError:
        raise
    except (TypeError, ValueError, KeyError, AttributeError) as torn:
        raise DataError(f"{path}: is no configuration of timm or transformers ({printable(torn, 60)})") from torn


def _of_timm(words: Mapping[str, Any], path: Path) -> Saved:
    name, more = str(words["architecture"]), dict(words.get("model_args") or {})
    for known in ("in_chans", "num_classes", "img_size"):
        more.pop(known, None)
    if more:
        raise DataError(f"{path}: timm made it with {printable(min(more), 40)!r}, which is not known here; {_EXPORT}")
    pretrained = words.get("pretrained_cfg") or {}
    return Saved(f"{PREFIX}{name}", {}, int(words.get("num_classes", pretrained.get("num_classes", 0))))


def _of_transformers(words: Mapping[str, Any], path: Path) -> Saved:
    kind = words.get("model_type")
    labels = words.get("id2label")
    outputs = len(labels) if labels is not None else int(words.get("num_labels", 2))
    if kind == "convnext":
        depths = tuple(int(one) for one in words.get("depths") or (3, 3, 9, 3))
        widths = tuple(int(one) for one in words.get("hidden_sizes") or (96, 192, 384, 768))
        name = _CONVNEXTS.get((depths, widths[0]))
        plain = widths == tuple(widths[0] * 2**stage for stage in range(4)) and words.get("patch_size", 4) == 4
        if name and plain and words.get("hidden_act", "gelu") == "gelu":
            return Saved(f"{PREFIX}{name}", {}, outputs)
    if kind == "vit":
        width = int(words.get("hidden_size", 768))
        plain = int(words.get("intermediate_size", 3072)) == 4 * width and words.get("qkv_bias", True)
        if plain and words.get("hidden_act", "gelu") == "gelu":
            options = {
                "patch": int(words.get("patch_size", 16)),
                "depth": int(words.get("num_hidden_layers", 12)),
                "width": width,
                "heads": int(words.get("num_attention_heads", 12)),
            }
            return Saved(f"{PREFIX}vit_base_patch16_224", options, outputs)
    what = printable(kind, 40)
    raise DataError(
        f"{path}: is transformers' {what!r} in a form that timm does not have; ConvNext and ViT of the usual forms are "
        f"read; {_EXPORT}"
    )


def as_timm(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors of transformers' ConvNext or ViT by timm's names; all others as they are.

    Their names may have a prefix. What has no place in timm's network, such as a pooler, keeps its name.
    """
    first = next((key for key in tensors if any(key.endswith(end) for end in _FIRST)), None)
    if first is None:
        return dict(tensors)
    end = next(end for end in _FIRST if first.endswith(end))
    body = first.removesuffix(end)
    outer = next((body.removesuffix(name) for name in _BODIES if body.endswith(name)), body)
    found = {}
    for key, tensor in tensors.items():
        own = key.removeprefix(body) if key.startswith(body) else key.removeprefix(outer)
        found[next((re.sub(f"^{a}", b, own) for a, b in _FIRST[end].items() if re.match(a, own)), key)] = tensor
    return _with_one_tensor_of_attention(found)


def _with_one_tensor_of_attention(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Query, key and value of each block one below the other; where one is missing, as they are."""
    for key in [key for key in tensors if re.fullmatch(r"blocks\.\d+\.attn\.query\.(weight|bias)", key)]:
        parts = [key.replace(".query.", f".{name}.") for name in ("query", "key", "value")]
        if all(part in tensors for part in parts) and len({tensors[part].shape[1:] for part in parts}) == 1:
            tensors[key.replace(".query.", ".qkv.")] = torch.cat([tensors.pop(part) for part in parts])
    return tensors


def from_hub(words: str, what: str, architecture: str | None = None) -> Path:
    """The folder of ``hub:OWNER/NAME`` or ``hub:OWNER/NAME@REVISION`` in Hugging Face's cache, fetched if need be.

    Only its ``config.json`` and ``model.safetensors`` are fetched.

    Parameters
    ----------
    words
        Of the user.
    what
        Where they stand, for the message.
    architecture
        ``timm:NAME``, whose own weights ``hub`` alone means.

    Raises
    ------
    UsageError
        They name no repository, there is no way to it, or it has no such files; one line with the fix.
    """
    name = words.removeprefix(f"{HUB}:")
    if words == HUB and architecture is not None and architecture.startswith(PREFIX):
        network = known_network(architecture.removeprefix(PREFIX))
        name = str(timm().get_pretrained_cfg(network).hf_hub_id)
    if not _REPOSITORY.fullmatch(name):
        raise UsageError(
            f"{what}: {printable(words, 60)!r} names no repository; say hub:OWNER/NAME, or with architecture: "
            f"timm:NAME hub alone"
        )
    repository, _, revision = name.partition("@")
    by_hand = f"where there is network: `hf download {repository} --local-dir FOLDER`, and give FOLDER instead"
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as missing:
        raise UsageError(
            f"{what}: {words} needs huggingface_hub, which comes with timm; pip install it, or {by_hand}"
        ) from missing
    try:
        found = [
            Path(hf_hub_download(repository, file, revision=revision or None, etag_timeout=TIMEOUT_S))
            for file in (CONFIG_FILE, WEIGHTS_FILE)
        ]
    except Exception as error:  # whatever the network, the hub or its client brings
        reason = printable(" ".join(str(error).split()), 100)
        raise UsageError(
            f"{what}: {words} could not be fetched ({type(error).__name__}: {reason}); {by_hand}"
        ) from error
    return found[1].parent
