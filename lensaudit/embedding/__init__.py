"""What a finder knows of images: numbers of a layer, their neighbours, a map, what can be read from them, concepts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lensaudit.embedding.result import Concept, Embedding, Neighbours, Readable

if TYPE_CHECKING:
    from lensaudit.embedding.measure import Embedded, EmbedOptions, measure_embedding

__all__ = ["Concept", "EmbedOptions", "Embedded", "Embedding", "Neighbours", "Readable", "measure_embedding"]


def __getattr__(name: str) -> Any:
    if name not in ("EmbedOptions", "Embedded", "measure_embedding"):  # which need sets, and no page does
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from lensaudit.embedding import measure

    return getattr(measure, name)
