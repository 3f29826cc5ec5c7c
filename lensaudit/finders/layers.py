"""Layers that several architectures share: of autoencoder and mixture, residual units, those blind to quarter turns."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import fx, nn
from torch.nn import functional

KERNELS = (8, 7, 3, 3, 3)
LAST_FILTERS = 8
DENSE = (128, 64, 32)
"""Units of the dense layers before the embedding."""


def filters_of(first: int) -> tuple[int, ...]:
    """Filters of the five convolutions: halved from `first` on, 8 at least; 128, 64, 32, 16, 8 in the paper."""
    halved = (max(LAST_FILTERS, first >> step) for step in range(len(KERNELS) - 1))
    return (*halved, LAST_FILTERS)


def sides_of(size: int) -> tuple[int, ...]:
    """Pixels per side before the first pool and after each: 101, 51, 26, 13, 7, 4."""
    sides = [size]
    for _ in KERNELS:
        sides.append(-(-sides[-1] // 2))
    return tuple(sides)


def convolutions(bands: int, first: int) -> nn.Sequential:
    """Images (n, bands, size, size) → maps (n, 8, side, side)."""
    layers: list[nn.Module] = []
    before = bands
    for filters, kernel in zip(filters_of(first), KERNELS, strict=True):
        layers += [*_same(before, filters, kernel), nn.ReLU(inplace=False), nn.MaxPool2d(2, ceil_mode=True)]
        before = filters
    return nn.Sequential(*layers)


def deconvolutions(bands: int, first: int, size: int) -> nn.Sequential:
    """Maps (n, 8, side, side) → log-odds of the pixels (n, bands, size, size), whose sigmoid is the image.

    Every convolution is followed by its upsampling, which repeats each cell and drops what runs over the edge. The
    paper ends in a "softmax" of one filter; over one channel that is 1 everywhere, so the sigmoid that its
    cross-entropy needs stands here. It does not give the last kernel; ours is 3.
    """
    layers: list[nn.Module] = []
    before = LAST_FILTERS
    mirrored = zip(filters_of(first)[::-1], KERNELS[::-1], sides_of(size)[-2::-1], strict=True)
    for filters, kernel, side in mirrored:
        layers += [*_same(before, filters, kernel), nn.ReLU(inplace=False), nn.Upsample(size=(side, side))]
        before = filters
    return nn.Sequential(*layers, *_same(before, bands, 3))


def dense_encoder(size: int, embedding: int) -> nn.Sequential:
    """Maps (n, 8, side, side) → embedding (n, embedding): flatten, 128, 64, 32 with ReLU, and the embedding, linear."""
    layers: list[nn.Module] = [nn.Flatten()]
    before = LAST_FILTERS * sides_of(size)[-1] ** 2
    for units in DENSE:
        layers += [nn.Linear(before, units), nn.ReLU(inplace=False)]
        before = units
    return nn.Sequential(*layers, nn.Linear(before, embedding))


def dense_decoder(size: int, embedding: int) -> nn.Sequential:
    """Embedding (n, embedding) → maps (n, 8, side, side)."""
    layers: list[nn.Module] = []
    side, before = sides_of(size)[-1], embedding
    for units in (*DENSE[::-1], LAST_FILTERS * side**2):
        layers += [nn.Linear(before, units), nn.ReLU(inplace=False)]
        before = units
    return nn.Sequential(*layers, nn.Unflatten(1, (LAST_FILTERS, side, side)))


def decoder(bands: int, first: int, size: int, embedding: int) -> nn.Sequential:
    """Embedding (n, embedding) → log-odds of the pixels (n, bands, size, size); only training and pictures need it."""
    return nn.Sequential(*dense_decoder(size, embedding), *deconvolutions(bands, first, size))


def _same(before: int, after: int, kernel: int) -> list[nn.Module]:
    """A convolution that keeps the size of its map.

    torch's own ``padding="same"`` does the same, but warns of a copy where the kernel is even.
    """
    if kernel % 2:
        return [nn.Conv2d(before, after, kernel, padding=kernel // 2)]
    front, back = (kernel - 1) // 2, kernel // 2
    return [nn.ZeroPad2d((front, back, front, back)), nn.Conv2d(before, after, kernel)]


SUREST = 1e-6
"""How near to 0 and 1 a cluster's lens probability counts, so that the log-odds of an image stay finite."""


