"""A finder's module: copies to be hooked, and its convolutions and kernels by the names a user types."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from warnings import catch_warnings

import torch
from astropy.io import fits
from torch import fx, nn

from lensaudit.errors import UsageError
from lensaudit.explaining.trace import evaluating
from lensaudit.finders import Finder
from lensaudit.finders.finder import lens_logit
from lensaudit.finders.load import scripted, unwrapped
from lensaudit.provenance import refuse_other_inputs


@dataclass(frozen=True, eq=False)
class ConvLayer:
    """One convolution of a module.

    Attributes
    ----------
    name
        Dotted path in the module. For a plain ``nn.Sequential`` this is the index: "[layer 13 kernel 4]" of Wilde
        et al. 2022 is layer ``13``.
    module
        The convolution.
    """

    name: str
    module: nn.Conv2d

    @property
    def kernels(self) -> int:
        """Number of its kernels, that is of output channels."""
        return self.module.out_channels

    def check(self, kernel: int) -> None:
        """Make sure that `kernel` is one of 0 … kernels − 1.

        Raises
        ------
        UsageError
            It is not; the line says which there are.
        """
        if not 0 <= kernel < self.kernels:
            raise UsageError(f"layer {self.name} has no kernel {kernel}; it has 0 to {self.kernels - 1}")


def convolutions(module: nn.Module) -> tuple[ConvLayer, ...]:
    """All two-dimensional convolutions of `module` in the order of definition.

    Raises
    ------
    UsageError
        There is none.
    """
    found = tuple(ConvLayer(name, part) for name, part in module.named_modules() if isinstance(part, nn.Conv2d))
    if not found and scripted(module):
        raise UsageError("TorchScript hides its convolutions, so no kernels to look at; declare the Python module")
    if not found:
        raise UsageError(f"{type(module).__name__} has no convolution (nn.Conv2d), so no kernels to look at")
    return found


def find_layer(module: nn.Module, name: str) -> ConvLayer:
    """The convolution of that name.

    Raises
    ------
    UsageError
        There is none; the line lists those that exist.
    """
    layers = {layer.name: layer for layer in convolutions(module)}
    if str(name) not in layers:
        raise UsageError(f"no convolution '{name}'; this finder's are {', '.join(layers)}")
    return layers[str(name)]


AGREE = 1e-4
"""Most that a copy's answer may differ from the finder's, as a fraction of 1 + |answer|; rounding stays below."""


class LogitModule(nn.Module):
    """Prepared images (n, bands, size, size) → log-odds of "lens" (n,), the one number that is explained."""

    def __init__(self, body: nn.Module, outputs: int, lens_index: int) -> None:
        super().__init__()
        self.body, self._outputs, self._lens_index = body, outputs, lens_index

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Log-odds (n,); the body may write into what it is given, which is therefore a copy."""
        # A GraphModule that is called prints what goes wrong inside it.
        run = self.body.forward if isinstance(self.body, fx.GraphModule) else self.body
        return lens_logit(run(images.clone()), self._outputs, self._lens_index)


def logit_module(finder: Finder, body: nn.Module) -> LogitModule:
    """`body` in place of the finder's module, in evaluation mode."""
    return LogitModule(body, finder.recipe.outputs, finder.recipe.lens_index).eval()


def copied(module: nn.Module) -> nn.Module:
    """A copy without wrappers, in evaluation mode, whose weights ask for no gradient."""
    with torch.no_grad():  # else the weights of a TorchScript copy are no leaves
        body = copy.deepcopy(unwrapped(module)).eval()
    for parameter in body.parameters():
        parameter.requires_grad_(False)
    return body


def not_in_place(module: nn.Module) -> nn.Module:
    """A copy whose in-place activations give new tensors, which a gradient may need."""
    body = copied(module)
    for part in body.modules():
        if getattr(part, "inplace", False):
            part.inplace = False  # type: ignore[assignment]
    return body


def noise_for(finder: Finder) -> torch.Tensor:
    """Seeded images (2, channels, size, size) in [0, 1] to compare a copy with its finder on."""
    shape = 2, finder.recipe.channels, finder.recipe.size, finder.recipe.size
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)).to(finder.device)


def answers(finder: Finder, noise: torch.Tensor) -> torch.Tensor:
    """The finder's own log-odds (n,), outside any graph."""
    with evaluating(finder.module):
        return finder.logit(noise)


def agrees(module: LogitModule, noise: torch.Tensor, wanted: torch.Tensor) -> bool:
    """Whether `module` gives the log-odds `wanted` for `noise`."""
    try:
        with torch.no_grad():
            found = module(noise)
    except Exception:  # rewritten foreign code may fail in any way
        return False
    return torch.allclose(
        found, wanted, rtol=0, atol=AGREE * (1 + float(wanted.nan_to_num().abs().max())), equal_nan=True
    )


_CARDS = {"finder": "FNDHASH", "set": "SETHASH"}


def refuse_other_maps(paths: Iterable[Path], finder_hash: str, set_hash: str | None) -> None:
    """Refuse to write over maps of another finder or set; what is torn, or of other settings, is made anew.

    Costs reading the headers of what is there, a millisecond a file.

    Raises
    ------
    UsageError
        A file holds maps of another finder or set.
    """
    inputs = {"finder": finder_hash} | ({} if set_hash is None else {"set": set_hash})
    for path in paths:
        if path.is_file():
            refuse_other_inputs(path, _inputs_of(path), inputs, "map", "or add --force to replace it")


def _inputs_of(path: Path) -> dict[str, str]:
    try:
        content = BytesIO(path.read_bytes())  # astropy would leave a torn file open
        with catch_warnings(action="ignore"):
            header = fits.Header.fromfile(content)
            return {name: str(header[card]) for name, card in _CARDS.items() if card in header}
    except (OSError, TypeError, ValueError, fits.VerifyError):
        return {}
