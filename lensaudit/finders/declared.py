"""Anybody's own module as a finder: ``package.module:factory``."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import ValidationError
from torch import nn

from lensaudit.errors import UsageError
from lensaudit.finders.finder import Finder
from lensaudit.finders.recipe import CUSTOM, Recipe
from lensaudit.foreign_code import imported, in_charge


def declare_finder(
    module: nn.Module,
    bands: Sequence[str],
    size: int,
    *,
    name: str = "custom",
    stretch: str = "minmax",
    field_of_view_arcsec: float = 20.0,
    lens_index: int = 1,
) -> Finder:
    """Say what your own module eats, so that every command can use it.

    Parameters
    ----------
    module
        Maps float32 (n, bands, size, size) to logits: (n, k), or (n,) or (n, 1) for a single "lens" logit.
        Logits, not probabilities: leave the softmax or sigmoid off.
    bands
        Band names in the module's channel order, such as ``("J", "Y", "H", "VIS")``.
    size
        Input pixels per side; cutouts are resized to it.
    name
        How the finder is called in results.
    stretch
        ``minmax`` or ``sqrt-minmax``, see `lensaudit.finders.stretch.STRETCHES`.
    field_of_view_arcsec
        Width of the cutouts it was trained on.
    lens_index
        Which of k outputs is "lens"; not used with a single one.

    Raises
    ------
    UsageError
        The module does not take the declared shape, or does not return logits.

    Examples
    --------
    In ``mine.py``, then ``lensaudit score mine:finder SET --out scores.parquet``::

        def finder():
            return declare_finder(MyNet(), bands=("VIS",), size=100)
    """
    module.eval()
    outputs = _count_outputs(module, len(bands), size, name)
    try:
        recipe = Recipe(
            name=name,
            architecture=CUSTOM,
            bands=tuple(bands),
            size=size,
            stretch=stretch,
            field_of_view_arcsec=field_of_view_arcsec,
            outputs=outputs,
            lens_index=lens_index if outputs > 1 else 0,
        )
    except ValidationError as invalid:
        message = invalid.errors(include_url=False, include_context=False)[0]["msg"].removeprefix("Value error, ")
        raise UsageError(f"finder {name}: {message}; correct its declaration") from invalid
    return Finder(recipe, module, CUSTOM)


def load_declared(reference: str) -> Finder:
    """Call ``package.module:factory``, found on the Python path or in the working folder.

    The factory takes no argument and returns what `declare_finder` returns.

    Raises
    ------
    UsageError
        The reference cannot be imported, its factory fails, or it returns something else.
    """
    factory, _ = imported(reference, f"finder {reference}", "factory")
    try:
        with in_charge(f"finder {reference}: the factory"):
            made = factory()
    except UsageError as error:
        words = str(error)
        raise UsageError(words if reference in words else f"finder {reference}: {words}") from error
    if not isinstance(made, Finder):
        raise UsageError(
            f"finder {reference}: the factory returned {type(made).__name__}; return "
            f"lensaudit.finders.declare_finder(module, bands=..., size=...)"
        )
    return Finder(made.recipe, made.module, reference)


def _count_outputs(module: nn.Module, bands: int, size: int, name: str) -> int:
    """Number of outputs, by two trial images; refuses what cannot be logits."""
    device = next((tensor.device for tensor in module.parameters()), torch.device("cpu"))
    trial = torch.linspace(0, 1, 2 * bands * size * size, device=device).reshape(2, bands, size, size)
    with in_charge(f"finder {name}: the module, on (2, {bands}, {size}, {size}) as declared,"), torch.inference_mode():
        outputs = module(trial)
    if not isinstance(outputs, torch.Tensor) or outputs.ndim not in (1, 2) or len(outputs) != 2:
        found = tuple(outputs.shape) if isinstance(outputs, torch.Tensor) else type(outputs).__name__
        raise UsageError(f"finder {name}: the module returns {found} for 2 images; return logits (2,) or (2, k)")
    count = 1 if outputs.ndim == 1 else outputs.shape[1]
    if count > 1 and bool((outputs >= 0).all()) and bool(torch.allclose(outputs.sum(1), torch.ones(2, device=device))):
        raise UsageError(f"finder {name}: its outputs add up to 1, so they are probabilities; leave the softmax off")
    return count