class MixtureHead(nn.Module):
    """Embedding (n, features) → logarithms of P_non and P_len (n, 2), or with one output their difference (n, 1).

    P_len = Σ_k P_len^k r_k with r_k the posterior responsibility of cluster k, and P_non likewise with 1 − P_len^k.
    ln r_k = c_k − |(x − m_k) L_k|² / 2 up to a term that all clusters share. All of it is in float64, as scikit-learn
    fits it.

    Attributes
    ----------
    means, factors, constants
        m (K, features), L (K, features, features), the Cholesky factors of the precisions, and c (K,).
    known
        Lens probability of each cluster (K,) by the fraction of lenses among its training images; 0.5 without labels.
    marks
        The same by a person's 0, 0.5 or 1 (K,); 0.5 where nobody has marked.
    marked
        Whether `marks` decides, not `known`.
    """

    means: torch.Tensor
    factors: torch.Tensor
    constants: torch.Tensor
    known: torch.Tensor
    marks: torch.Tensor

    def __init__(self, components: int, features: int, outputs: int = 1, marked: bool = False) -> None:
        super().__init__()
        self.outputs, self.marked = outputs, marked
        shapes = {
            "means": (components, features),
            "factors": (components, features, features),
            "constants": (components,),
            "known": (components,),
            "marks": (components,),
        }
        for name, shape in shapes.items():
            self.register_buffer(name, torch.empty(shape, dtype=torch.float64))

    def reset_parameters(self) -> None:
        """Begin with equal clusters that say nothing of lenses; draws no random number."""
        self.means.zero_()
        self.factors.copy_(torch.eye(self.factors.shape[1], dtype=self.factors.dtype))
        self.constants.zero_()
        self.known.fill_(0.5)
        self.marks.fill_(0.5)

    def going_by(self, marked: bool) -> MixtureHead:
        """A copy that goes by the marks, or by the known fractions."""
        own = MixtureHead(len(self.constants), self.means.shape[1], self.outputs, marked)
        own.load_state_dict(self.state_dict())
        return own

    def log_responsibilities(self, embedding: torch.Tensor) -> torch.Tensor:
        """Logarithm of the posterior of each cluster (n, K), float64."""
        from_centres = embedding.to(self.means.dtype)[:, None] - self.means
        whitened = torch.einsum("nkd,kde->nke", from_centres, self.factors)
        return torch.log_softmax(self.constants - 0.5 * whitened.square().sum(-1), dim=1)

    def forward(self, embedding: torch.Tensor) -> torch.Tensor:
        """Logarithms of P_non and P_len, or their difference."""
        weights = self.log_responsibilities(embedding)
        both = log_classes(weights, self.marks if self.marked else self.known)
        answer = both if self.outputs == 2 else both[:, 1:] - both[:, :1]
        return answer.to(embedding.dtype)


@fx.wrap  # one call in a trace, which would otherwise hang constants of its own on the module
def log_classes(weights: torch.Tensor, lens: torch.Tensor) -> torch.Tensor:
    """Logarithms of P_non and P_len (n, 2) from those of the responsibilities (n, K) and lens probabilities (K,)."""
    lens = lens.clamp(SUREST, 1 - SUREST)
    return torch.stack([(weights + log).logsumexp(1) for log in (torch.log1p(-lens), lens.log())], dim=1)


