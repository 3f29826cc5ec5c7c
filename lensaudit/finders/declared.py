"""Anybody's own module as a finder: ``package.module:factory``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pydantic import ValidationError
from torch import nn

from lensaudit.errors import UsageError
from lensaudit.finders.finder import Finder
from lensaudit.finders.recipe import CUSTOM, Recipe
from lensaudit.finders.trial import tried
from lensaudit.finders.wrapped import unwrapped
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
    """Say what your own module takes as input, so that every command can use it.

    It is tried on noise once: it must give logits, the same ones each time, and each image's whatever else is in the
    batch. ``nn.DataParallel`` and ``torch.compile`` around it are taken off, so that its layers can be seen.

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
        ``minmax`` or ``sqrt``, see `lensaudit.finders.stretch.STRETCHES`.
    field_of_view_arcsec
        Width of the cutouts it was trained on.
    lens_index
        Which of k outputs is "lens"; not used with a single one.

    Raises
    ------
    UsageError
        The module does not take the declared shape, does not return logits, is in half or double precision, or
        answers differently the second time or in another batch.

    Examples
    --------
    In ``mine.py``, then ``lensaudit score mine:finder SET --out scores.parquet``::

        def finder():
            return declare_finder(MyNet(), bands=("VIS",), size=100)
    """
    module = _evaluating(unwrapped(module), name)
    trial = tried(module, len(bands), size, name)
    try:
        recipe = Recipe(
            name=name,
            architecture=CUSTOM,
            bands=tuple(bands),
            size=size,
            stretch=stretch,
            field_of_view_arcsec=field_of_view_arcsec,
            outputs=trial.outputs,
            lens_index=lens_index if trial.outputs > 1 else 0,
        )
    except ValidationError as invalid:
        message = invalid.errors(include_url=False, include_context=False)[0]["msg"].removeprefix("Value error, ")
        raise UsageError(f"finder {name}: {message}; correct its declaration") from invalid
    return Finder(recipe, module, CUSTOM, notes=trial.notes)


def _evaluating(module: nn.Module, name: str) -> nn.Module:
    with in_charge(f"finder {name}: {type(module).__name__}.eval()"):  # which programs of torch.export refuse
        return module.eval()


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
    return replace(made, origin=reference)
