"""What a file is by its first bytes: genuine files of each kind, written by the library whose kind it is."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import pickle
import socket
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from astropy.io import fits
from astropy.table import Table
from matplotlib.figure import Figure
from safetensors.torch import save

from lensaudit.errors import UsageError
from lensaudit.untrusted import kind_of, other_kind, regular_size

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"
PAGE = b"\xef\xbb\xbf\n<!-- saved -->\n<!DOCTYPE html>\n<html><head><title>404</title></head></html>"
TENSORS = {"0.weight": torch.zeros(3)}


def written(write) -> bytes:
    stream = io.BytesIO()
    write(stream)
    return stream.getvalue()


def zipped(name: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, "x")
    return stream.getvalue()


def tar(stream: io.BytesIO) -> None:
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("x"))


def legacy(stream: io.BytesIO) -> None:
    torch.save(TENSORS, stream, _use_new_zipfile_serialization=False)


FILES = {
    "empty": b"",
    "html": PAGE,
    "lfs": LFS,
    "annex": b"/annex/objects/SHA256E-s1--ab.fits\n",
    "fits": written(fits.PrimaryHDU(np.zeros((3, 3))).writeto),
    "gzip": gzip.compress(b"x"),
    "bzip2": bz2.compress(b"x"),
    "xz": lzma.compress(b"x"),
    "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(8),
    "onnx": b"\x08\x08\x12\x07pytorch\x1a\x052.1.0:",
    "npy": written(lambda stream: np.save(stream, np.zeros(3))),
    "npz": written(lambda stream: np.savez(stream, a=np.zeros(3))),
    "zip": zipped("lens.fits"),
    "keras": zipped("metadata.json"),
    "torch": written(lambda stream: torch.save(TENSORS, stream)),
    "torch before 1.6": written(legacy),
    "pickle": pickle.dumps({"a": 1}),
    "safetensors": save(TENSORS),
    "safetensors of a header as long as a pickle begins": (640).to_bytes(8, "little") + b"{}".ljust(640),
    "png": written(lambda stream: Figure((1, 1)).savefig(stream, format="png")),
    "pdf": b"%PDF-1.7\n",
    "jpeg": b"\xff\xd8\xff\xe0\x00\x10JFIF\0",
    "tiff": b"II*\0\x08\0\0\0",
    "tar": written(tar),
    "parquet": written(lambda stream: pq.write_table(pa.table({"a": [1]}), stream)),
    "csv": "id;label\nα;1\n".encode(),
    "text": b"hello\n",
    "json": b'{"a": 1}',
    "votable": written(lambda stream: Table({"a": [1]}).write(stream, format="votable")),
    "unknown": bytes(range(256)),
}


@pytest.mark.parametrize("name", FILES)
def test_each_kind_is_named(tmp_path, name):
    path = tmp_path / "file"
    path.write_bytes(FILES[name])
    kind = kind_of(path)
    assert kind.key == name.split()[0]
    assert other_kind(path, "the file that is needed", kind.key) is None
    said = other_kind(path, "the file that is needed")
    assert said == f"{path}: is {kind.words}, not the file that is needed; {kind.fix or 'give the file that is needed'}"


def test_a_name_is_not_believed(tmp_path):
    path = tmp_path / "lens.fits"
    path.write_bytes(PAGE)
    assert "is an HTML page, not a FITS file; the server answered with a page" in str(other_kind(path, "a FITS file"))


def test_only_regular_files_are_opened(tmp_path):
    pipe, plug = tmp_path / "pipe", tmp_path / "socket"
    os.mkfifo(pipe)  # opening it would wait for a writer for ever
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(plug))
        for path, words in ((pipe, "a named pipe"), (plug, "a socket"), (Path("/dev/zero"), "a device")):
            with pytest.raises(UsageError, match=f"is {words}, a regular file is needed"):
                kind_of(path)
    with pytest.raises(UsageError, match="is a folder"):
        kind_of(tmp_path)
    with pytest.raises(UsageError, match="no such file"):
        kind_of(tmp_path / "nothing")
    with pytest.raises(UsageError, match="cannot be read"):
        kind_of(Path("a\0b"))
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "file").write_bytes(b"123")
    assert regular_size(tmp_path / "link") == 3
