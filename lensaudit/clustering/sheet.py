"""Contact sheets: what the members of a cluster look like, as images, denoised, and as the embedding keeps them."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lensaudit.finders.architectures.cae_bgm import CaeBgm
from lensaudit.training.prepared import PreparedSet, decoded
from lensaudit.training.split import Rows

SHOWN = 10
"""Members of a cluster on its sheet."""
_GREYS = 48
_LIMITS = (1.0, 99.5)
_GAP = 2


@dataclass(frozen=True)
class Sheet:
    """One cluster's picture: a PNG as ``data:`` URI with its size in pixels, and which images it shows."""

    uri: str
    width: int
    height: int
    rows: tuple[str, ...]
    shown: Rows


def members_shown(shares: NDArray[np.float64], number: int, count: int = SHOWN) -> Rows:
    """Members of cluster `number`, evenly spaced from the most to the least certain one.

    Parameters
    ----------
    shares
        Responsibilities (n, K).
    """
    members = np.flatnonzero(shares.argmax(axis=1) == number)
    ordered = members[np.argsort(-shares[members, number], kind="stable")]
    spaced = np.linspace(0, len(ordered) - 1, min(count, len(ordered))).round().astype(np.int64)
    return ordered[spaced].astype(np.int64)


@torch.inference_mode()
def sheet_of(module: CaeBgm, mirrored: nn.Module | None, prepared: PreparedSet, shown: Rows) -> Sheet:
    """Rows of cutouts, first band: as the finder gets them, denoised, and reconstructed where there is a decoder.

    Every cutout runs from black at its 1 % percentile to white at its 99.5 % percentile, so that arcs beside a bright
    core can be seen; its first row is at the bottom, as in DS9.
    """
    images = decoded(*prepared.read(shown)).to(next(module.parameters()).device)
    denoised = module.denoiser(images)
    rows = {"as the finder gets them": images, "denoised": denoised}
    if mirrored is not None:
        rows["from the embedding"] = torch.sigmoid(mirrored(module.encoder(denoised).cpu()))
    strips = [_strip(block[:, 0].cpu().numpy()) for block in rows.values()]
    picture = np.concatenate([part for strip in strips for part in (strip, _blank(strip))][:-1])
    return Sheet(_uri(picture), picture.shape[1], picture.shape[0], tuple(rows), shown)


def _strip(block: NDArray[np.float32]) -> NDArray[np.uint8]:
    low, high = np.percentile(block, _LIMITS, axis=(1, 2), keepdims=True)
    unit = np.clip((block - low) / np.where(high > low, high - low, 1), 0, 1)
    grey = np.rint(unit * (_GREYS - 1)) * (255 / (_GREYS - 1))
    gap = np.full((block.shape[1], _GAP), 255, np.uint8)
    cutouts = [np.flipud(one).astype(np.uint8) for one in grey]
    return np.concatenate([part for one in cutouts for part in (one, gap)][:-1], axis=1)


def _blank(strip: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.full((_GAP, strip.shape[1]), 255, np.uint8)


def _uri(picture: NDArray[np.uint8]) -> str:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
