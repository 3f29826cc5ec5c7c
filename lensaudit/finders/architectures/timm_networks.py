"""Networks of timm as finders: ConvNeXt (Liu et al. 2022), the vision transformer (Dosovitskiy et al. 2021), others."""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn

from lensaudit.errors import UsageError
from lensaudit.finders.architectures.transfer import timm
from lensaudit.untrusted import printable

PREFIX = "timm:"
"""Before the name of a network of timm, where a recipe names its architecture."""

OPTIONS: dict[str, bool | int | float | str] = {
    "patch": 0, "depth": 0, "width": 0, "heads": 0, "drop_path": 0.0, "dropout": 0.0, "frozen": False,
}  # fmt: skip
"""What a recipe may say under ``architecture_options``, and the defaults. Of a transformer the pixels along a patch,
the layers, the length of a token and the heads, 0 for timm's own; the fraction of residual branches left out in
training (stochastic depth), the dropout before the last layer, and whether that layer alone is trained."""

_OF_A_TRANSFORMER = {"patch": "patch_size", "depth": "depth", "width": "embed_dim", "heads": "num_heads"}
MOST = {"patch": 256, "depth": 96, "width": 4096, "heads": 64}
"""Largest value of each option of a transformer; timm's largest have 14 pixels, 64 layers, 4096 and 32."""


class TimmNetwork(nn.Module):
    """A network of timm whose last layer gives our logits.

    Parameters
    ----------
    timm_name
        What timm calls it.
    words
        What ``timm.create_model`` takes beside the name.
    frozen
        All but the last layer has no gradient and stays in evaluation mode in training too.
    """

    def __init__(self, timm_name: str, words: Mapping[str, Any], frozen: bool) -> None:
        super().__init__()
        self.timm_name, self.words, self.frozen = timm_name, dict(words), frozen
        self.network = created(timm_name, words)
        for part in self.network.modules():
            if getattr(part, "inplace", False):
                part.inplace = False  # type: ignore[assignment]
        _drop_before_the_last_layer_only(self.network)
        if frozen:
            self.network.requires_grad_(False)
            self._last().requires_grad_(True)

    def _last(self) -> nn.Module:
        last: nn.Module = self.network.get_classifier()  # type: ignore[operator]
        return last

    def train(self, mode: bool = True) -> Self:
        """As ``nn.Module.train``, but for what is frozen."""
        super().train(mode)
        if self.frozen:
            self.network.eval()
            self._last().train(mode)
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, outputs) of images (n, bands, size, size)."""
        logits: Tensor = self.network(images)
        return logits

    def start(self, generator: torch.Generator) -> None:
        """Fill it as timm fills a new network, drawn from `generator`."""
        fresh = from_seed(self.timm_name, self.words, generator)
        with torch.no_grad():
            for key, tensor in self.network.state_dict().items():
                tensor.copy_(fresh[key])


def _drop_before_the_last_layer_only(network: nn.Module) -> None:
    """Take away the dropouts of nothing inside, so that ``--dropout`` is that of the head, as a user expects.

    timm's attention asks its dropout for its probability, which is why what stands there instead has one.
    """
    for name, parent in list(network.named_modules()):
        for child, part in list(parent.named_children()):
            if isinstance(part, nn.Dropout) and part.p == 0 and "head" not in f"{name}.{child}":
                nothing = nn.Identity()
                nothing.p = 0.0  # type: ignore[assignment]
                setattr(parent, child, nothing)


def from_seed(timm_name: str, words: Mapping[str, Any], generator: torch.Generator) -> dict[str, Tensor]:
    """Tensors of a new network, its weights drawn from `generator`; the global stream stays where it is."""
    seed = int(torch.randint(2**62, (), generator=generator))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        with torch.device("cpu"):
            return dict(created(timm_name, words).state_dict())


def created(timm_name: str, words: Mapping[str, Any]) -> nn.Module:
    """timm's network on the device in force."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that timm has given up, and of layers without elements on meta
        module: nn.Module = timm().create_model(timm_name, **words)
    return module


def known_network(timm_name: str) -> str:
    """The name, where timm has such a network; nothing is fetched.

    Raises
    ------
    UsageError
        It has none, or timm is not installed; the line lists the nearest names.
    """
    library = timm()
    if re.fullmatch(r"[a-z0-9_]{1,100}", timm_name) and library.is_model(timm_name):
        return timm_name
    near = difflib.get_close_matches(timm_name[:100], library.list_models(), n=3)
    hint = f"; the nearest are {', '.join(near)}" if near else ""
    raise UsageError(f"timm has no network {printable(timm_name, 60)!r}{hint}; see timm.list_models()")


def classifiers(timm_name: str) -> tuple[str, ...]:
    """Names of the layers that give timm's own classes."""
    names = timm().get_pretrained_cfg(timm_name).classifier or ()
    return (names,) if isinstance(names, str) else tuple(names)


def build(timm_name: str, bands: int, outputs: int = 2, *, size: int = 224, **options: Any) -> TimmNetwork:
    """(n, bands, size, size) → (n, outputs) logits.

    Parameters
    ----------
    timm_name
        What timm calls it, without the tag of its weights.
    options
        Some of `OPTIONS`.

    Raises
    ------
    UsageError
        timm has no such network or is not installed, an option is not possible, or the network keeps tables that no
        file of weights holds.
    """
    name, told = known_network(timm_name), {**OPTIONS, **options}
    words: dict[str, Any] = {"in_chans": bands, "num_classes": outputs, "drop_rate": told["dropout"]}
    if told["drop_path"]:
        words["drop_path_rate"] = told["drop_path"]
    for option, theirs in _OF_A_TRANSFORMER.items():
        value = told[option]
        if not (isinstance(value, int) and 0 <= value <= MOST[option]):
            raise UsageError(f"option {option} {value} is not possible; take 1 to {MOST[option]}, or 0 for timm's own")
        if value:
            words[theirs] = value
    if timm().get_pretrained_cfg(name).fixed_input_size:
        words["img_size"] = size
    made = TimmNetwork(name, words, bool(told["frozen"]))
    patches = getattr(getattr(made.network, "patch_embed", None), "patch_size", (1,))
    if size % int(patches[0]):
        fits = max(1, size // int(patches[0])) * int(patches[0])
        raise UsageError(
            f"timm's {name} takes patches of {patches[0]} pixels, of which size {size} is no multiple; take size "
            f"{fits}, or another patch"
        )
    kept = set(made.state_dict())
    if outside := [key for key, _ in made.named_buffers() if key not in kept]:
        raise UsageError(
            f"timm's {name} keeps tables outside its weights ({outside[0].removeprefix('network.')}), which is not "
            f"read here; take convnext_…, vit_…, resnet…, efficientnet_… or another that does not"
        )
    return made
