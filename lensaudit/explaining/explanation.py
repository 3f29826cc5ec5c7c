"""``Explanation``: maps of what speaks for and against a lens, which draw, write and read themselves."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from lensaudit.display.figures import new_figure, styled, svg_bytes
from lensaudit.display.images import data_uri
from lensaudit.explaining.attributed import Attributed
from lensaudit.explaining.explanation_fits import read_fits, write_fits
from lensaudit.explaining.map_picture import draw_map

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False, repr=False)
class Explanation(Attributed):
    """Attribution of the log-odds of "lens" to the pixels of n images, by any method; see `Attributed` for its fields.

    See Also
    --------
    lensaudit.explaining.explain : makes one from cutouts.

    Examples
    --------
    >>> found = la.explain("ou66", lenses, method="gradcam")  # doctest: +SKIP
    >>> found.plot().figure.savefig("map.png")  # doctest: +SKIP
    >>> Explanation.read(found.write("map.fits")).sign  # doctest: +SKIP
    'positive: for a lens'
    """

    def _picture(self) -> str:
        figure = self.plot().get_figure(root=True) if len(self) else None
        return "" if figure is None else data_uri("image/svg+xml", svg_bytes(figure))

    @styled
    def plot(self, ax: Axes | None = None, *, index: int = 0) -> Axes:
        """Draw one map, blue what speaks for a lens, over its image where there is one.

        Parameters
        ----------
        ax
            Where to draw; by default in a figure of its own.
        index
            Which of the n images.

        Returns
        -------
        matplotlib.axes.Axes
            What was drawn on; its figure is ``.figure``.
        """
        if ax is None:
            ax = new_figure(3.4, 3.9, constrained=False).add_axes((0.03, 0.14, 0.94, 0.74))
        draw_map(ax, self[index])
        return ax

    def write(self, path: str | Path) -> Path:
        """Write the maps, those of each band too, with all that is to be known of them as FITS; `read` gives it back.

        Raises
        ------
        UsageError, MachineError
            `path` cannot be written.
        """
        write_fits(Path(path), [self], per_band=True)
        return Path(path)

    @classmethod
    def read(cls, path: str | Path) -> Explanation:
        """The first that a FITS file holds; see `read_fits` for all, and for what is raised."""
        first = read_fits(Path(path))[0]
        return cls(**{one.name: getattr(first, one.name) for one in fields(first)})
