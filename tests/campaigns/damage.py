"""Damage that any file may suffer: flipped bits, a cut, zeros, another kind of file, a pipe in its place."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Rng = np.random.Generator


@dataclass(frozen=True)
class Mutator:
    """One way to change a file; `wrong` where what comes out can never be taken."""

    name: str
    change: Callable[[Path, Rng], str]
    wrong: bool = False


def rewrite(path: Path, data: bytes) -> None:
    """Put `data` at `path` as a new file: the old one may be linked to the original."""
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def flip(path: Path, rng: Rng) -> str:
    data = bytearray(path.read_bytes())
    places = rng.integers(0, max(len(data), 1), int(rng.integers(1, 9)))
    for place in places[: len(data)]:
        data[place] ^= 1 << int(rng.integers(8))
    rewrite(path, bytes(data))
    return f"bits flipped in bytes {sorted(map(int, places))}"


def cut(path: Path, rng: Rng) -> str:
    data = path.read_bytes()
    kept = int(rng.integers(0, max(len(data), 1)))
    rewrite(path, data[:kept])
    return f"cut to {kept} of {len(data)} bytes"


def _zeros(path: Path, rng: Rng) -> str:
    data = bytearray(path.read_bytes())
    first = int(rng.integers(0, max(len(data), 1)))
    size = int(rng.integers(1, 4096))
    data[first : first + size] = bytes(len(data[first : first + size]))
    rewrite(path, bytes(data))
    return f"zeros at bytes {first} … {first + size}"


def _insert(path: Path, rng: Rng) -> str:
    data = path.read_bytes()
    first = int(rng.integers(0, len(data) + 1))
    rewrite(path, data[:first] + rng.bytes(int(rng.integers(1, 64))) + data[first:])
    return f"bytes inserted at {first}"


def _doubled(path: Path, rng: Rng) -> str:
    data = path.read_bytes()
    rewrite(path, data + data)
    return "file twice in a row"


OTHER_KINDS: dict[str, bytes] = {
    "empty": b"",
    "HTML": b"<!DOCTYPE html>\n<html><head><title>404</title></head><body>not found</body></html>\n",
    "LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 123\n",
    "PNG": b"\x89PNG\r\n\x1a\n" + bytes(64),
    "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(64),
    "npy": b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }" + b" " * 60,
    "gzip": gzip.compress(b"hello", mtime=0),
    "zip": b"PK\x03\x04" + bytes(64),
    "FITS": b"SIMPLE  =                    T" + b" " * 2850,
    "pickle": b"\x80\x04\x95\x1d\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.",
    "UTF-16": "to whom it may concern\n".encode("utf-16"),  # a table in it would be read
    "text": b"to whom it may concern\n",
    "JSON list": b"[1, 2, 3]",
    "JSON number": b"12",
    "nested": b"[" * 100_000,
}


def _other_kind(path: Path, rng: Rng) -> str:
    name = str(rng.choice(list(OTHER_KINDS)))
    rewrite(path, OTHER_KINDS[name])
    return f"another kind of file: {name}"


SPECIAL = ("pipe", "device", "folder", "loop", "dangling")


def make_special(path: Path, kind: str) -> None:
    """Put one of `SPECIAL` in the place of a file."""
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to({"device": Path("/dev/zero"), "loop": path, "dangling": Path("nowhere")}[kind])


def _special(path: Path, rng: Rng) -> str:
    kind = str(rng.choice(SPECIAL))
    make_special(path, kind)
    return f"a {kind} in its place"


BYTES = (
    Mutator("flip", flip),
    Mutator("truncate", cut),
    Mutator("zeros", _zeros),
    Mutator("insert", _insert),
    Mutator("doubled", _doubled),
    Mutator("other kind", _other_kind, wrong=True),
    Mutator("special file", _special, wrong=True),
)
