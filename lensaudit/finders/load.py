"""One name for every finder: built-in, folder, a YAML with a network's file, or ``package.module:factory``."""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from os.path import lexists
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import nn

from lensaudit.documents import complaint, read_text
from lensaudit.errors import UsageError
from lensaudit.finders.facts import TrainingFacts
from lensaudit.finders.finder import Finder
from lensaudit.finders.formats.declaration import declaration_at
from lensaudit.finders.formats.opening import open_file, open_members
from lensaudit.finders.recipe import CUSTOM, Recipe, builtin_finder_folder, builtin_recipes, load_recipe, tell_hidden
from lensaudit.finders.running import choose_device, tried
from lensaudit.finders.store import CARD_FILE, FINDER_FILE, WEIGHTS_FILE, FinderRecord, open_finder, read_record
from lensaudit.foreign_code import imported, in_charge
from lensaudit.records import Json, Record


@dataclass(frozen=True)
class FinderSummary(Record):
    """What a built-in finder takes, and whether it has weights."""

    name: str
    architecture: str
    bands: tuple[str, ...]
    size: int
    stretch: str
    has_weights: bool


@dataclass(frozen=True)
class FinderDescription:
    """What is known of a finder: its recipe, and of one with weights the record; `note` where there is no card."""

    recipe: Recipe
    record: FinderRecord | None
    card: str | None
    note: str

    def to_json(self) -> Json:
        """Plain values; the record without the recipe, which stands beside it."""
        record = self.record and self.record.model_dump(mode="json", exclude={"recipe"})
        return {"recipe": self.recipe.model_dump(mode="json"), "record": record, "card": self.card, "note": self.note}


def builtin_finders() -> list[FinderSummary]:
    """One row per built-in finder."""
    return [_row(load_recipe(str(folder)), folder) for folder in builtin_recipes().values()]


def describe(name: str) -> FinderDescription:
    """Recipe, and if it has weights record and card, of a built-in finder or a finder's folder.

    Raises
    ------
    UsageError
        There is no such finder, or it is the user's own code, which declares itself when loaded.
    DataError
        Its files do not fit together.
    """
    if _declaration(Path(name)) is not None:
        finder = _find(name)
        return FinderDescription(
            finder.recipe, None, None, "\n".join((f"Weights SHA-256 {finder.weights_hash}.", *finder.notes))
        )
    if ":" in name and not Path(name).is_dir():
        raise UsageError(f"finder {name}: is your own code and has no card; give a built-in name or a finder's folder")
    folder = Path(name) if Path(name).is_dir() else builtin_finder_folder(name)
    builtin = folder in builtin_recipes().values()
    if builtin and not (folder / FINDER_FILE).is_file():
        note = f"No weights yet; train them with lensaudit train {folder.name} --data SET --out DIR."
        return FinderDescription(load_recipe(str(folder)), None, None, note)
    record = read_record(folder)
    path = folder / CARD_FILE
    card = read_text(path, "write it again in UTF-8, or remove it") if lexists(path) else None
    return FinderDescription(record.recipe, record, card, "No card.")


def _row(recipe: Recipe, folder: Path) -> FinderSummary:
    if (folder / FINDER_FILE).is_file():
        recipe = read_record(folder).recipe  # what the weights take, which may differ from what a new training would
    return FinderSummary(
        name=recipe.name,
        architecture=recipe.architecture,
        bands=tuple(recipe.bands),
        size=recipe.size,
        stretch=recipe.stretch,
        has_weights=(folder / FINDER_FILE).is_file(),
    )


_PARALLEL = (nn.DataParallel, nn.parallel.DistributedDataParallel)


def unwrapped(module: nn.Module) -> nn.Module:
    """`module` without wrappers, at any depth; it calculates the same.

    Where a part is wrapped, the result is a new tree of modules that shares the tensors of `module`, which stays as it
    is. A compiled module runs as plain PyTorch: its hooks would be passed over in compiled code.
    """
    module = _inside(module)
    if not any(_inside(part) is not part or _compiled(part) for part in module.modules()):
        return module
    shared = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    module = copy.deepcopy(module, shared)
    for part in list(module.modules()):
        for name, child in list(part.named_children()):
            if _inside(child) is not child:
                setattr(part, name, _inside(child))
    for part in module.modules():
        if _compiled(part):
            part._compiled_call_impl = None
    return module


def uncompiled() -> AbstractContextManager[Any]:
    """Run functions that ``torch.compile`` made as plain PyTorch inside the block, so that hooks see their layers.

    Nothing is done, and nothing imported, where nothing was compiled.
    """
    if "torch._dynamo" not in sys.modules:
        return nullcontext()
    stance: AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
    return stance


def scripted(module: nn.Module) -> bool:
    """Whether any part is TorchScript, which runs without its Python layers."""
    return any(isinstance(part, torch.jit.ScriptModule) for part in module.modules())


def _inside(module: nn.Module) -> nn.Module:
    inner: Any = module
    while True:
        if isinstance(inner, _PARALLEL):
            inner = inner.module
        elif "torch._dynamo" in sys.modules and isinstance(inner, _optimized()):
            inner = inner._orig_mod
        else:
            assert isinstance(inner, nn.Module)
            return inner


def _optimized() -> type[nn.Module]:
    from torch._dynamo import OptimizedModule

    return OptimizedModule


