"""The chapter of what the network knows: its last layer's numbers of the audited set, kept in ``embedding/``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lensaudit.display.figures import Picture, figure_of, styled, svg_picture
from lensaudit.display.images import png_uri
from lensaudit.embedding import Embedding
from lensaudit.embedding.page import MAP_PICTURE, NEIGHBOURS_PICTURE, RESULT_NAME
from lensaudit.embedding.pictures import draw_readability
from lensaudit.errors import LensauditError
from lensaudit.report.options import AuditOptions
from lensaudit.spread import StageProgress

if TYPE_CHECKING:
    from lensaudit.finders import Finder
    from lensaudit.lensset import LensSet

FOLDER = "embedding"
ON_MAP = 1000
"""Images on the map of the page."""
LARGEST_PICTURE = 1_500_000
LONGEST_SIDE = 4000


def embedding_block(
    finder: Finder, lens_set: LensSet, out: Path, options: AuditOptions, progress: StageProgress
) -> Embedding | None:
    """What the last layer knows of the audited set; taken from ``embedding/`` where an earlier run left it.

    None where it is not asked for, no linear layer of the finder can be seen, or no image can be scored.
    """
    if not options.embed:
        return None
    from lensaudit.embedding import EmbedOptions, measure_embedding
    from lensaudit.embedding.measure import inputs_of
    from lensaudit.realism_gate.last_layer import last_layer

    folder = Path(out) / FOLDER
    if (folder / RESULT_NAME).is_file():
        kept = _kept(folder)
        if kept is not None and (kept.provenance.inputs, kept.provenance.seed) == (
            inputs_of(finder, lens_set, None),
            options.seed,
        ):
            return kept
    if isinstance(last_layer(finder), str):
        return None
    asked = EmbedOptions(seed=options.seed, batch=options.batch, map_n=ON_MAP)
    found = measure_embedding(finder, lens_set, folder, asked, progress)
    found.write(folder)
    return found.record


def _kept(folder: Path) -> Embedding | None:
    try:
        return Embedding.read(folder / RESULT_NAME)
    except LensauditError:  # torn: it is made again
        return None


@styled
def reading_picture(embedding: Embedding | None) -> Picture | None:
    """How well columns are read; None where none are."""
    if embedding is None or not embedding.readability:
        return None
    return svg_picture(figure_of(draw_readability(embedding.readability)), embedding.reading)


def embedding_pictures(folder: Path) -> dict[str, str]:
    """``map`` and ``neighbours`` → data URI of the picture beside the audit; what is not there, or no PNG, is not."""
    found = {}
    for name, file in (("map", MAP_PICTURE), ("neighbours", NEIGHBOURS_PICTURE)):
        path = Path(folder) / FOLDER / file
        if path.is_file() and path.stat().st_size <= LARGEST_PICTURE and (pixels := _pixels(path)) is not None:
            found[name] = png_uri(pixels)
    return found


def _pixels(path: Path) -> NDArray[np.uint8] | None:
    """A PNG (h, w, 3); None where it is none, or far larger than ours."""
    from PIL import Image

    try:
        with Image.open(path, formats=("PNG",)) as picture:
            if max(picture.size) > LONGEST_SIDE:
                return None
            return np.asarray(picture.convert("RGB"))
    except (OSError, ValueError, SyntaxError):  # PIL's of what is torn
        return None
