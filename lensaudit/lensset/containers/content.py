"""What a container is named by: a hash of its declaration and files, of large ones a sample."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lensaudit.lensset.containers.declaration import ContainerFile

WHOLE_BYTES = 256 << 20
"""Containers up to this size are hashed whole."""
SAMPLED_FILES, SAMPLED_BYTES = 256, 1 << 16
"""Of larger ones so many files, evenly over all, and of each so many bytes at its begin, in its middle, at its end."""
SAMPLED = "sampled:"
"""Begins the content hash of a container that was not read whole; 56 digits of SHA-256 follow."""


def hashed_whole(files: Sequence[Path]) -> bool:
    """Whether every byte of `files` is hashed."""
    return sum(file.stat().st_size for file in files) <= WHOLE_BYTES


def content_hash(folder: Path, told: ContainerFile, files: Sequence[Path]) -> str:
    """SHA-256 of the declaration and the names, sizes and content of the files in `folder`; of large ones a sample.

    Up to `WHOLE_BYTES` it is of every byte. Above, it is of `SAMPLED_BYTES` at the begin, in the middle and at the end
    of `SAMPLED_FILES` files, begins with ``sampled:``, and does not see a change elsewhere that keeps the size.
    """
    whole, digest = hashed_whole(files), hashlib.sha256()
    digest.update(json.dumps(told.hashed(), sort_keys=True).encode())
    looked_at = set(np.linspace(0, len(files) - 1, min(len(files), SAMPLED_FILES)).round().astype(int).tolist())
    for place, file in enumerate(files):
        size = file.stat().st_size
        digest.update(f"\n{file.relative_to(folder).as_posix()} {size}\n".encode("utf-8", "surrogateescape"))
        with open(file, "rb") as stream:
            if whole:
                while piece := stream.read(1 << 20):
                    digest.update(piece)
            elif place in looked_at:
                for at in (0, size // 2, max(0, size - SAMPLED_BYTES)):
                    stream.seek(at)
                    digest.update(stream.read(SAMPLED_BYTES))
    return digest.hexdigest() if whole else SAMPLED + digest.hexdigest()[: 64 - len(SAMPLED)]
