"""What other people wrote: names, texts and paths that come from files or from foreign code.

A name that becomes part of a path or of a table's key is an `identifier`. A text that is only shown passes through the
function of the place where it is shown: `printable` for a terminal or a message, `in_figure` for matplotlib,
`in_header` for a FITS card, `in_markdown` for a page of Markdown (HTML templates escape by themselves). A path that is
built from a foreign word is made by `path_within`, which cannot leave its folder.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from lensaudit.errors import UsageError

IDENTIFIER_LENGTH = 64

_IDENTIFIER = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._+-]{{0,{IDENTIFIER_LENGTH - 1}}}")
# Control and format characters (terminal escapes, bidirectional overrides), lone surrogates, private use, unassigned,
# and the two separators that end a line: nothing of these is ever part of a name, and a terminal may act on them.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def identifier(name: str) -> str:
    """`name` if it is an identifier: letters, digits, ``.``, ``_``, ``+``, ``-``, beginning with a letter or digit.

    Names of finders, members, probes, instruments, bands and populations are identifiers; they are checked where
    they are read, so that they may be parts of paths, tables, figures and messages.

    Raises
    ------
    ValueError
        It is something else, or longer than 64 characters.

    Examples
    --------
    >>> identifier("ou66-p4m")
    'ou66-p4m'
    """
    if not _IDENTIFIER.fullmatch(name):
        raise ValueError(
            f"{printable(name, 40)!r} is not a name; give 1 to {IDENTIFIER_LENGTH} letters, digits, or . _ + -, "
            f"beginning with a letter or digit"
        )
    return name


Identifier = Annotated[str, AfterValidator(identifier)]
"""An `identifier`, as the type of a field of a pydantic model."""


def printable(text: object, length: int | None = None) -> str:
    r"""`text` on one line without characters that a terminal acts on, at most `length` characters.

    Control, format and unassigned characters become ``\x1b``, ``\u202e`` and the like.

    Examples
    --------
    >>> printable("a\x1b[31mb\nc")
    'a\\x1b[31mb\\nc'
    """
    words = str(text)
    if not words.isprintable():  # few are not; those with other spaces than the common one come through unchanged
        words = "".join(_shown(sign) for sign in words)
    if length is not None and len(words) > length:
        words = words[: max(length - 1, 0)] + "…"
    return words


def _shown(sign: str) -> str:
    if unicodedata.category(sign) not in _HIDDEN:
        return sign
    return sign.encode("unicode_escape").decode("ascii")


def in_figure(text: object, length: int | None = None) -> str:
    r"""`text` as matplotlib shows it as it stands: printable, and no ``$`` begins a formula.

    Examples
    --------
    >>> in_figure("$\\frac{")
    '\\$\\frac{'
    """
    return printable(text, length).replace("$", r"\$")


def in_header(text: object, length: int | None = None) -> str:
    r"""`text` as the value of a FITS card: printable ASCII, the rest escaped.

    Examples
    --------
    >>> in_header("θ_E\n")
    '\\u03b8_E\\n'
    """
    ascii_only = printable(text).encode("ascii", "backslashreplace").decode("ascii")
    return ascii_only if length is None else ascii_only[:length]


def in_markdown(text: object, length: int | None = None) -> str:
    """`text` inside a line or table cell of Markdown: printable, its markup and HTML escaped."""
    return re.sub(r"([\\`*_{}\[\]<>|#!&~$])", r"\\\1", printable(text, length))


def file_stem(name: str) -> str:
    """`name` as part of a file name; where characters had to go, a short hash keeps two names apart.

    Examples
    --------
    >>> file_stem("euclid-000007")
    'euclid-000007'
    """
    plain = re.sub(r"[^A-Za-z0-9._+-]", "_", name)[:100].lstrip(".")
    if plain == name != "":
        return plain
    return f"{plain}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def path_within(folder: Path, *parts: str) -> Path:
    """The path of `parts`, each one name, below `folder`; it cannot leave it.

    Raises
    ------
    UsageError
        A part is empty, ``.``, ``..``, or has a separator or a control character; or a link on the way points out of
        `folder`.
    """
    path = folder = Path(folder)
    for part in parts:
        if part in ("", ".", "..") or re.search(r"[/\\\x00-\x1f\x7f]", part):
            raise UsageError(f"{folder}: {printable(part, 60)!r} is not a file name, so nothing is written there")
        path = path / part
    if not path.resolve().is_relative_to(folder.resolve()):
        raise UsageError(f"{path}: a link there points out of {folder}; remove it or choose another folder")
    return path
