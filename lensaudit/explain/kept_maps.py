"""Maps that an earlier run left where new ones are to be written."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from warnings import catch_warnings

from astropy.io import fits

from lensaudit.provenance import refuse_other_inputs

_CARDS = {"finder": "FNDHASH", "set": "SETHASH"}


def refuse_other_maps(paths: Iterable[Path], finder_hash: str, set_hash: str | None) -> None:
    """Refuse to write over maps of another finder or set; what is torn, or of other settings, is made anew.

    Costs reading the headers of what is there, a millisecond a file.

    Raises
    ------
    UsageError
        A file holds maps of another finder or set.
    """
    inputs = {"finder": finder_hash} | ({} if set_hash is None else {"set": set_hash})
    for path in paths:
        if path.is_file():
            refuse_other_inputs(path, _inputs_of(path), inputs, "map", "or add --force to replace it")


def _inputs_of(path: Path) -> dict[str, str]:
    try:
        content = BytesIO(path.read_bytes())  # astropy would leave a torn file open
        with catch_warnings(action="ignore"):
            header = fits.Header.fromfile(content)
            return {name: str(header[card]) for name, card in _CARDS.items() if card in header}
    except (OSError, TypeError, ValueError, fits.VerifyError):
        return {}
