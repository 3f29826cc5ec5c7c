"""The autoencoder of Cheng et al. 2020 and its two trainings: the denoiser, then the extractor on denoised images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import nn
from torch.nn import functional

from lensaudit.errors import DataError, UsageError
from lensaudit.finders import Finder, Recipe, initialised_module
from lensaudit.finders.architectures import he_normal_
from lensaudit.finders.architectures.cae_bgm import CaeBgm
from lensaudit.finders.layers import decoder
from lensaudit.finders.running import channels_last, choose_device, tell_of_imitation
from lensaudit.spread import StageProgress
from lensaudit.training.augment import AUGMENTATIONS, Draws
from lensaudit.training.batches import Batches, Purpose, count_batches, shuffled, stream, torch_seed
from lensaudit.training.checkpoint import Checkpoint, Progress, Tally
from lensaudit.training.group import BatchPart, Group, check_processes, together
from lensaudit.training.loop import Keep, Task, run_in
from lensaudit.training.network import MaskSource, training_form
from lensaudit.training.prepared import Advance, PreparedSet, Rows, decoded, prepare_set

if TYPE_CHECKING:
    from lensaudit.lensset import LensSet


AUGMENTS = ("none", "dihedral")


class ClusterOptions(BaseModel):
    """Everything that decides the clusters besides the recipe and the images.

    Attributes
    ----------
    denoiser_epochs, epochs
        Passes over the images that train the denoiser, and then the feature extractor.
    batch_size, learning_rate
        Of Adam, in both.
    augment
        ``none`` (the paper), or ``dihedral``: each image in one of its eight orientations, anew in every epoch.
    images
        How many images of the set are drawn to train on and to cluster; None for all.
    validation_fraction
        Fraction of them whose reconstruction is measured after each epoch and never trained on; clustered like the
        others.
    precision
        ``full``, or ``bf16``: the training steps' convolutions in bfloat16.
    seed
        Images, weights, order, orientations and the mixture's start are derived from it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    denoiser_epochs: int = Field(ge=1)
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    learning_rate: float = Field(gt=0, le=10)
    augment: Literal["none", "dihedral"] = "none"
    images: int | None = Field(default=None, ge=2)
    validation_fraction: float = Field(default=0.0625, gt=0, lt=1)
    precision: Literal["full", "bf16"] = "full"
    seed: int = Field(default=1, ge=0, lt=2**63)

    @classmethod
    def of(cls, recipe: Recipe, **overrides: Any) -> Self:
        """The recipe's protocol with the user's settings on top; ``None`` leaves what the recipe says.

        Raises
        ------
        UsageError
            A value is out of range or not known.
        """
        protocol = recipe.training
        words: dict[str, Any] = {
            "denoiser_epochs": protocol.epochs,
            "epochs": protocol.epochs,
            "batch_size": protocol.batch_size,
            "learning_rate": protocol.learning_rate,
            "validation_fraction": protocol.validation_fraction,
            **{name: value for name, value in overrides.items() if value is not None},
        }
        try:
            return cls.model_validate(words)
        except ValidationError as invalid:
            first = invalid.errors(include_url=False, include_context=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            raise UsageError(f"cluster option {field} = {first['input']!r}: {first['msg']}; correct it") from invalid


@dataclass(frozen=True)
class Images:
    """Prepared images and the rows of them that train, and whose reconstruction is measured."""

    prepared: PreparedSet
    training: Rows
    validation: Rows


@dataclass(frozen=True)
class Stage:
    """One autoencoder to be trained.

    Attributes
    ----------
    name
        ``denoiser`` or ``extractor``.
    number
        Which stage it is, from 0; its random numbers are its own.
    net
        Images → log-odds of their pixels.
    before
        What is done to the images first: nothing, or the denoiser.
    epochs
        Passes over the training images.
    """

    name: str
    number: int
    net: nn.Module
    before: nn.Module
    epochs: int


class StageTask(Task[torch.Tensor]):
    """Adam on the mean cross-entropy per pixel of what a stage gives back."""

    def __init__(self, stage: Stage, images: Images, options: ClusterOptions, device: str) -> None:
        self.number, self.images, self.options = stage.number, images, options
        self.device = choose_device(device)
        tell_of_imitation(options.precision, self.device)
        net = stage.net.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.net = training_form(net, MaskSource(options.seed))
        self.before = stage.before.to(self.device).eval()
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=options.learning_rate)
        self.epochs, self.steps = stage.epochs, count_batches(len(images.training), options.batch_size)
        self.remedy = f"give a rate below --lr {options.learning_rate:g}, and --restart"

    def batches(self, epoch: int, first: int) -> Iterator[tuple[torch.Tensor, BatchPart]]:
        """Training images in the order of the epoch, augmented."""
        prepared, seed = self.images.prepared, self.options.seed
        number = self.number * 1_000_000 + epoch  # an epoch of its own for every stage's random numbers
        order = shuffled(self.images.training, seed, number)
        for batch in Batches(prepared, order, self.options.batch_size, seed, number, first, self.group):
            draws = Draws(batch.choices, batch.uniform, batch.is_lens)
            images = AUGMENTATIONS[self.options.augment](decoded(batch.codes, batch.scales), draws, 0)
            yield images.to(self.device), batch.part

    def validation(self) -> Iterator[tuple[torch.Tensor, BatchPart]]:
        """Every validation image once."""
        for batch in Batches(self.images.prepared, self.images.validation, self.options.batch_size, group=self.group):
            yield decoded(batch.codes, batch.scales).to(self.device), batch.part

    def losses(self, batch: torch.Tensor, part: BatchPart, tally: Tally) -> Iterator[torch.Tensor]:
        """Mean cross-entropy per pixel, in one piece."""
        images = channels_last(batch)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.options.precision == "bf16"):
            with torch.no_grad():
                target = self.before(images)
            answer = self.net(target)
        loss = functional.binary_cross_entropy_with_logits(answer.float(), target.float())
        yield loss
        tally.add(float(loss.detach()) * len(images), len(images))


