"""Lightning without its announcements: all other warnings still come through."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_LOGGERS = ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero")
_FROZEN_BODY = r"Found \d+ module\(s\) in eval mode at the start of training"
_DEPRECATED_IN_TORCH = r"`isinstance\(treespec, LeafSpec\)` is deprecated"


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Silence Lightning's log lines, and two warnings: of its own calls of torch, and of a frozen body."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=_DEPRECATED_IN_TORCH, module=r"lightning\..*")
            warnings.filterwarnings("ignore", message=_FROZEN_BODY, module=r"lightning\..*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