class BottleneckUnit(nn.Module):
    """Pre-activated bottleneck unit of CMU DeepLens (Lanusse et al. 2018, Fig. 3): three times BN, ELU, convolution.

    Parameters
    ----------
    before, inner, outer
        Channels that come in, of the 3×3 convolution, and that go out.
    stride
        Of the first 1×1 convolution, and of the 1×1 shortcut that a change of stride or channels needs.
    """

    def __init__(self, before: int, inner: int, outer: int, *, stride: int = 1) -> None:
        super().__init__()
        self.change = nn.Sequential(
            nn.BatchNorm2d(before),
            nn.ELU(),
            nn.Conv2d(before, inner, 1, stride=stride),
            nn.BatchNorm2d(inner),
            nn.ELU(),
            nn.Conv2d(inner, inner, 3, padding=1),
            nn.BatchNorm2d(inner),
            nn.ELU(),
            nn.Conv2d(inner, outer, 1),
        )
        fits = stride == 1 and before == outer
        self.shortcut: nn.Module = nn.Identity() if fits else nn.Conv2d(before, outer, 1, stride=stride)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Maps (n, before, h, w) → (n, outer, ⌈h / stride⌉, ⌈w / stride⌉)."""
        change: torch.Tensor = self.change(maps)
        return change + self.shortcut(maps)


class PlainUnit(nn.Module):
    """Unit of the CIFAR ResNet (He et al. 2016) as the EPFL finder stacks it: convolution, BN, ReLU, convolution, BN.

    Parameters
    ----------
    before, after
        Channels that come in and go out.
    stride
        Of the first convolution, and of the 1×1 shortcut where channels change.
    """

    def __init__(self, before: int, after: int, *, stride: int = 1) -> None:
        super().__init__()
        self.change = nn.Sequential(
            nn.Conv2d(before, after, 3, stride=stride, padding=1),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=False),
            nn.Conv2d(after, after, 3, padding=1),
            nn.BatchNorm2d(after),
        )
        fits = stride == 1 and before == after
        self.shortcut: nn.Module = nn.Identity() if fits else nn.Conv2d(before, after, 1, stride=stride)
        self.out = nn.ReLU(inplace=False)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Maps (n, before, h, w) → (n, after, ⌈h / stride⌉, ⌈w / stride⌉)."""
        summed: torch.Tensor = self.out(self.change(maps) + self.shortcut(maps))
        return summed


DIHEDRAL = 8

ANGLE_SYMMETRY = 3
"""Fold of Euclid's PSF: angles 120° apart are the same pattern."""


def dihedral(images: torch.Tensor, which: int) -> torch.Tensor:
    """One of the 8 symmetries of the square on (..., h, w): `which` % 4 quarter turns, mirrored from 4 on."""
    turned = torch.rot90(images, which % 4, dims=(-2, -1))
    return turned.flip(-1) if which >= 4 else turned


def oriented(images: torch.Tensor, which: int, angles: int = 0) -> torch.Tensor:
    """`dihedral` of images (n, channels, h, w) whose last 2 × `angles` channels are planes of `angle_planes`."""
    if angles == 0:
        return dihedral(images, which)
    split = images.shape[1] - 2 * angles
    planes = [_angle_after(images[:, first : first + 2], which) for first in range(split, images.shape[1], 2)]
    return torch.cat([dihedral(images[:, :split], which), *planes], dim=1)


def angle_planes(angles_deg: torch.Tensor, size: int) -> torch.Tensor:
    """Cosine and sine of three times angles (n,) as constant planes (n, 2, size, size), float32."""
    phase = torch.deg2rad(ANGLE_SYMMETRY * angles_deg.double())
    values = torch.stack([phase.cos(), phase.sin()], dim=1).float()
    return values[:, :, None, None].expand(-1, -1, size, size)


def _angle_after(planes: torch.Tensor, which: int) -> torch.Tensor:
    """(cos 3θ, sin 3θ) of the turned image.

    Rows count up the sky, so that ``torch.rot90`` takes θ to θ − 90° and 3θ to 3θ + 90° (a whole turn away). At θ = 0
    the pattern is its own mirror image, left and right changed, so that the mirror takes θ to −θ.
    """
    cosine, sine = planes[:, :1], planes[:, 1:]
    for _ in range(which % 4):
        cosine, sine = -sine, cosine
    return torch.cat([cosine, -sine if which >= 4 else sine], dim=1)


