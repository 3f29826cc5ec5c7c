"""A committee: several finders whose log-odds become one, by their mean, their median or a fitted sum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit, logit
from torch import nn

from lensaudit.finders.finder import Finder, lens_logit
from lensaudit.finders.ou_tsne import Build, Member, native_pixels, shrunk
from lensaudit.finders.recipe import Recipe
from lensaudit.finders.running import channels_last, module_outputs, plain_float32
from lensaudit.finders.stretch import STRETCHES, resized, usable
from lensaudit.statistics import entropy

MEAN, MEDIAN, STACK = "mean", "median", "stack"
"""How the members' log-odds become one; `stack` weighs them by a logistic regression."""

NATIVE = "native"
"""Stretch of a committee whose members each prepare native images in their own way; else all take one input."""

Floats = NDArray[np.float64]


class Committee(nn.Module):
    """Prepared images (n, channels, size, size) → log-odds (n, 1).

    Members that take the same input are called on it. Members that do not get native pixels, which each resizes and
    scales as it does alone. Gradients pass through the members, and through their scaling where that takes no
    statistics of a training set.

    Parameters
    ----------
    recipe
        With its members, and the option ``kind`` (``mean``, ``median``, ``stack``); of members that do not share their
        input also ``native_pixels``.
    build
        Recipe of a member → its module.
    """

    def __init__(self, recipe: Recipe, build: Build) -> None:
        super().__init__()
        self.recipe = recipe
        self.kind = str(recipe.architecture_options["kind"])
        self.shared = recipe.stretch != NATIVE
        self.members = nn.ModuleDict(
            {one.name: build(one) if self.shared else Member(one, build(one)) for one in recipe.members}
        )
        if self.kind == STACK:
            self.register_buffer("weights", torch.empty(len(recipe.members)))
            self.register_buffer("bias", torch.empty(1))
        if not self.shared:
            self.pixels = dict(zip(recipe.bands, native_pixels(recipe), strict=True))

    @property
    def bodies(self) -> dict[str, nn.Module]:
        """Name of each member → its network."""
        found: dict[str, Any] = {name: one if self.shared else one.body for name, one in self.members.items()}
        return found

    @property
    def differentiable(self) -> bool:
        """Whether gradients of the log-odds exist: those of every member, and of its scaling where it has one."""
        scaled = self.shared or all(map(_plainly_scaled, self.recipe.members))
        return scaled and all(getattr(body, "differentiable", True) for body in self.bodies.values())

    @property
    def way_to_gradients(self) -> str:
        """What a user may do where there are none."""
        for name, body in self.bodies.items():
            if not getattr(body, "differentiable", True):
                way = getattr(body, "way_to_gradients", "")
                return f"of member {name} {way}" if way else f"make it without member {name}"
        return "take members of one input" if not self.differentiable else ""

    @property
    def n_weights(self) -> int:
        """Numbers in the weights of all members, those in files of other programs too."""
        bodies = [(body, getattr(body, "n_weights", None)) for body in self.bodies.values()]
        return sum(
            sum(tensor.numel() for tensor in body.parameters()) if count is None else count for body, count in bodies
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Log-odds (n, 1); NaN where a member cannot scale an image."""
        return self.joined(self.member_logits(images))[:, None]

    def member_logits(self, images: torch.Tensor) -> torch.Tensor:
        """Log-odds of each member (n, members), in the order of the recipe."""
        if self.shared:
            found = [
                lens_logit(self.members[one.name](images.clone()), one.outputs, one.lens_index)
                for one in self.recipe.members
            ]
            return torch.stack(found, dim=1)
        bands = {band: shrunk(images[:, index], side) for index, (band, side) in enumerate(self.pixels.items())}
        return torch.stack([_native_logits(self.members[one.name], bands) for one in self.recipe.members], dim=1)

    def joined(self, logits: torch.Tensor) -> torch.Tensor:
        """The committee's log-odds (n,) from its members' (n, members)."""
        if self.kind == STACK:
            weights, bias = (self.get_buffer(name) for name in ("weights", "bias"))
            return logits @ weights + bias
        if self.kind == MEAN:
            return logits.mean(dim=1)
        ordered = logits.sort(dim=1).values  # torch's median is the lower one of two
        count = logits.shape[1]
        return (ordered[:, (count - 1) // 2] + ordered[:, count // 2]) / 2


class FileMember(nn.Module):
    """A member whose network stays in another program's file, of which a copy lies in the committee's folder.

    Its one tensor in the committee's weights is the hash of that file and of what is declared of it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("file", torch.empty(32, dtype=torch.int64))
        self.network: nn.Module | None = None
        self.register_state_dict_post_hook(_without_network)

    def hold(self, network: nn.Module) -> bool:
        """Take the network of an opened file; whether it is the one that the hash is of, which is left as it is."""
        self.network = network
        return torch.equal(self.get_buffer("file").cpu(), network.get_buffer("file").cpu().long())

    def take(self, network: nn.Module) -> None:
        """Take the network of an opened file, and its hash."""
        self.get_buffer("file").copy_(network.get_buffer("file"))
        self.network = network

    @property
    def declaration(self) -> Path | None:
        """The YAML of its file."""
        found: Path | None = getattr(self.network, "declaration", None)
        return found

    @property
    def differentiable(self) -> bool:
        """Whether it has gradients."""
        return bool(getattr(self.network, "differentiable", True))

    @property
    def way_to_gradients(self) -> str:
        """What a user may do where there are none."""
        return str(getattr(self.network, "way_to_gradients", ""))

    @property
    def n_weights(self) -> int | None:
        """Numbers in its weights where they are no parameters."""
        count: int | None = getattr(self.network, "n_weights", None)
        return count

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """What the network gives for prepared images, of which it gets a copy."""
        assert self.network is not None, "a committee's files are opened before it is called"
        return module_outputs(self.network, images)


def _without_network(module: nn.Module, tensors: dict[str, Any], prefix: str, _: Any) -> None:
    """The weights of a file stay in it."""
    for key in [key for key in tensors if key.startswith(f"{prefix}network.")]:
        del tensors[key]


def _plainly_scaled(recipe: Recipe) -> bool:
    """Whether a member's scaling is arithmetic of the image alone, which has a gradient."""
    stretch = STRETCHES[recipe.stretch]
    return not (stretch.fitted or stretch.together or getattr(recipe, "preprocessing", ()))


def _native_logits(member: nn.Module, bands: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Log-odds (n,) of a member of native images, band → (n, h, w); NaN where it cannot scale one."""
    assert isinstance(member, Member)
    if not _plainly_scaled(member.recipe):
        return member.logits(dict(bands))
    stretch, recipe = STRETCHES[member.recipe.stretch], member.recipe
    planes, good = [], []
    for band in recipe.bands:
        native = bands[band]
        good.append(usable(native.detach(), recipe.stretch))
        if native.requires_grad:
            native = native.clone()
            native.register_hook(_where_finite)
        image = resized(native if stretch.unscaled else stretch.native(native), recipe.size)
        if not stretch.unscaled:
            low, high = image.amin(dim=(-2, -1), keepdim=True), image.amax(dim=(-2, -1), keepdim=True)
            image = stretch.unit((image - low) / torch.where(high > low, high - low, torch.nan))
        planes.append(image)
    fine = torch.stack(good, dim=1).all(dim=1)
    images = torch.where(fine[:, None, None, None], torch.stack(planes, dim=1), 0.0)
    return torch.where(fine, lens_logit(member.body(images), recipe.outputs, recipe.lens_index), torch.nan)


def _where_finite(gradient: torch.Tensor) -> torch.Tensor:
    """0 where a stretch clips: the slope of a square root at its end is infinite, that of what is clipped is 0."""
    return torch.where(torch.isfinite(gradient), gradient, 0.0)


@dataclass(frozen=True, eq=False)
class Disagreement:
    """How far the members of a committee are apart.

    Attributes
    ----------
    disagreement
        Standard deviation of their log-odds, float64 (n,).
    votes
        Fraction of them that call the image a lens at their own thresholds (n,).
    information
        Mutual information of the label and of which member is right, in nats (n,): the entropy of the members' mean p
        less the mean entropy of each (Houlsby et al. 2011, BALD); at most ln 2.
    """

    disagreement: Floats
    votes: Floats
    information: Floats

    @classmethod
    def of(cls, logits: Floats, recipe: Recipe) -> Disagreement:
        """From log-odds (n, members) of the recipe's members; NaN where one is missing."""
        return cls.between(logits, np.array([one.threshold for one in recipe.members], np.float64))

    @classmethod
    def between(cls, logits: Floats, thresholds: Floats) -> Disagreement:
        """The same from the members' thresholds on p (members,)."""
        known = np.isfinite(logits).all(axis=1)
        votes = (logits >= logit(thresholds)).mean(axis=1)
        p = expit(logits)
        gained = entropy(p.mean(axis=1)) - entropy(p).mean(axis=1)
        numbers = logits.std(axis=1), votes, np.maximum(gained, 0.0)
        return cls(*(np.where(known, one, np.nan) for one in numbers))

    def of_rows(self, rows: Sequence[int]) -> Disagreement:
        """Of some of the images, in that order."""
        return Disagreement(self.disagreement[rows], self.votes[rows], self.information[rows])

    def columns(self) -> dict[str, Floats]:
        """As a file of scores holds them."""
        return {"disagreement": self.disagreement, "votes": self.votes, "information": self.information}


@torch.inference_mode()
def logit_and_members(finder: Finder, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Log-odds (n,) of prepared images, as `Finder.logit` has them, and of a committee's members (n, members).

    One pass gives both; None of a finder that is no committee.
    """
    module = finder.module
    if not isinstance(module, Committee):
        return finder.logit(images), None
    with plain_float32(images.device):
        each = module.member_logits(channels_last(images) if images.device.type == "cpu" else images)
    return module.joined(each), each
