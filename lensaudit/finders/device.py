"""Choosing where the arithmetic happens."""

from __future__ import annotations

import torch

from lensaudit.errors import UsageError

DEVICES = ("auto", "cpu", "cuda")


def choose_device(name: str) -> torch.device:
    """``auto`` (the GPU if there is one), ``cpu`` or ``cuda`` → device.

    Raises
    ------
    UsageError
        Another word, or ``cuda`` where there is none.
    """
    if name not in DEVICES:
        raise UsageError(f"--device {name!r} is not known; allowed: {', '.join(DEVICES)}")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise UsageError("--device cuda: no CUDA device is available here; use --device cpu or auto")
    return torch.device("cuda" if available and name != "cpu" else "cpu")