class Symmetrised(nn.Module):
    """Mean of the logits of `body` over the eight rotations and mirrors of the image; eight times its cost.

    What the orientation of the PSF says within these eight is averaged away, in training as in scoring. Turns by
    other angles still show.

    Parameters
    ----------
    body
        Maps (n, channels, size, size) to logits.
    angles
        Number of angles among the last channels; see `lensaudit.finders.layers.oriented`.
    """

    def __init__(self, body: nn.Module, angles: int = 0) -> None:
        super().__init__()
        self.body = body
        self.differentiable = getattr(body, "differentiable", True)
        self.angles = angles

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of images (n, channels, size, size)."""
        total: torch.Tensor = self.body(images.clone())  # a foreign body may write into what it is given
        for which in range(1, DIHEDRAL):
            total = total + self.body(oriented(images, which, self.angles))
        return total / DIHEDRAL


@lru_cache(maxsize=1)
def quotients() -> tuple[tuple[int, ...], ...]:
    """``quotients()[g][h]``: which of the eight orientations g⁻¹h is, found by trying them on a figure."""
    figure = torch.arange(9, device="cpu").reshape(3, 3)
    seen = {tuple(dihedral(figure, which).flatten().tolist()): which for which in range(DIHEDRAL)}
    product = [
        [seen[tuple(dihedral(dihedral(figure, h), g).flatten().tolist())] for h in range(DIHEDRAL)]
        for g in range(DIHEDRAL)
    ]
    return tuple(tuple(product[g].index(h) for h in range(DIHEDRAL)) for g in range(DIHEDRAL))


class P4MLift(nn.Module):
    """Convolution of an image with the eight orientations of each kernel, no padding.

    (n, channels, h, w) → (n, kernels × 8, h − width + 1, w − width + 1).
    """

    def __init__(self, channels: int, kernels: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(kernels, channels, width, width))
        self.bias = nn.Parameter(torch.empty(kernels))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Feature maps of images (n, channels, h, w)."""
        bank = torch.stack([dihedral(self.weight, which) for which in range(DIHEDRAL)], dim=1)
        return functional.conv2d(images, bank.flatten(0, 1), self.bias.repeat_interleave(DIHEDRAL))


class P4MConv(nn.Module):
    """Convolution over place and orientation, no padding: (n, inputs × 8, h, w) → (n, kernels × 8, …).

    The map at orientation g sums over h the maps of the input at h, convolved with the kernel of g⁻¹h turned by g.
    """

    def __init__(self, inputs: int, kernels: int, width: int) -> None:
        super().__init__()
        # Inputs and orientations in one axis, as in the features: torch keeps four axes only with channels last.
        self.weight = nn.Parameter(torch.empty(kernels, inputs * DIHEDRAL, width, width))
        self.bias = nn.Parameter(torch.empty(kernels))
        self._orders = [list(row) for row in quotients()]  # looked at beforehand, so that torch can compile the rest

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Feature maps of features (n, inputs × 8, h, w)."""
        weight = self.weight.unflatten(1, (-1, DIHEDRAL))
        bank = torch.stack([dihedral(weight[:, :, row], which) for which, row in enumerate(self._orders)], dim=1)
        return functional.conv2d(features, bank.flatten(2, 3).flatten(0, 1), self.bias.repeat_interleave(DIHEDRAL))


class GroupPool(nn.Module):
    """Highest of the eight orientations, then the mean over the map: (n, kernels × 8, h, w) → (n, kernels).

    What comes out does not change when the image is turned or mirrored.
    """

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Invariants (n, kernels)."""
        return features.unflatten(1, (-1, DIHEDRAL)).amax(dim=2).mean(dim=(-2, -1))