@dataclass(frozen=True)
class StageTraining:
    """A stage and where it is trained.

    Attributes
    ----------
    identity
        What a checkpoint must share to be gone on from.
    folder
        Where the checkpoint is.
    """

    stage: Stage
    images: Images
    options: ClusterOptions
    identity: dict[str, Any]
    folder: Path

    def run(self, group: Group, device: str, advance: Advance | None = None) -> list[tuple[float, float]]:
        """Train until the last epoch; leaves the weights in the stage's net.

        A stage that has ended goes on if more epochs are requested, as the rate is constant.

        Returns
        -------
        list of tuple
            Per epoch, mean cross-entropy per pixel of (training images, validation images).

        Raises
        ------
        UsageError
            The folder holds another training, or the loss is not a number.
        """
        path = self.folder / f"{self.stage.name}.safetensors"
        identity = {**self.identity, "stage": self.stage.name}
        earlier = Checkpoint.read(path) if path.is_file() else None
        if earlier is not None:
            earlier.refuse_other(path, identity, "clustering")
            if earlier.progress.epoch > self.stage.epochs:
                raise UsageError(
                    f"{self.folder}: the {self.stage.name} has {earlier.progress.epoch} epochs, you ask for "
                    f"{self.stage.epochs}; ask for as many or more, choose another --out or add --restart"
                )

        def report(progress: Progress, steps: int) -> None:
            if advance is not None and progress.batch:  # the end of an epoch was reported with its last step
                advance(progress.epoch * steps + progress.batch, self.stage.epochs * steps)

        make = partial(StageTask, self.stage, self.images, self.options, device)
        _, progress = run_in(group, make, Keep(path, identity), earlier, report)
        return [(row.train_loss, row.validation_loss) for row in progress.history]


ARCHITECTURE = "cae-bgm"
_EMBEDDING_OPTIONS = frozenset({"embedding", "pose_free", "marked"})
"""Options of the architecture that the denoiser does not depend on."""
_MIXTURE_OPTIONS = frozenset({"pose_free", "marked"})
"""Options that neither autoencoder depends on."""

History = dict[str, list[tuple[float, float]]]
"""Stage → per epoch, cross-entropy per pixel of (training images, validation images)."""


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


def drawn_images(
    untrained: Finder, lens_set: LensSet, options: ClusterOptions, cache: Path, progress: StageProgress
) -> Images:
    """Draw and prepare the images that are trained on and clustered, with or without labels.

    Raises
    ------
    DataError
        The set has fewer images than are requested.
    """
    n = len(lens_set) if options.images is None else options.images
    if n > len(lens_set):
        raise DataError(f"{lens_set.path}: has {len(lens_set)} images, --images asks for {n}; give fewer")
    generator = stream(options.seed, Purpose.SPLIT)
    rows = np.sort(generator.permutation(len(lens_set))[:n]).astype(np.int64)
    prepared = prepare_set(untrained, lens_set, cache, named(progress, "preparing images"), rows)
    order = generator.permutation(n).astype(np.int64)
    kept = min(max(round(options.validation_fraction * n), 1), n - 1)
    return Images(prepared, np.sort(order[kept:]), np.sort(order[:kept]))


def train_network(
    recipe: Recipe, images: Images, options: ClusterOptions, place: Workplace, progress: StageProgress
) -> Network:
    """Train the denoiser, if the recipe has one, and the extractor, or go on with what lies at `place`."""
    seed = options.seed if place.extractor_seed is None else place.extractor_seed
    module, mirrored = initial(recipe, seed)
    own = options.model_copy(update={"seed": seed})
    first = Stage("denoiser", 0, nn.Sequential(*list(module.denoiser)[:-1]), nn.Identity(), options.denoiser_epochs)
    second = Stage("extractor", 1, nn.Sequential(*module.encoder, *mirrored), module.denoiser, options.epochs)
    trainings = [
        StageTraining(first, images, options, _identity(recipe, images, options, _EMBEDDING_OPTIONS), place.denoiser),
        StageTraining(second, images, own, _identity(recipe, images, own, _MIXTURE_OPTIONS), place.extractor),
    ][0 if len(module.denoiser) else 1 :]
    history: History = {}
    check_processes(place.processes, place.device, options.batch_size)
    with together(place.processes, place.device) as group:
        for training in trainings:
            name = training.stage.name
            history[name] = training.run(group, place.device, named(progress, f"training the {name}"))
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


def named(progress: StageProgress, stage: str) -> Advance:
    """The report (done, total) of one stage."""

    def advance(done: int, total: int) -> None:
        progress(stage, done, total)

    return advance
