"""Writing files so that nothing half-written ever looks whole, hashing what was read, and where built-in files lie.

Every result file is written under a temporary name in its own folder and renamed; a crash leaves at most a
``*.partial`` beside it, which the next run overwrites.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lensaudit.errors import LensauditError, LensauditWarning, MachineError, UsageError
from lensaudit.untrusted import html_page, markdown_page, printable

# Refused, or a file stands where a folder is needed, or a folder or a link in a circle where the file is to be.
_UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ELOOP)

LOCK = ".lensaudit.lock"
"""Lies in a folder while a command writes there; one that a killed command left is taken by the next."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is renamed to `path`, on failure removed.

    Raises
    ------
    MachineError
        The disk is full.
    UsageError
        The place cannot be written, is a folder, or a link on the way points out of the folder that is worked in.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.partial")
    _stay_within(path.parent)
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)  # of a killed run; were it a link, what it points to would be written
        try:
            yield partial
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals around `path` into one line with the fix."""
    try:
        yield
    except LensauditError:
        raise
    except OSError as error:
        if disk_is_full(error):
            raise MachineError(
                f"{path}: the disk is full; free some space or choose another --out, then run the same command again"
            ) from error
        if error.errno in _UNWRITABLE:
            raise UsageError(
                f"{path}: this place cannot be written ({error.strerror}); choose another --out"
            ) from error
        raise


def disk_is_full(error: BaseException | None) -> bool:
    """Whether that is what the operating system said, first or before a library put it in other words, as astropy."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__context__
    return False


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, whole or not at all; pages, by their suffix, without control characters.

    Pages of Markdown are written without HTML too.
    """
    made_safe = {".md": markdown_page, ".html": html_page}.get(Path(path).suffix)
    text = text if made_safe is None else made_safe(text)
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")  # of a path that is not UTF-8


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all."""
    with replacing(path) as partial:
        partial.write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys; NaN is refused (use ``None``)."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n")


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes, read in pieces of 1 MiB."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def writable_folder(path: Path) -> Path:
    """Create the folder `path` if need be and make sure a file can be written there, before the work starts.

    Raises
    ------
    UsageError
        `path` is a file or a link to nothing, or the folder cannot be written.
    """
    path = Path(path)
    _refuse_no_folder(path)
    _stay_within(path)
    probe = path / ".lensaudit.partial"
    with explained(path):
        path.mkdir(parents=True, exist_ok=True)
        probe.unlink(missing_ok=True)
        probe.write_bytes(b"")
        probe.unlink(missing_ok=True)
    return path


def _refuse_no_folder(path: Path) -> None:
    if path.is_symlink() and not path.exists():
        raise UsageError(f"{path}: is a link to {os.readlink(path)}, which is not there; choose another --out")
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path}: is a file, a folder is needed; choose another --out")


@dataclass(frozen=True)
class _Place:
    """A folder that is worked in: as written, as it is without links, and the working folder at the time."""

    folder: Path
    real: Path
    home: str


_WORKING: list[_Place] = []


@contextmanager
def working_in(out: Path, *, file: bool = False) -> Iterator[Path]:
    """Keep the folder `out` to this process while the block runs, and all that is written below it inside.

    A folder made for it and still empty at the end is removed. The lock is the system's (``flock``), so one that a
    killed process held is free again. It costs two files that are made and removed; each file written below `out`
    then costs some 50 µs more, to see that no link on the way leaves it.

    Parameters
    ----------
    out
        Folder; or, with `file`, one file, whose neighbours others may write.

    Raises
    ------
    UsageError
        Another process works there, or the place cannot be written.
    """
    out = Path(out)
    if file and out.is_dir():
        raise UsageError(f"{out}: is a folder, a file is needed; choose another --out")
    folder = out.parent if file else out
    if not file and folder.is_dir() and any(place.real == folder.resolve() for place in _WORKING):
        yield out  # this process works there already, as a command does whose library call comes to the same
        return
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        writable_folder(folder)
        with _held(folder / (f".{out.name}.lock" if file else LOCK), out):
            if file:
                yield out
            else:
                _WORKING.append(_Place(Path(os.path.abspath(folder)), folder.resolve(), os.getcwd()))
                try:
                    yield out
                finally:
                    _WORKING.pop()
    finally:
        for path in made:
            with suppress(OSError):
                path.rmdir()


@contextmanager
def _held(lock: Path, out: Path) -> Iterator[None]:
    """Hold the lock file `lock`, and remove it at the end."""
    with explained(out):
        held = _locked(lock, out)
    try:
        yield
    finally:
        if held is not None:
            with suppress(OSError):
                os.unlink(lock)  # before it is let go, so that nobody waits for a file that is not there
            os.close(held)


def _locked(lock: Path, out: Path) -> int | None:
    """File descriptor that holds `lock`; None where there are no such locks."""
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as taken:
            who = os.pread(descriptor, 200, 0).decode("utf-8", "replace").strip()
            os.close(descriptor)
            raise UsageError(
                f"{out}: another command writes there now{f' ({who})' if who else ''}; wait for it to end, or choose "
                f"another --out"
            ) from taken
        except (ImportError, OSError):
            os.close(descriptor)
            lock.unlink(missing_ok=True)
            warnings.warn(
                f"{out}: this disk has no file locks; do not run two commands into one --out at once",
                LensauditWarning,
                stacklevel=2,
            )
            return None
        with suppress(OSError):
            if os.path.samestat(os.fstat(descriptor), os.stat(lock, follow_symlinks=False)):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
                return descriptor
        os.close(descriptor)  # its holder removed it just now


def _stay_within(folder: Path) -> None:
    """Refuse a `folder` below one that is worked in which a link puts elsewhere; come home if foreign code went away.

    Raises
    ------
    UsageError
        A link on the way points out of the folder that is worked in, or its name is not UTF-8, as Parquet needs it.
    """
    if not _is_utf8(f"{folder}"):
        raise UsageError(f"{printable(folder)}: this name is not UTF-8; choose another --out")
    if _WORKING and os.getcwd() != _WORKING[-1].home:
        os.chdir(_WORKING[-1].home)
    absolute = Path(os.path.abspath(folder))
    for place in _WORKING:
        if absolute.is_relative_to(place.folder) and not absolute.resolve().is_relative_to(place.real):
            raise UsageError(f"{folder}: a link there points out of {place.folder}; remove it or choose another --out")


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


_PACKAGE = Path(__file__).resolve().parent


def builtin_folder(name: str) -> Path:
    """Folder of built-in files: ``instruments``, ``models`` or ``probes``.

    An installed wheel carries them under ``lensaudit/builtin``; a source checkout keeps them at its top level.
    """
    for folder in (_PACKAGE / "builtin" / name, _PACKAGE.parent / name):
        if folder.is_dir():
            return folder
    raise UsageError(f"built-in folder '{name}' is missing from this installation; install lensaudit again")
