"""Python warnings while a command runs: a line of ours, or silence where nobody can act on them."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from lensaudit.errors import LensauditWarning
from lensaudit.untrusted import printable

SILENCED: tuple[tuple[str, str, str], ...] = (
    # (module that warns, beginning of its words, why nobody need read it)
    (r"torch\b|captum\b|torchvision\b|timm\b", "", "of calls between libraries; finders are tried by us"),
    (r"astropy\b", "", "headers are checked where they are read, and what is wrong there is said by name"),
    (
        r"sklearn\b|openTSNE\b|pynndescent\b|scipy\.sparse\b",
        "",
        "of calls between libraries; the record says how a fit ended",
    ),
    (r"zarr\b|numcodecs\b|pyarrow\b", "", "of formats whose every byte is checked by a hash"),
    (r"numba\b|skypy\b|lenstronomy\b|galsim\b|photutils\b", "", "of calls between libraries"),
    (r"matplotlib\b|PIL\b|rich\b|typer\b", "", "of a figure's fonts and layout"),
    ("", r"unclosed (file|<)", "closed by the garbage collector at once"),
    ("", r"The pickle protocol|You are using `torch\.load`", "only tensors are read, never code"),
)
"""Warnings of libraries that a command does not show, each kind with the reason."""

_active = False


@contextmanager
def own_warnings() -> Iterator[None]:
    """Have warnings shown as lines of ours while the block runs, but for those of `SILENCED`.

    Nothing changes where Python was told what to do with warnings (``-W``, ``PYTHONWARNINGS``), nor outside commands.
    """
    global _active
    if sys.warnoptions:
        yield
        return
    with warnings.catch_warnings():
        _active = True
        show_as_ours()
        try:
            yield
        finally:
            _active = False


def shown_as_ours() -> bool:
    """Whether warnings are shown as lines of ours now, as in a command; its workers then do it too."""
    return _active


def show_as_ours() -> None:
    """Do so from now on, in this process."""
    for module, words, _why in SILENCED:
        warnings.filterwarnings("ignore", message=words, module=module)
    warnings.simplefilter("once", LensauditWarning)
    warnings.showwarning = _show


def _show(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    words = " ".join(str(message).split())
    if not issubclass(category, LensauditWarning):
        words = f"{category.__name__} of {Path(filename).name}, line {lineno}: {words}"
    with suppress(OSError):
        print(f"lensaudit: warning: {printable(words, 400)}", file=sys.stderr)
