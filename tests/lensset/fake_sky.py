"""A sky that costs nothing: pixels and truth drawn from (seed, i) alone. Stands in for scenes and imaging."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lensaudit.cli import app
from lensaudit.errors import DataError
from lensaudit.lensset.header import BandHeader, CatalogueColumn, Header, PsfHeader, RmsHeader, chunk_for
from lensaudit.lensset.simulation import write_chunks
from lensaudit.lensset.writer import LensSetWriter, Records

SHAPES = {"VIS": (20, 20), "H": (7, 7)}
COLUMNS = (
    CatalogueColumn(name="label", unit="", description="1 lens, 0 non-lens", dtype="int64"),
    CatalogueColumn(name="kind", unit="", description="what it is", dtype="str"),
    CatalogueColumn(name="theta_e_arcsec", unit="arcsec", description="Einstein radius", dtype="float64"),
    CatalogueColumn(name="arc_snr", unit="", description="S/N of the arc", dtype="float32"),
)


PSF_SIDE = {"VIS": 5, "H": 3}
PER_CUTOUT = {"VIS": True, "H": False}
"""Whether each cutout has its own point-spread function and noise map, or one does for the set."""


def header(n: int, seed: int = 1, **changes) -> Header:
    bands = tuple(
        BandHeader(
            name=name,
            shape=shape,
            pixel_scale_arcsec=2 / shape[0],
            zero_point_mag=24.0,
            unit="electron / s",
            psf=PsfHeader(side=PSF_SIDE[name], per_cutout=PER_CUTOUT[name]),
            rms=RmsHeader(per_cutout=PER_CUTOUT[name]),
        )
        for name, shape in SHAPES.items()
    )
    fields = {
        "instrument": "euclid",
        "bands": bands,
        "n": n,
        "chunk": chunk_for(n),
        "seed": seed,
        "population": "fake",
        "has_truth": True,
        "has_scenes": True,
        "columns": COLUMNS,
        "provenance": {"command": f"fake {n} {seed}"},
    }
    return Header(**(fields | changes))


def pixels(seed: int, i: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng([seed, i])
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in SHAPES.items()}


def survey(kind: str, name: str, systems: range) -> np.ndarray:
    """Point-spread functions or noise maps of a band: of these systems, or the one of the set."""
    shape = (PSF_SIDE[name],) * 2 if kind == "psf" else SHAPES[name]
    drawn = [np.random.default_rng([7, i]).uniform(1, 2, shape) for i in (systems if PER_CUTOUT[name] else (0,))]
    return np.stack(drawn).astype(np.float32)


def row(i: int) -> dict[str, object]:
    lens = i % 2
    return {
        "label": lens,
        "kind": "single" if lens else "spiral",
        "theta_e_arcsec": 0.5 + i / 7 if lens else float("nan"),
        "arc_snr": i / 3,
    }


def records(seed: int, span: slice) -> Records:
    systems = range(span.start, span.stop)
    cutouts = [pixels(seed, i) for i in systems]
    images = {name: np.stack([c[name] for c in cutouts]) for name in SHAPES}
    return Records(
        ids=[f"fake-{i:06d}" for i in systems],
        images=images,
        rows=[row(i) for i in systems],
        source_light={name: np.where(block > 1, block, 0).astype(np.float32) for name, block in images.items()},
        mask={name: block > 1 for name, block in images.items()},
        scenes=[{"kind": row(i)["kind"], "number": i} for i in systems],
        psf={name: survey("psf", name, systems) for name in SHAPES},
        rms={name: survey("rms", name, systems) for name in SHAPES},
    )


@dataclass(frozen=True)
class FakeTask:
    """Writes a chunk; `at_command`, one for each byte of standard input, and a byte of standard output once it lies."""

    root: Path
    header: Header
    at_command: bool = False

    def __call__(self, chunk: int) -> int:
        span = self.header.span(chunk)
        if self.at_command and not os.read(0, 1):
            os._exit(1)  # whoever commands has left
        LensSetWriter(self.root, self.header).write(chunk, records(self.header.seed, span))
        if self.at_command:
            os.write(1, b".")
        return span.stop - span.start


class Dying:
    """A task whose process dies, as one that the system kills for its memory."""

    def __call__(self, chunk: int) -> int:
        os._exit(9)


class Failing:
    """A task that refuses its data in chunk 1."""

    def __call__(self, chunk: int) -> int:
        if chunk == 1:
            raise DataError("chunk 1 is bad")
        return 1


def tree(root: Path) -> dict[str, bytes]:
    """Every file below `root` with its bytes, and every folder."""
    return {str(p.relative_to(root)): p.read_bytes() if p.is_file() else b"<folder>" for p in root.rglob("*")}


def main() -> None:
    """``fake_sky.py OUT N WORKERS``: a run at command, to be killed."""
    out, n, workers = sys.argv[1:]

    def run(**_: object) -> None:
        write_chunks(FakeTask(Path(out), header(int(n)), at_command=True), int(workers))

    app.build = lambda: run
    app.main()


if __name__ == "__main__":
    main()
