"""Where a result came from: version, command line, seed, input hashes; units and clipping of the pixels it rests on."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from lensaudit import __version__
from lensaudit.errors import UsageError
from lensaudit.records import Json, Record

_PACKAGES = ("numpy", "torch", "lenstronomy", "galsim", "astropy", "captum", "scikit-learn")


@dataclass(frozen=True)
class Provenance(Record):
    """How a result was made.

    Holds no time and no host name, so that the same command on the same inputs writes the same bytes.

    Attributes
    ----------
    lensaudit, python, packages
        Versions; None of a package that is not installed.
    command
        See `command_line`.
    seed
        The seed the work was derived from, if any.
    inputs
        Name of each input → SHA-256 of its content.
    """

    lensaudit: str
    command: str
    seed: int | None
    inputs: dict[str, str]
    python: str
    packages: dict[str, str | None]

    @classmethod
    def here(cls, *, seed: int | None = None, inputs: Mapping[str, str] | None = None) -> Provenance:
        """Of a result that is made now, by this process."""
        return cls(
            lensaudit=__version__,
            command=command_line(),
            seed=seed,
            inputs=dict(sorted((inputs or {}).items())),
            python=platform.python_version(),
            packages={name: _version(name) for name in _PACKAGES},
        )

    @classmethod
    def of(cls, words: Any) -> Any:
        """`words` as they were read, with nothing for what they do not say; no mapping is handed on as it is.

        For headers of sets and finders, which say little of their making where others made them.
        """
        if not isinstance(words, Mapping):
            return words
        unknown: Json = {"lensaudit": "", "command": "", "seed": None, "inputs": {}, "python": "", "packages": {}}
        return {name: words.get(name, value) for name, value in unknown.items()}


def provenance(*, seed: int | None = None, inputs: Mapping[str, str] | None = None) -> Json:
    """`Provenance.here` as JSON, to be stored inside a result."""
    return Provenance.here(seed=seed, inputs=inputs).to_json()


def refuse_other(path: Path, inputs: Mapping[str, str], what: str, fix: str = "or remove that file") -> None:
    """Refuse to replace a result of other inputs: `path` is the JSON file an earlier run wrote last, if there is one.

    What is torn or names no inputs is replaced, and so is a result of the same inputs and other settings.

    Parameters
    ----------
    inputs
        Of the run that is asked for, as in `provenance`; those the earlier result does not name are left aside.
    what
        Such as ``probe``, for the message.

    Raises
    ------
    UsageError
        One of the inputs was another.
    """
    try:
        if not path.is_file():  # a pipe would be waited for
            return
        known = json.loads(path.read_text(encoding="utf-8"))["provenance"]["inputs"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return
    if isinstance(known, dict):
        refuse_other_inputs(path, known, inputs, what, fix)


def refuse_other_inputs(
    path: Path, known: Mapping[str, Any], inputs: Mapping[str, str], what: str, fix: str = "or remove that file"
) -> None:
    """As `refuse_other`, where the inputs `known` of the result at `path` have been read already."""
    for name, value in inputs.items():
        if known.get(name, value) != value:
            raise UsageError(
                f"{path}: is the {what} of another {name} ({str(known[name])[:12]}, this one is {value[:12]}); "
                f"choose another --out, {fix}"
            )


_CALL: ContextVar[str] = ContextVar("call", default="")


@contextmanager
def called_as(words: str) -> Iterator[None]:
    """Have results made in the block say `words` in place of a command line; the outermost call counts."""
    token = _CALL.set(_CALL.get() or words)
    try:
        yield
    finally:
        _CALL.reset(token)


def command_line() -> str:
    r"""The command as typed, without the path of the interpreter or script; bytes that are not UTF-8 as ``\udc80``.

    From Python, the function that was called.
    """
    if call := _CALL.get():
        return call
    return " ".join(["lensaudit", *sys.argv[1:]]).encode("utf-8", "backslashreplace").decode("utf-8")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


@dataclass(frozen=True)
class Clipping(Record):
    """Fractions of all pixels of one band, over the images that were scored.

    Attributes
    ----------
    below, above
        Fraction beyond the lower and the upper limit of the stretch, in [0, 1].
    remark
        What is wrong where that is no ordinary fraction, as one clause; empty else.
    """

    below: float
    above: float
    remark: str = ""


@dataclass(frozen=True)
class Pixels(Record):
    """By band: units of the set's pixels and of the finder's numbers, fractions clipped; and what is to be said."""

    units: dict[str, str]
    finder_units: dict[str, str]
    clipping: dict[str, Clipping]
    remarks: tuple[str, ...]
