"""What other people wrote: names, texts and paths that come from files or from foreign code.

A name that becomes part of a path or of a table's key is an `identifier`. A text that is only shown passes through the
function of the place where it is shown: `printable` for a terminal or a message, `lensaudit.display.figures` for
matplotlib, `in_header` for a FITS card, `in_markdown` for a page of Markdown (HTML templates escape by themselves). A
path that is built from a foreign word is made by `path_within`, which cannot leave its folder. A file that somebody
hands over is first looked at by `kind_of`: a regular file, and what its first bytes say it is.
"""

from __future__ import annotations

import codecs
import hashlib
import os
import re
import stat
import unicodedata
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from lensaudit.errors import NoSuchFile, UsageError

IDENTIFIER_LENGTH = 64

TORN_ZIP = (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError)
"""What Python's zip files, and numpy's headers in them, raise where they are damaged, encrypted or packed otherwise."""

_IDENTIFIER = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._+-]{{0,{IDENTIFIER_LENGTH - 1}}}")
# What begins markup inside a line of Markdown; "[0.1, 0.2]", "n < 5" and "arc_snr" begin none.
_MARKUP = re.compile(
    r"[`*|$]|<(?=[A-Za-z/!?])|\](?=[(\[:])|\\(?=[!-/:-@\[-`{-~]|\Z)|(?<![^\W_])_|_(?![^\W_])"
    r"|&(?=#?\w+;)|~(?=~)"
)
# The same without a look at each sign of a page of megabytes: control characters but the newline, what is invisible
# or turns the direction of writing, and halves of characters.
_ACTING = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
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
            f"'{printable(name, 40)}' is not a name; give 1 to {IDENTIFIER_LENGTH} letters, digits, or . _ + -, "
            f"beginning with a letter or digit"
        )
    return name


def typed_name(option: str, name: str) -> str:
    """`name` if it is an `identifier`, as the user gave it by `option`.

    Raises
    ------
    UsageError
        It is not; the line names the option.
    """
    try:
        return identifier(name)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from error


Identifier = Annotated[str, AfterValidator(identifier)]
"""An `identifier`, as the type of a field of a pydantic model."""


def label(text: str) -> str:
    """`text` if it is one line of 1 to 64 characters that all show: what a person calls a population or a mode.

    A label may be drawn and printed; it is never part of a path.

    Raises
    ------
    ValueError
        It is empty, too long, or has a control character.
    """
    if not text.strip() or len(text) > IDENTIFIER_LENGTH or printable(text) != text:
        raise ValueError(
            f"'{printable(text, 40)}' is not a label; give 1 to {IDENTIFIER_LENGTH} characters without control "
            f"characters"
        )
    return text


Label = Annotated[str, AfterValidator(label)]
"""A `label`, as the type of a field of a pydantic model."""


def as_identifier(text: str) -> str:
    """The `identifier` next to `text`: other characters become ``_``, and it is cut to its length.

    Examples
    --------
    >>> as_identifier("my scores (v2)")
    'my_scores__v2_'
    """
    return re.sub(r"[^A-Za-z0-9._+-]", "_", text).lstrip("._+-")[:IDENTIFIER_LENGTH] or "unnamed"


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


def in_header(text: object, length: int | None = None) -> str:
    r"""`text` as the value of a FITS card: printable ASCII, the rest escaped.

    Examples
    --------
    >>> in_header("θ_E\n")
    '\\u03b8_E\\n'
    """
    ascii_only = printable(text).encode("ascii", "backslashreplace").decode("ascii")
    ascii_only = re.sub(r"'(?= */)", r"\\x27", ascii_only)  # astropy 7 takes what follows for the comment
    return ascii_only if length is None else ascii_only[:length]


def in_markdown(text: object, length: int | None = None) -> str:
    r"""`text` inside a line or table cell of Markdown: printable, its markup and HTML escaped.

    Examples
    --------
    >>> in_markdown("<b>arc_snr</b> [0.1] | *")
    '\\<b>arc_snr\\</b> [0.1] \\| \\*'
    """
    return _MARKUP.sub(r"\\\g<0>", printable(text, length))


def in_code(text: object, length: int | None = None) -> str:
    """`text` between backquotes of Markdown: printable, a backquote of its own made a quotation mark."""
    return printable(text, length).replace("`", "'").replace("|", "¦")