def _compiled(part: nn.Module) -> bool:
    """Whether ``module.compile()`` was called on it."""
    return getattr(part, "_compiled_call_impl", None) is not None


def declare_finder(
    module: nn.Module,
    bands: Sequence[str],
    size: int,
    *,
    name: str = "custom",
    stretch: str | Sequence[Mapping[str, Any]] = "minmax",
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
        ``minmax``, ``sqrt`` or another key of `lensaudit.finders.stretch.STRETCHES`; or the steps of a preprocessing,
        as a recipe has them: ``[{"step": "crop", "size": 44}, {"step": "asinh", "a": 0.1}]``.
    field_of_view_arcsec
        Width of the cutouts it was trained on.
    lens_index
        Which of k outputs is "lens"; not used with a single one.

    Returns
    -------
    Finder
        In evaluation mode, usable wherever a finder is asked for.

    Raises
    ------
    UsageError
        The module does not take the declared shape, does not return logits, is in half or double precision, or
        answers differently the second time or in another batch. Also a `ValueError`.

    See Also
    --------
    load_finder : a finder by its name or folder, or ``package.module:factory``.

    Examples
    --------
    A function that declares one is all that a command needs: with this in ``mine.py``, ``mine:finder`` names it.

    >>> from torch import nn
    >>> def finder():
    ...     net = nn.Sequential(nn.Conv2d(1, 4, 5, stride=4), nn.ReLU(), nn.Flatten(), nn.LazyLinear(1))
    ...     return declare_finder(net, bands=("VIS",), size=40, name="mine")
    >>> finder().parameters
    429
    """
    if not bands or isinstance(bands, str) or size < 1:
        raise UsageError(f"finder {name}: bands {bands!r}, size {size}: give a tuple of names, and 1 pixel or more")
    module = _evaluating(unwrapped(module), name)
    scaling = {"stretch": stretch} if isinstance(stretch, str) else {"preprocessing": list(stretch)}
    words = {"name": name, "architecture": CUSTOM, "bands": tuple(bands), "size": size, **scaling}
    words |= {"field_of_view_arcsec": field_of_view_arcsec}
    try:
        untried = Recipe.model_validate(words | {"lens_index": 0})
        trial = tried(module, untried.channels, size, name)
        recipe = Recipe.model_validate(
            words | {"outputs": trial.outputs, "lens_index": lens_index if trial.outputs > 1 else 0}
        )
    except ValidationError as invalid:
        raise UsageError(f"finder {name}: {complaint(invalid)}; correct its declaration") from invalid
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


def load_finder(name: str, device: str = "cpu") -> Finder:
    """Load a finder by what a user calls it.

    Parameters
    ----------
    name
        A built-in name (``ou66``, ``OU-66``), a finder's folder, ``package.module:factory``, or a YAML that declares
        a finder in another program's file (or the folder of such a one).
    device
        ``auto``, ``cpu`` or ``cuda``.

    Raises
    ------
    UsageError
        There is no such finder, or the built-in one has no weights yet.
    DataError
        Its files are torn or do not fit together.
    """
    where = choose_device(device)
    finder = _find(name)
    finder.module.to(where)
    return finder


def stored_in(finder: Finder) -> Path | None:
    """Folder that the finder was loaded from; None of one that lies in memory or in the user's own code."""
    if finder.recipe.architecture == CUSTOM:
        return None
    folder = builtin_finder_folder(finder.name) if finder.origin == "built-in" else Path(str(finder.origin))
    return folder if (folder / FINDER_FILE).is_file() else None


def making_of(finder: Finder) -> TrainingFacts:
    """What the finder was trained on, as far as a record in its folder says so."""
    folder = stored_in(finder)
    return TrainingFacts() if folder is None else read_record(folder).training_data


def earlier_sets(*finders: Finder) -> tuple[str, ...]:
    """Content hashes of the sets that `finders` were trained on, for the record of one that is made from them."""
    return tuple(dict.fromkeys(known for finder in finders for known in making_of(finder).trained_on))


def _declaration(path: Path) -> Path | None:
    """The YAML of a finder that is a file, where `path` names one and no finder's own folder."""
    return None if (path / FINDER_FILE).is_file() else declaration_at(path)


def _find(name: str) -> Finder:
    folder = Path(name)
    if (declaration := _declaration(folder)) is not None:
        tell_hidden(folder, name, builtin_recipes(), "finder")
        return open_file(declaration, name)
    if folder.is_dir():
        tell_hidden(folder, name, builtin_recipes(), "finder")
        return open_members(open_finder(folder, str(folder)), folder)
    if ":" in name:
        return load_declared(name)
    if "/" in name or folder.exists():
        raise UsageError(
            f"finder {name}: is no folder with {FINDER_FILE} and {WEIGHTS_FILE}; for a network in another file give a "
            f"YAML that declares it (see the how-to of finders that are files)"
        )
    builtin = builtin_finder_folder(name)
    if not (builtin / FINDER_FILE).is_file():
        raise UsageError(
            f"built-in finder {builtin.name} has no weights yet; train them with lensaudit train {builtin.name} "
            f"--data SET --out DIR, or read published ones with lensaudit models import FILE "
            f"--as {builtin.name} --out DIR"
        )
    return open_finder(builtin, "built-in")
