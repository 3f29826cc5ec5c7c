"""The network that is trained: its quickest form, its dropout from seeded streams, and what it begins from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lensaudit.errors import UsageError
from lensaudit.finders import Finder, Recipe, load_finder
from lensaudit.finders.build import unfilled_module
from lensaudit.finders.facts import TrainingFacts
from lensaudit.finders.load import earlier_sets, making_of
from lensaudit.training.batches import Purpose, stream
from lensaudit.training.group import Group
from lensaudit.training.options import TrainingOptions

if TYPE_CHECKING:
    from lensaudit.lensset import LensSet

_LEVELS = 2**16


class MaskSource:
    """The dropout masks of one optimisation step; they depend on (seed, epoch, step) alone.

    A process that has a part of the images draws the masks of all, which costs a few per cent of a step, and takes
    its own.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._numbers = stream(seed, Purpose.DROPOUT, 0, 0)
        self._place: tuple[int, int] | None = None
        self._per_image: list[int] | None = None
        self._measuring = False

    def start(self, epoch: int, step: int) -> None:
        """Begin step `step` of epoch `epoch`."""
        self._numbers = stream(self._seed, Purpose.DROPOUT, epoch, step)
        self._place = None

    def place(self, first: int, images: int) -> None:
        """What comes next is from image `first` on of a piece of so many `images`."""
        self._place = (first, images)

    def skip(self, images: int, net: nn.Module, example: torch.Tensor) -> None:
        """Leave out a piece of so many images, all of another process.

        Parameters
        ----------
        net, example
            The network, without batch norms, and images that tell how many numbers it takes for each.
        """
        if self._per_image is None:
            self._per_image, self._measuring = [], True
            with torch.no_grad():
                net(example[:1])
            self._measuring = False
        for numbers in self._per_image:
            self._raw(images * numbers)

    def _raw(self, numbers: int) -> NDArray[np.int16]:
        return self._numbers.bit_generator.random_raw((numbers + 3) // 4).view(np.int16)[:numbers]

    @torch.compiler.disable
    def factors(self, like: torch.Tensor, level: int) -> torch.Tensor:
        """0 with probability `level` / 65 536, else the gain that keeps the mean, shaped and laid out as `like`."""
        if self._measuring:
            assert self._per_image is not None
            self._per_image.append(like.numel() // len(like))
            return torch.ones_like(like)
        kept = self._kept_on_cpu(like, level) if like.device.type == "cpu" else self._kept(like, level)
        return kept.to(torch.float32).mul_(_LEVELS / (_LEVELS - level))

    def _kept_on_cpu(self, like: torch.Tensor, level: int) -> torch.Tensor:
        own, numbers = self._own(like)
        draws = self._raw(numbers)[own]
        kept = torch.from_numpy(draws >= level - _LEVELS // 2)
        dense = like.is_contiguous() or like.is_contiguous(memory_format=torch.channels_last)
        return kept.as_strided(like.shape, like.stride()) if dense else kept.view(like.shape)

    def _kept(self, like: torch.Tensor, level: int) -> torch.Tensor:
        generator = torch.Generator(like.device).manual_seed(int(self._numbers.integers(2**63 - 1)))
        own, numbers = self._own(like)
        draws = torch.randint(_LEVELS, (numbers,), generator=generator, device=like.device, dtype=torch.int32)
        return (draws[own] >= level).view(like.shape)

    def _own(self, like: torch.Tensor) -> tuple[slice, int]:
        """(numbers of these images among those of the piece, how many it has); images lie one behind the other."""
        first, images = (0, len(like)) if self._place is None else self._place
        each = like.numel() // len(like)
        return slice(first * each, (first + len(like)) * each), images * each


class SeededDropout(nn.Module):
    """Dropout whose masks come from a `MaskSource`; the probability is rounded to 1/65 536, and the gain with it."""

    def __init__(self, probability: float, masks: MaskSource) -> None:
        super().__init__()
        self.level = round(probability * _LEVELS)
        self.masks = masks

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Zero a fraction of `values` and scale the rest; nothing in evaluation mode."""
        if not self.training or self.level == 0:
            return values
        if self.level == _LEVELS:
            return values * 0.0
        return values * self.masks.factors(values, self.level)


class SeededSpatialDropout(SeededDropout):
    """The same for whole maps of (n, channels, h, w): one draw for each map."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Zero a fraction of the maps and scale the rest; nothing in evaluation mode."""
        if not self.training or self.level == 0:
            return values
        each = values.new_ones(values.shape[:2])
        return values * super().forward(each)[:, :, None, None]


class SeededDropPath(SeededDropout):
    """The same for a whole branch of a residual network (stochastic depth, timm's DropPath): one draw an image."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Zero a fraction of the images' branches and scale the rest; nothing in evaluation mode."""
        if not self.training or self.level == 0:
            return values
        each = super().forward(values.new_ones(len(values), 1))
        return values * each.view(-1, *[1] * (values.ndim - 1))


def training_form(module: nn.Module, masks: MaskSource) -> nn.Module:
    """Change `module` in place: seeded dropout and depth, ReLUs in place and after the pools they stood in front of."""
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Dropout:
                setattr(parent, name, SeededDropout(child.p, masks))
            elif type(child) is nn.Dropout2d:
                setattr(parent, name, SeededSpatialDropout(child.p, masks))
            elif type(child).__name__ == "DropPath" and hasattr(child, "drop_prob"):
                drop_path = float(child.drop_prob)  # type: ignore[arg-type]
                setattr(parent, name, SeededDropPath(drop_path, masks))
            elif type(child) is nn.ReLU:
                setattr(parent, name, nn.ReLU(inplace=True))
        if isinstance(parent, nn.Sequential):
            _pool_first(parent)
    return module


def _pool_first(layers: nn.Sequential) -> None:
    for index in range(len(layers) - 1):
        if type(layers[index]) is nn.ReLU and type(layers[index + 1]) is nn.MaxPool2d:
            layers[index], layers[index + 1] = layers[index + 1], layers[index]


class _Sum(torch.autograd.Function):
    """A sum over the processes that gradients go through: the gradient of each is the sum of theirs."""

    @staticmethod
    def forward(context: Any, values: torch.Tensor, group: Group) -> torch.Tensor:
        context.group = group
        return group.summed(values.clone())

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return context.group.summed(gradient.clone()), None


class GroupNormalisation(nn.modules.batchnorm._BatchNorm):
    """Batch norm with the statistics of the whole batch, whose images several processes have.

    torch's `SyncBatchNorm` does so on CUDA alone.
    """

    group: Group

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Normalise (n, channels, …); in evaluation mode by the running statistics."""
        if not self.training:
            return super().forward(values)
        axes = [0, *range(2, values.ndim)]
        exact = values.float()
        sums = torch.cat([exact.sum(axes), exact.new_tensor([values.numel() / values.shape[1]])])
        sums = _Sum.apply(sums, self.group)
        count = sums[-1].detach()
        mean = sums[:-1] / count
        centred = exact - self._along(mean, values)
        squares: torch.Tensor = _Sum.apply(centred.square().sum(axes), self.group)
        variance = squares / count
        self._follow(mean.detach(), variance.detach(), count / self.group.copies)
        scale = (variance + self.eps).rsqrt()
        if self.affine:
            return (centred * self._along(scale * self.weight, values) + self._along(self.bias, values)).to(
                values.dtype
            )
        return (centred * self._along(scale, values)).to(values.dtype)

    def _along(self, statistics: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        return statistics.view(1, -1, *[1] * (values.ndim - 2))

    @torch.no_grad()
    def _follow(self, mean: torch.Tensor, variance: torch.Tensor, count: torch.Tensor) -> None:
        """The running statistics, as torch follows them."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        weight = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, weight)
        self.running_var.lerp_(variance * (count / (count - 1).clamp(min=1)), weight)

    def _check_input_dim(self, values: torch.Tensor) -> None:
        pass


def normalise_together(net: nn.Module, group: Group) -> None:
    """Change the batch norms of `net` in place into `GroupNormalisation`; weights and their names stay."""
    for parent in list(net.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.modules.batchnorm._BatchNorm) and not isinstance(layer, GroupNormalisation):
                own = GroupNormalisation(layer.num_features, layer.eps, layer.momentum, device="meta")
                own.__dict__.update(layer.__dict__)  # the very weights, which the optimizer has
                own.group = group
                setattr(parent, name, own)


_PIXELS_PER_PIECE = 170_000


def piece_size(size: int) -> int:
    """Images per piece of a batch on the CPU: 39 of 66×66 pixels, 4 of 200×200; the quickest of those tried."""
    return max(1, round(_PIXELS_PER_PIECE / size**2))


_AGREE = ("architecture", "outputs", "extra_inputs", "symmetrise", "architecture_options")


def starting_weights(name: str, recipe: Recipe) -> dict[str, torch.Tensor]:
    """Weights of the finder `name`, checked to fit `recipe`.

    A finder with more bands, or the same in another order, gives its first convolution's channels for the recipe's
    bands. What the other bands added is dropped, so that the start is no finder yet, only its kernels.

    Raises
    ------
    UsageError
        The finder has another architecture or other extra inputs, lacks a band, or is symmetrised and the recipe not.
    """
    finder = load_finder(name)
    for field in _AGREE:
        theirs, ours = getattr(finder.recipe, field), getattr(recipe, field)
        if theirs != ours:
            raise UsageError(f"--start {name}: its {field} is {theirs}, {recipe.name} has {ours}; they must agree")
    if missing := [band for band in recipe.bands if band not in finder.recipe.bands]:
        raise UsageError(
            f"--start {name}: its bands {', '.join(finder.recipe.bands)} lack {', '.join(missing)} of {recipe.name}; "
            f"begin from a finder that has them"
        )
    declared = finder.recipe.preprocessing or recipe.preprocessing
    if declared and (finder.recipe.bands, finder.recipe.channels) != (recipe.bands, recipe.channels):
        raise UsageError(
            f"--start {name}: where preprocessing is declared bands and channels must be the same, {recipe.name} has "
            f"{', '.join(recipe.bands)} in {recipe.channels} channels; begin from a finder of these"
        )
    weights = {key: value.detach().cpu().clone() for key, value in finder.module.state_dict().items()}
    if finder.recipe.bands == recipe.bands:
        return weights
    chosen = _channels(finder, recipe)
    for key in _input_layers(finder.recipe, recipe):
        weights[key] = weights[key][:, chosen].contiguous()
    return weights


def start_facts(name: str | None, recipe: Recipe) -> dict[str, Any]:
    """What the record says of the start beside its name.

    ``start_bands``, where they are not all of its own; ``earlier_sets``, where it is known what it was trained on.
    """
    if name is None:
        return {}
    finder = load_finder(name)
    bands = {} if finder.recipe.bands == recipe.bands else {"start_bands": list(recipe.bands)}
    known = earlier_sets(finder)
    return {**bands, **({"earlier_sets": known} if known else {})}


def split_seed(options: TrainingOptions, content_hash: str) -> int:
    """Seed that takes the validation images out of training data of this content, where they are no set of their own.

    A training that goes on from a finder of the same data keeps that finder's: images that choose the epoch are then
    images that the weights have not been trained on before.
    """
    before = _making_of(options.start)
    if before.set != content_hash or before.validation_set is not None or before.seed is None:
        return options.seed
    return before.seed if before.split_seed is None else before.split_seed


def refuse_seen(start: str, option: str, lens_set: LensSet) -> None:
    """Refuse a set that is to measure a training, and that the finder it begins from was made with.

    A set that chose the epoch there may do so again.

    Raises
    ------
    UsageError
        The finder's record names the set.
    """
    part = _making_of(start).seen_as(lens_set.content_hash)
    if part and (part, option) != ("validation", "--validation"):
        did = "trained" if part == "training" else "chose the epoch of"
        raise UsageError(f"{lens_set.path}: {did} {start}, from which this training begins; give {option} other images")


def _making_of(start: str | None) -> TrainingFacts:
    return TrainingFacts() if start is None else making_of(load_finder(start))


def _channels(finder: Finder, recipe: Recipe) -> list[int]:
    """Input channels of `finder` in the recipe's order: bands, then the planes of the extra inputs."""
    bands = [finder.recipe.bands.index(band) for band in recipe.bands]
    return bands + list(range(len(finder.recipe.bands), finder.recipe.channels))


def _input_layers(theirs: Recipe, ours: Recipe) -> list[str]:
    """Names of the weights (kernels, channels, …) that see the image: those whose shape goes with the bands."""
    few, more = (theirs.model_copy(update={"bands": ("",) * count}) for count in (1, 2))
    small, large = unfilled_module(few).state_dict(), unfilled_module(more).state_dict()
    found = [key for key, tensor in small.items() if tensor.shape != large[key].shape]
    for key in found:
        if small[key].ndim != 4 or small[key].shape[1] != few.channels or large[key].shape[1] != more.channels:
            raise UsageError(
                f"--start: the bands of architecture {ours.architecture} meet elsewhere than in a first convolution, "
                f"so some of them cannot be taken; begin from a finder with bands {', '.join(ours.bands)}"
            )
    return found
