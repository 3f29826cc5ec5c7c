"""Seeded damage to files of weights: PyTorch archives and older files, safetensors, ``finder.yaml``.

``PYTHONPATH=.:tests/finders python -m weights_mutations 1000`` runs as many and prints what became of them.
"""

from __future__ import annotations

import io
import json
import random
import resource
import struct
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch
import yaml

from lensaudit.errors import LensauditError
from lensaudit.finders import Finder, initialised_module, load_finder, load_recipe, read_published, save_finder

RECIPE = "petrillo"
SLOW_S = 5.0
LARGE_MB = 300.0


class Case:
    """A good file, a way to damage it and a way to read it."""

    def __init__(self, root: Path) -> None:
        recipe = load_recipe(RECIPE).model_copy(update={"size": 29})
        module = initialised_module(recipe, torch.Generator().manual_seed(1))
        statistics = {"mean": torch.rand(1, 29, 29, generator=torch.Generator().manual_seed(2)), "sigma": torch.ones(1)}
        self.finder = Finder(recipe, module, "test", statistics=statistics)
        self.state = {**module.state_dict(), **{f"preprocessing.{name}": value for name, value in statistics.items()}}
        self.folder = root / "finder"
        save_finder(self.finder, self.folder, origin="a test")
        self.good = {path.name: path.read_bytes() for path in self.folder.iterdir()}
        torch.save(self.state, root / "w.pt")
        torch.save(self.state, root / "old.pt", _use_new_zipfile_serialization=False)
        self.zip, self.legacy = (root / "w.pt").read_bytes(), (root / "old.pt").read_bytes()
        self.file = root / "damaged.pt"

    def read(self, kind: str, rng: random.Random) -> Callable[[], Finder]:
        """Write one damaged file; what is returned reads it."""
        for name, data in self.good.items():
            (self.folder / name).write_bytes(data)
        if kind in ("zip", "pickle", "legacy"):
            damaged = _in_pickle(self.zip, rng) if kind == "pickle" else _bytes(getattr(self, kind), rng)
            self.file.write_bytes(damaged)
            return lambda: read_published(self.file, self.finder.recipe)
        name = "finder.yaml" if kind == "yaml" else "weights.safetensors"
        change = {"yaml": _in_yaml, "header": _in_header, "safetensors": _bytes}[kind]
        (self.folder / name).write_bytes(change(self.good[name], rng))
        return lambda: load_finder(str(self.folder))


KINDS = ("zip", "pickle", "legacy", "header", "safetensors", "yaml")


def _bytes(data: bytes, rng: random.Random) -> bytes:
    """Flipped, cut, doubled or shifted, most often where the structure is: in the first and last kilobytes."""
    place = rng.choice(
        [rng.randrange(len(data)), rng.randrange(min(3000, len(data))), len(data) - rng.randrange(1, 3000)]
    )
    deed = rng.randrange(5)
    if deed == 0:
        return data[:place]
    if deed == 1:
        return data[:place] + rng.randbytes(rng.randrange(1, 40)) + data[place:]
    if deed == 2:
        return data[:place] + data[place + rng.randrange(1, 200) :]
    changed = bytearray(data)
    for step in range(1 if deed == 3 else 8):
        changed[(place + 7 * step) % len(changed)] = rng.choice([0, 0x7F, 0x80, 0xFF, rng.randrange(256)])
    return bytes(changed)


def _in_pickle(data: bytes, rng: random.Random) -> bytes:
    """The archive with another pickle and right checksums, so that torch's reader has to make sense of it."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as good, zipfile.ZipFile(out, "w") as packed:
        for name in good.namelist():
            content = good.read(name)
            packed.writestr(name, _bytes(content, rng) if name.endswith("data.pkl") else content)
    return out.getvalue()


def _in_header(data: bytes, rng: random.Random) -> bytes:
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    name = rng.choice([name for name in header if name != "__metadata__"])
    field = rng.choice(["dtype", "shape", "data_offsets", "name", "length"])
    if field == "dtype":
        header[name][field] = rng.choice(["F8_E4M3", "F64", "I64", "BOOL", "C64", "U8", "F4", "F16", "", None, 7])
    elif field == "shape":
        header[name][field] = rng.choice([[], [-1], [10**12], [2**62, 4], [0], [1] * 90, ["a"], None, [1.5]])
    elif field == "data_offsets":
        header[name][field] = rng.choice([[0, 10**15], [-4, 4], [8, 0], [0], [0, 2**63], None, ["a", "b"]])
    elif field == "name":
        header[rng.choice(["../evil", "a\x1b[31m", "x" * 5000, "\n", ""])] = header.pop(name)
    words = json.dumps(header).encode()
    length = rng.choice([0, 2**40, 2**63, 1, len(words) - 1]) if field == "length" else len(words)
    return struct.pack("<Q", length) + words + data[8 + size :]


_SCALARS = (
    None, True, -1, 0, 1, 2, 10**9, 10**30, -(10**30), 1.5, 1e308, float("nan"), float("inf"), "", "x", "../evil", [],
    {}, [1], {"a": 1}, "ou66", "cae-bgm", "ou-tsne", "transfer", "custom", "noise", "clip-log", "native", "lastro",
    "\x1b[31m",
)  # fmt: skip


def _in_yaml(data: bytes, rng: random.Random) -> bytes:
    words = yaml.safe_load(data)
    place = words["recipe"] if rng.random() < 0.85 else words
    key = rng.choice([*place, "architecture_options", "members", "pixel_unit", "symmetrise", "extra_inputs"])
    value = rng.choice(_SCALARS)
    if key == "architecture_options":
        option = rng.choice(["dropout", "filters", "embedding", "references", "cells", "native_pixels", "body", "lift"])
        value = {option: value}
        place["architecture"] = rng.choice(["cae-bgm", "lastro", "transfer", "ou-tsne", "epfl-resnet", "petrillo"])
        place["size"] = rng.choice([1, 8, 29, 4096])
    place[key] = value
    return yaml.safe_dump(words).encode()


def run(number: int, seed: int, say: bool = False) -> Counter[str]:
    """Damage and read `number` files in turn; what became of them, faults by name.

    ``refused``: one line of ours; ``same``: read as the weights they were; ``other``: read as finite weights of the
    right shapes, as of a file that somebody wrote so. ``traceback``, ``slow``, ``large`` and ``lines`` are faults.
    """
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        case = Case(Path(folder))
        for index in range(number):
            kind = KINDS[index % len(KINDS)]
            rng = random.Random(f"{seed} {index}")
            reads = case.read(kind, rng)
            start, before = time.perf_counter(), _peak_mb()
            try:
                word = "same" if reads().weights_hash == case.finder.weights_hash else "other"
            except LensauditError as refused:
                word = "lines" if "\n" in str(refused) or not str(refused).isprintable() else "refused"
                if say and word == "lines":
                    print(index, kind, repr(str(refused)))
            except Exception:
                word = "traceback"
                if say:
                    print(index, kind)
                    traceback.print_exc()
            found[f"{word}" if word in ("traceback", "lines") else f"{kind}: {word}"] += 1
            found["slow"] += time.perf_counter() - start > SLOW_S
            found["large"] += _peak_mb() - before > LARGE_MB
    return found


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    begun = time.perf_counter()
    for what, count in sorted(run(int(sys.argv[1]), 0, say=True).items()):
        print(f"{what:24} {count}")
    print(f"{time.perf_counter() - begun:.1f} s, at most {_peak_mb():.0f} MB")