def markdown_page(text: str) -> str:
    """A whole page of Markdown without HTML and control characters: our own pages have neither.

    Foreign words in it passed through `in_markdown` or `in_code`; this holds where one did not.
    """
    lines = (printable(line) for line in text.split("\n"))
    return "\n".join(re.sub(r"(?<!\\)<(?=[A-Za-z/!?])", r"\\<", line) for line in lines)


def html_page(text: str) -> str:
    """A whole HTML page without control characters, tabs included; templates escape markup by themselves."""
    return _ACTING.sub(lambda found: _shown(found[0]), text)


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
        A part is empty, ``.``, ``..``, or has a separator or control character; or a link points out of `folder`.
    """
    path = folder = Path(folder)
    for part in parts:
        if part in ("", ".", "..") or re.search(r"[/\\\x00-\x1f\x7f]", part):
            raise UsageError(f"{folder}: {printable(part, 60)!r} is not a file name, so no file below is meant")
        path = path / part
    try:
        if path.resolve().is_relative_to(folder.resolve()):
            return path
    except (RuntimeError, OSError) as error:  # RuntimeError before Python 3.13
        raise UsageError(f"{path}: a link there leads to itself; remove it") from error
    raise UsageError(f"{path}: a link there points out of {folder}; remove it or choose another folder")


@dataclass(frozen=True)
class Kind:
    """What a file is by its first bytes.

    Attributes
    ----------
    key
        Short name, e.g. ``fits``, ``gzip``, ``html``, ``torch``.
    words
        The same for a message, with its article.
    fix
        What to do where another kind is needed; empty where "give the other file" is all there is to say.
    """

    key: str
    words: str
    fix: str = ""


_BEGINNINGS = (
    (b"SIMPLE  =", Kind("fits", "a FITS file")),
    (b"\x1f\x8b", Kind("gzip", "a gzip-compressed file", "unpack it with gunzip")),
    (b"BZh", Kind("bzip2", "a bzip2-compressed file", "unpack it with bunzip2")),
    (b"\xfd7zXZ\0", Kind("xz", "an xz-compressed file", "unpack it with unxz")),
    (b"\x28\xb5\x2f\xfd", Kind("zstd", "a zstd-compressed file", "unpack it with unzstd")),
    (b"\x89HDF\r\n\x1a\n", Kind("hdf5", "an HDF5 file (Keras weights are such)")),
    (b"\x93NUMPY", Kind("npy", "a NumPy array file")),
    (b"PAR1", Kind("parquet", "a Parquet file")),
    (b"ARROW1", Kind("arrow", "an Arrow (Feather) file")),
    (b"SQLite format 3\0", Kind("sqlite", "an SQLite database")),
    (b"\x89PNG\r\n\x1a\n", Kind("png", "a PNG picture")),
    (b"\xff\xd8\xff", Kind("jpeg", "a JPEG picture")),
    (b"II*\0", Kind("tiff", "a TIFF picture")),
    (b"MM\0*", Kind("tiff", "a TIFF picture")),
    (b"GIF8", Kind("gif", "a GIF picture")),
    (b"%PDF", Kind("pdf", "a PDF document")),
    (
        b"version https://git-lfs",
        Kind("lfs", "a Git LFS pointer, not the file it stands for", "fetch the file itself with git lfs pull"),
    ),
    (
        b"/annex/objects/",
        Kind("annex", "a git-annex pointer, not the file it stands for", "fetch the file itself with git annex get"),
    ),
    (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", Kind("torch", "a PyTorch file")),  # the form before PyTorch 1.6
)
_HTML = re.compile(rb"\s*(<!--.*?-->\s*)*<(!doctype html|html|head|body)\b", re.IGNORECASE | re.DOTALL)
_HEAD = 4096  # bytes that are looked at; the marks stand within the first 300


def kind_of(path: Path) -> Kind:
    """What the file at `path` is by its first bytes; nothing in it is run or unpacked.

    Raises
    ------
    UsageError
        It is missing, a folder, a named pipe, a socket or a device, or cannot be read.

    Examples
    --------
    >>> kind_of(Path("/dev/null"))
    Traceback (most recent call last):
    lensaudit.errors.UsageError: /dev/null: is a device, a regular file is needed; copy its content to a file
    """
    size = regular_size(path)
    try:
        with open(path, "rb") as stream:
            return kind_of_bytes(stream.read(_HEAD), size)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error


def kind_of_bytes(head: bytes, size: int) -> Kind:
    """What a file of `size` bytes is that begins with `head`, see `kind_of`."""
    if not head:
        return Kind("empty", "empty (0 bytes)", "make or fetch it again")
    for beginning, kind in _BEGINNINGS:
        if head.startswith(beginning):
            return kind
    if head[257:262] == b"ustar":
        return Kind("tar", "a tar archive", "unpack it with tar xf")
    if head.startswith(b"PK\x03\x04"):
        return _kind_of_zip(head)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size - 8:
        return Kind("safetensors", "a safetensors file")  # before pickles: a header of 640 bytes begins with 80 02 too
    if head[0] == 0x80 and 2 <= head[1:2].ljust(1, b"\0")[0] <= 5:
        return Kind("pickle", "a Python pickle, which may run anything when it is read")
    if re.match(rb"\x08[\x01-\x20][\x12\x1a\x3a\x42]", head):  # ir_version, then producer, graph or opset of ModelProto
        return Kind("onnx", "an ONNX model")
    return _kind_of_text(head, whole=len(head) >= size)


def other_kind(path: Path, wanted: str, *keys: str) -> str | None:
    """Why `path` is not `wanted`, as one line; None where its first bytes are those of one of the kinds `keys`.

    Parameters
    ----------
    wanted
        With its article, e.g. ``"a FITS file"``.
    keys
        `Kind.key` of what may be `wanted`; whether the rest of the file is sound is not looked at.

    Examples
    --------
    >>> other_kind(Path("page.fits"), "a FITS file", "fits", "gzip")  # doctest: +SKIP
    'page.fits: is an HTML page, not a FITS file; …'
    """
    kind = kind_of(path)
    if kind.key in keys:
        return None
    return f"{path}: is {kind.words}, not {wanted}; {kind.fix or f'give {wanted}'}"


def regular_size(path: Path) -> int:
    """Bytes of the regular file at `path`, links followed; a pipe or a device would hang or never end.

    Raises
    ------
    UsageError
        It is missing, or no regular file.
    """
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NoSuchFile(f"{path}: no such file; check the path") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{printable(path)}: cannot be read ({reason}); check the path") from error
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(f"{path}: is {_special(found.st_mode)}")
    return found.st_size


def _special(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a folder, a file is needed; name a file in it"
    what = "a named pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"
    return f"{what}, a regular file is needed; copy its content to a file"


def _kind_of_zip(head: bytes) -> Kind:
    """Which kind of zip archive, by the name of its first member."""
    name = head[30 : 30 + int.from_bytes(head[26:28], "little")]
    if name.endswith((b"/data.pkl", b"/.format_version", b"/.data/serialization_id", b"/version", b"/byteorder")):
        return Kind("torch", "a PyTorch file")
    if name.endswith(b".npy"):
        return Kind("npz", "a NumPy archive (npz)")
    if name in (b"metadata.json", b"config.json"):
        return Kind("keras", "a Keras model")
    return Kind("zip", "a zip archive", "unpack it")


def _kind_of_text(head: bytes, *, whole: bool) -> Kind:
    """Which kind of text, or that it is none."""
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head, final=whole)
    except UnicodeDecodeError:
        text = head.decode("latin-1")
        if sum(byte >= 0x80 for byte in head) > len(head) / 4:
            text = "\0"
    if any(sign < " " and sign not in "\t\n\r\f\v" for sign in text):
        return Kind("unknown", f"of no kind known here (its first bytes are {head[:8].hex(' ')})")
    start = text.lstrip()
    if _HTML.match(head.removeprefix(codecs.BOM_UTF8)):
        return Kind(
            "html", "an HTML page", "the server answered with a page: fetch the file itself, perhaps after login"
        )
    if start.startswith("<?xml") or start.startswith("<VOTABLE"):
        votable = "<VOTABLE" in text
        return Kind("votable", "a VOTable") if votable else Kind("xml", "an XML file")
    if start.startswith(("{", "[")):
        return Kind("json", "a JSON file")
    line = next((line for line in text.splitlines() if line.strip() and not line.startswith("#")), "")
    return Kind("csv", "a table as text (CSV)") if re.search(r"[,;\t]", line) else Kind("text", "a text file")
