"""The two trainings that end in a feature extractor: the denoiser, and the autoencoder on denoised images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from lensaudit.clustering.options import ClusterOptions
from lensaudit.clustering.stage import Images, Stage, StageTraining
from lensaudit.errors import DataError, UsageError
from lensaudit.finders import Finder, Recipe, initialised_module
from lensaudit.finders.architectures import he_normal_
from lensaudit.finders.architectures.cae_bgm import CaeBgm
from lensaudit.finders.layers import decoder
from lensaudit.training.batches import Purpose, stream, torch_seed
from lensaudit.training.group import check_processes, together
from lensaudit.training.prepared import Advance, prepare_set

if TYPE_CHECKING:
    from lensaudit.lensset import LensSet

ARCHITECTURE = "cae-bgm"
_EMBEDDING_OPTIONS = frozenset({"embedding", "pose_free", "marked"})
"""Options of the architecture that the denoiser does not depend on."""
_MIXTURE_OPTIONS = frozenset({"pose_free", "marked"})
"""Options that neither autoencoder depends on."""

History = dict[str, list[tuple[float, float]]]
"""Stage → per epoch, cross-entropy per pixel of (training images, validation images)."""

Tell = Callable[[str, int, int], object]
"""Called with (what, steps done, steps in all)."""


@dataclass(frozen=True)
class Network:
    """A trained autoencoder.

    Attributes
    ----------
    module
        The finder's module, its mixture still empty.
    decoder
        Embedding → log-odds of the denoised pixels, for pictures.
    history
        See `History`.
    """

    module: CaeBgm
    decoder: nn.Module
    history: History


@dataclass(frozen=True)
class Workplace:
    """Where a network is trained.

    Attributes
    ----------
    denoiser, extractor
        Folders of the checkpoints; several extractors may share a denoiser.
    extractor_seed
        None for that of the options.
    device
        ``auto``, ``cpu`` or ``cuda``.
    processes
        That each training is divided over.
    """

    denoiser: Path
    extractor: Path
    extractor_seed: int | None = None
    device: str = "auto"
    processes: int = 1


def check_recipe(recipe: Recipe) -> None:
    """Refuse a recipe that cannot be clustered.

    Raises
    ------
    UsageError
        It is of another architecture, symmetrised, or has extra inputs.
    """
    if recipe.architecture != ARCHITECTURE:
        raise UsageError(f"{recipe.name}: is of architecture {recipe.architecture}; clustering takes {ARCHITECTURE}")
    if recipe.symmetrise or recipe.extra_inputs:
        raise UsageError(f"{recipe.name}: symmetrise and extra_inputs do not fit clustering; take pose_free")


def drawn_images(untrained: Finder, lens_set: LensSet, options: ClusterOptions, cache: Path, tell: Tell) -> Images:
    """Draw and prepare the images that are trained on and clustered, with or without labels.

    Raises
    ------
    DataError
        The set has fewer images than are asked for.
    """
    n = len(lens_set) if options.images is None else options.images
    if n > len(lens_set):
        raise DataError(f"{lens_set.path}: has {len(lens_set)} images, --images asks for {n}; give fewer")
    generator = stream(options.seed, Purpose.SPLIT)
    rows = np.sort(generator.permutation(len(lens_set))[:n]).astype(np.int64)
    prepared = prepare_set(untrained, lens_set, cache, named(tell, "preparing images"), rows)
    order = generator.permutation(n).astype(np.int64)
    kept = min(max(round(options.validation_fraction * n), 1), n - 1)
    return Images(prepared, np.sort(order[kept:]), np.sort(order[:kept]))


def train_network(recipe: Recipe, images: Images, options: ClusterOptions, place: Workplace, tell: Tell) -> Network:
    """Train denoiser and extractor, or go on with what lies at `place`."""
    seed = options.seed if place.extractor_seed is None else place.extractor_seed
    module, mirrored = initial(recipe, seed)
    own = options.model_copy(update={"seed": seed})
    first = Stage("denoiser", 0, nn.Sequential(*list(module.denoiser)[:-1]), nn.Identity(), options.denoiser_epochs)
    second = Stage("extractor", 1, nn.Sequential(*module.encoder, *mirrored), module.denoiser, options.epochs)
    trainings = (
        StageTraining(first, images, options, _identity(recipe, images, options, _EMBEDDING_OPTIONS), place.denoiser),
        StageTraining(second, images, own, _identity(recipe, images, own, _MIXTURE_OPTIONS), place.extractor),
    )
    history: History = {}
    check_processes(place.processes, place.device, options.batch_size)
    with together(place.processes, place.device) as group:
        for training in trainings:
            name = training.stage.name
            history[name] = training.run(group, place.device, named(tell, f"training the {name}"))
    trained = initial(recipe, seed)  # without the changes that made training quick
    for part, rest in zip(trained, (module, mirrored), strict=True):
        part.load_state_dict(rest.cpu().state_dict())
        _to_half(part)
    return Network(trained[0].eval(), trained[1].eval(), history)


def initial(recipe: Recipe, seed: int) -> tuple[CaeBgm, nn.Sequential]:
    """The recipe's module, and its decoder, with He-normal weights drawn from `seed`."""
    module = initialised_module(recipe, torch.Generator().manual_seed(torch_seed(seed, Purpose.WEIGHTS)))
    assert isinstance(module, CaeBgm)
    taken = recipe.architecture_options
    words = [int(taken.get(name, usual)) for name, usual in (("filters", 128), ("embedding", 24))]
    with torch.device("meta"):  # torch's own constructors draw from the global generator
        mirrored = decoder(recipe.channels, words[0], recipe.size, words[1])
    mirrored = mirrored.to_empty(device="cpu")
    he_normal_(mirrored, torch.Generator().manual_seed(torch_seed(seed, Purpose.WEIGHTS, 1)))
    return module, mirrored


def _identity(recipe: Recipe, images: Images, options: ClusterOptions, free: frozenset[str]) -> dict[str, Any]:
    words = recipe.model_dump(mode="json", exclude={"training", "name", "threshold", "architecture_options"})
    taken = {name: value for name, value in recipe.architecture_options.items() if name not in free}
    chosen = options.model_dump(exclude={"epochs"} if "embedding" not in free else {"epochs", "denoiser_epochs"})
    return {**words, "architecture_options": taken, "data": images.prepared.folder.name, **chosen}


@torch.no_grad()
def _to_half(module: nn.Module) -> None:
    """Round weights to 16 bit, in which they are stored, before the mixture is fitted to what they give."""
    for tensor in module.parameters():
        rounded = tensor.half().to(tensor.dtype)
        if not bool(torch.isfinite(rounded).all()):
            raise UsageError("a weight has grown too large for 16 bit; train anew with a lower --lr and --restart")
        tensor.copy_(rounded)


def named(tell: Tell, what: str) -> Advance:
    """`tell` for one thing."""

    def advance(done: int, total: int) -> None:
        tell(what, done, total)

    return advance
