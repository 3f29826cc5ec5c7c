"""``Attributed``: maps of what speaks for and against a lens, whatever method made them, as data.

One sign everywhere, in memory, on disk and in pictures: above 0 speaks for a lens. Nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy.special import expit

from lensaudit.notebook import Facts, Shown

if TYPE_CHECKING:
    from lensaudit.explaining.occluding.exact import Cost, LayerReport

SIGN = "positive: for a lens"
"""Of every map; stands so in the card ``SIGN`` of every header."""


@dataclass(frozen=True, eq=False)
class Backdrop:
    """The native images under the maps.

    Attributes
    ----------
    band
        Name of their band.
    images
        (n, h, w); pixels need not be those of the maps.
    pixel_scale_arcsec
        Of the images.
    wcs
        World coordinates of each, or None.
    """

    band: str
    images: NDArray[np.float32]
    pixel_scale_arcsec: float
    wcs: tuple[WCS, ...] | None = None


@dataclass(frozen=True, eq=False)
class Patches:
    """What occlusion alone has.

    Attributes
    ----------
    patch, stride
        Pixels of the finder's grid.
    engine
        ``exact`` or ``captum``.
    p_lost
        p(lens) − p(lens | patch hidden), float32 (n, size, size): the quantity of Wilde et al. 2022 with the sign of
        every map. Where p is close to 0 or 1 it says little.
    fallbacks
        Layers without a rule, from which on the exact engine ran plain batches.
    note
        Why it did so all through; empty if it did not.
    layers, cost, seconds
        How the exact engine calculated each layer of the last image, its multiply-adds and the wall time; not kept on
        disk.
    """

    patch: int
    stride: int
    engine: str
    p_lost: NDArray[np.float32]
    fallbacks: tuple[str, ...] = ()
    note: str = ""
    layers: tuple[LayerReport, ...] = ()
    cost: Cost | None = None
    seconds: float = 0.0


@dataclass(frozen=True, eq=False, repr=False)
class Attributed(Shown):
    """Attribution of the log-odds of "lens" to the pixels of n images, by any method.

    Attributes
    ----------
    method
        Name in `METHODS`.
    title
        Name of what was really done, as ``DeepLIFT, partial`` where it does not reach all of the finder.
    quantity
        What the numbers are, as ``log-odds, whole − patch hidden``. Above 0 they speak for a lens.
    maps
        float32 (n, size, size) on the finder's grid: the attribution summed over bands.
    attributions
        float32 (n, bands, size, size); None where the method tells no bands apart (Grad-CAM, occlusion).
    logit
        Log-odds of the whole images, float64 (n,).
    bands
        Of `attributions`, in the finder's order.
    field_arcsec
        Width of the field, in arcseconds.
    finder, finder_hash
        Name of the finder and SHA-256 of its weights.
    hooked
        What the method hooked, in words; empty for one that hooks nothing.
    notes
        What a reader must know beside the maps: sanity checks that the method fails, what no hook reaches.
    known_to_fail
        Whether the method failed the parameter-randomisation check in Adebayo et al. 2018.
    wcs
        World coordinates of each map, or None where none were given.
    backdrop
        Native images of one band for pictures, or None.
    patches
        What only occlusion has; None for other methods.

    See Also
    --------
    lensaudit.explaining.explain : makes one from cutouts.
    """

    method: str
    title: str
    quantity: str
    maps: NDArray[np.float32]
    attributions: NDArray[np.float32] | None
    logit: NDArray[np.float64]
    bands: tuple[str, ...]
    field_arcsec: float
    finder: str
    finder_hash: str
    hooked: str = ""
    notes: tuple[str, ...] = ()
    known_to_fail: bool = False
    wcs: tuple[WCS, ...] | None = None
    backdrop: Backdrop | None = None
    patches: Patches | None = None

    sign = SIGN

    def _facts(self) -> Facts:
        n, height, width = self.maps.shape
        facts = {"method": self.title, "finder": self.finder, "maps": f"{n} of {height}×{width}"}
        facts |= {"quantity": self.quantity, "sign": self.sign}
        notes = {"notes": "; ".join(self.notes)} if self.notes else {}
        return {**facts, **notes}

    def __len__(self) -> int:
        return len(self.maps)

    def __getitem__(self, index: int) -> Self:
        """That of one image."""
        here = slice(index, index + 1) if index >= 0 else slice(len(self) + index, len(self) + index + 1)
        if not len(self.maps[here]):
            raise IndexError(index)
        backdrop, patches = self.backdrop, self.patches
        if backdrop is not None:
            wcs = None if backdrop.wcs is None else backdrop.wcs[here]
            backdrop = replace(backdrop, images=backdrop.images[here], wcs=wcs)
        return replace(
            self,
            maps=self.maps[here],
            attributions=None if self.attributions is None else self.attributions[here],
            logit=self.logit[here],
            wcs=None if self.wcs is None else self.wcs[here],
            backdrop=backdrop,
            patches=None if patches is None else replace(patches, p_lost=patches.p_lost[here]),
        )

    def __iter__(self) -> Iterator[Self]:
        return (self[index] for index in range(len(self)))

    @property
    def p_lens(self) -> NDArray[np.float64]:
        """p(lens) of the whole images, float64 (n,)."""
        return np.asarray(expit(self.logit), np.float64)

    @property
    def size(self) -> int:
        """Pixels along a side of the maps."""
        return int(self.maps.shape[-1])
