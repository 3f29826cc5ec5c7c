"""Cutouts written as every container that is read in place, with its declaration: by the libraries that people use."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

Images = Mapping[str, NDArray[np.float32]]

SCALE = 0.5


@dataclass(frozen=True)
class Sample:
    """Images (n, h, w) by band, ids, labels and right ascensions."""

    images: Images
    ids: list[str]
    labels: list[int]
    ra: list[float]

    @classmethod
    def drawn(cls, n: int = 11, side: int = 12, bands: tuple[str, ...] = ("VIS", "H")) -> Sample:
        """Seeded noise of several types of scenes; ids of no order."""
        rng = np.random.default_rng(7)
        images = {band: rng.normal(size=(n, side, side)).astype(np.float32) for band in bands}
        ids = [f"J{(37 * i) % 101:03d}-{i}" for i in range(n)]
        return cls(images, ids, [(i % 3) - 1 for i in range(n)], [10 + i / 7 for i in range(n)])

    @property
    def stack(self) -> NDArray[np.float32]:
        """(n, bands, h, w), of bands that are alike."""
        return np.stack(list(self.images.values()), axis=1)


def declare(path: Path, sample: Sample, **words: Any) -> Path:
    """Write a declaration."""
    base = {"bands": list(sample.images), "pixel_scale_arcsec": SCALE, "unit": "electron / s", "zero_point_mag": 25.0}
    base |= {"instrument": "euclid"}
    path.write_text(yaml.safe_dump({name: value for name, value in (base | words).items() if value is not None}))
    return path


_KNOWN: dict[str, Any] = {"ids": "name", "labels": "is_lens", "columns": {"ra": "deg"}}
_CATALOGUE: dict[str, Any] = {"catalogue": "catalogue.csv", **_KNOWN}


def _catalogue(folder: Path, sample: Sample, order: Callable[[int], int] = lambda i: i) -> None:
    rows = zip(sample.ids, sample.labels, sample.ra, strict=True)
    lines = [
        f"{name},{label},{ra!r}" for name, label, ra in sorted(rows, key=lambda row: order(sample.ids.index(row[0])))
    ]
    (folder / "catalogue.csv").write_text("\n".join(["name,is_lens,ra", *lines]) + "\n")


def hdf5(folder: Path, sample: Sample, images: NDArray[Any] | None = None, **words: Any) -> Path:
    """All bands in one dataset, bands first, chunked and packed."""
    import h5py

    with h5py.File(folder / "c.h5", "w") as file:
        stack = sample.stack if images is None else images
        file.create_dataset("data/images", data=stack, chunks=(2, *stack.shape[1:]), compression="gzip")
        file["data/images"].attrs["bands"] = list(sample.images)
        file["name"] = sample.ids
        file["is_lens"] = sample.labels
        file["ra"] = sample.ra
    return declare(folder / "c.yaml", sample, **({"data": "c.h5", "images": "data/images", **_KNOWN} | words))


def hdf5_last(folder: Path, sample: Sample) -> Path:
    """Bands last, as float64 of the other byte order."""
    return hdf5(folder, sample, np.moveaxis(sample.stack, 1, -1).astype(">f8"))


def hdf5_apart(folder: Path, sample: Sample, files: Mapping[str, slice] | None = None, **words: Any) -> Path:
    """A dataset for each band, over two files by default."""
    import h5py

    files = files or {"c0.h5": slice(0, 4), "c1.h5": slice(4, None)}
    for name, part in files.items():
        with h5py.File(folder / name, "w") as file:
            for band, images in sample.images.items():
                file[band] = images[part]
            file["name"] = sample.ids[part]
            file["is_lens"] = sample.labels[part]
            file["ra"] = sample.ra[part]
    images = {band: band for band in sample.images}
    return declare(folder / "c.yaml", sample, **({"data": "c*.h5", "images": images, **_KNOWN} | words))


def npy(folder: Path, sample: Sample) -> Path:
    """One array, with ids and labels in others."""
    np.save(folder / "c.npy", sample.stack)
    np.save(folder / "name.npy", np.array(sample.ids))
    np.save(folder / "is_lens.npy", np.array(sample.labels))
    np.save(folder / "ra.npy", np.array(sample.ra))
    return declare(folder / "c.yaml", sample, data="c.npy", ids="name.npy", labels="is_lens.npy")


def npy_apart(folder: Path, sample: Sample) -> Path:
    """An array for each band, with a catalogue in the same order."""
    for band, images in sample.images.items():
        np.save(folder / f"{band}.npy", images.astype(">f4"))
    _catalogue(folder, sample)
    images = {band: f"{band}.npy" for band in sample.images}
    return declare(folder / "c.yaml", sample, data=f"{next(iter(images))}.npy", images=images, **_CATALOGUE)


def npz(folder: Path, sample: Sample, save: Callable[..., None] = np.savez) -> Path:
    """Plain arrays of a member each."""
    save(folder / "c.npz", images=sample.stack, name=sample.ids, is_lens=sample.labels, ra=sample.ra)
    return declare(folder / "c.yaml", sample, data="c.npz", images="images", **_KNOWN)


def npz_packed(folder: Path, sample: Sample) -> Path:
    """The same, packed."""
    return npz(folder, sample, np.savez_compressed)


def fits_folder(folder: Path, sample: Sample) -> Path:
    """A file for each system, an extension for each band, with a catalogue in another order."""
    from astropy.io import fits

    (folder / "cutouts").mkdir()
    for row, name in enumerate(sample.ids):
        hdus = [fits.ImageHDU(images[row], name=band) for band, images in sample.images.items()]
        fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(folder / f"cutouts/{name}_cut.fits")
    _catalogue(folder, sample, lambda i: -i)
    images = {band: f"*_cut.fits[{band}]" for band in sample.images}
    return declare(folder / "c.yaml", sample, data="cutouts", format="fits", images=images, **_CATALOGUE)


def fits_table(folder: Path, sample: Sample) -> Path:
    """A binary table with an image column for each band."""
    from astropy.table import Table

    table = Table({"name": sample.ids, "is_lens": sample.labels, "ra": sample.ra, **sample.images})
    table.write(folder / "c.fits")
    images = {band: band for band in sample.images}
    return declare(folder / "c.yaml", sample, data="c.fits", format="fits-table", images=images, **_KNOWN)


def fits_listed(folder: Path, sample: Sample) -> Path:
    """A table that names files."""
    fits_folder(folder, sample)
    rows = zip(sample.ids, sample.labels, sample.ra, strict=True)
    lines = [
        ",".join([name, str(label), repr(ra), *(f"cutouts/{name}_cut.fits[{band}]" for band in sample.images)])
        for name, label, ra in rows
    ]
    head = ",".join(["name", "is_lens", "ra", *sample.images])
    (folder / "list.csv").write_text("\n".join([head, *lines]) + "\n")
    images = {band: band for band in sample.images}
    return declare(folder / "list.yaml", sample, data="list.csv", format="fits-table", images=images, **_KNOWN)


def fits_cube(folder: Path, sample: Sample) -> Path:
    """A cube for each band in one file."""
    from astropy.io import fits

    hdus = [fits.ImageHDU(images, name=band) for band, images in sample.images.items()]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(folder / "c.fits")
    _catalogue(folder, sample)
    images = {band: band for band in sample.images}
    return declare(folder / "c.yaml", sample, data="c.fits", format="fits-cube", images=images, **_CATALOGUE)


def webdataset(folder: Path, sample: Sample, shards: int = 2) -> Path:
    """Shards with an array for each band and a JSON for the rest."""
    n = len(sample.ids)
    for shard in range(shards):
        with tarfile.open(folder / f"c-{shard:03d}.tar", "w") as archive:
            for row in range(shard * n // shards, (shard + 1) * n // shards):
                for band, images in sample.images.items():
                    add(archive, f"{sample.ids[row]}.{band}.npy", as_npy(images[row]))
                words = {"is_lens": sample.labels[row], "ra": sample.ra[row]}
                add(archive, f"{sample.ids[row]}.json", json.dumps(words).encode())
    images = {band: f"{band}.npy" for band in sample.images}
    words = {"labels": "is_lens", "columns": {"ra": "deg"}}
    return declare(folder / "c.yaml", sample, data="c-*.tar", images=images, **words)


def as_npy(image: NDArray[Any]) -> bytes:
    """An array in numpy's format."""
    stream = io.BytesIO()
    np.save(stream, image)
    return stream.getvalue()


def add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    """Add a member."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))


def parquet(folder: Path, sample: Sample) -> Path:
    """A column of plain lists for each band, of lists of lists where bands differ in size; in row groups of 4."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {"name": sample.ids, "is_lens": sample.labels, "ra": sample.ra}
    flat = len({images.shape for images in sample.images.values()}) == 1
    row = pa.list_(pa.float32())
    for band, images in sample.images.items():
        cells = images.reshape(len(images), -1) if flat else images
        columns[band] = pa.array(cells.tolist(), row if flat else pa.list_(row))
    pq.write_table(pa.table(columns), folder / "c.parquet", row_group_size=4)
    shape = list(sample.stack.shape[-2:]) if flat else None
    images = {band: band for band in sample.images}
    return declare(folder / "c.yaml", sample, data="c.parquet", images=images, shape=shape, **_KNOWN)


def hats(folder: Path, sample: Sample) -> Path:
    """Partitions Norder=/Dir=/Npix=, with tensors in lists of lists; Npix 9 comes before Npix 10."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    n, at = len(sample.ids), 6
    kind = pa.list_(pa.list_(pa.list_(pa.float32())))
    for pixel, part in ((9, slice(0, at)), (10, slice(at, n))):
        place = folder / f"survey/dataset/Norder=1/Dir=0/Npix={pixel}.parquet"
        place.parent.mkdir(parents=True, exist_ok=True)
        columns = {"name": sample.ids[part], "is_lens": sample.labels[part], "ra": sample.ra[part]}
        pq.write_table(pa.table(columns | {"cutout": pa.array(sample.stack[part].tolist(), kind)}), place)
    (folder / "survey/dataset/_metadata").write_bytes(b"PAR1")
    return declare(folder / "survey.yaml", sample, data="survey", images="cutout", **_KNOWN)


def huggingface(folder: Path, sample: Sample) -> Path:
    """As ``save_to_disk`` writes it: Arrow streams, ``state.json``, ``dataset_info.json``; labels are classes."""
    import pyarrow as pa

    kind = pa.list_(pa.list_(pa.list_(pa.float32())))
    (folder / "c").mkdir()
    names = []
    for number, part in enumerate((slice(0, 5), slice(5, len(sample.ids)))):
        table = pa.table(
            {
                "name": sample.ids[part],
                "is_lens": [label + 1 for label in sample.labels[part]],
                "ra": sample.ra[part],
                "image": pa.array(sample.stack[part].tolist(), kind),
            }
        )
        names.append(f"data-{number:05d}-of-00002.arrow")
        with pa.OSFile(str(folder / "c" / names[-1]), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=3)
    (folder / "c/state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))
    classes = {"names": ["unknown", "non-lens", "lens"], "_type": "ClassLabel"}
    features = {"is_lens": classes, "image": {"shape": list(sample.stack.shape[1:]), "_type": "Array3D"}}
    (folder / "c/dataset_info.json").write_text(json.dumps({"features": features}))
    return declare(folder / "c.yaml", sample, data="c", images="image", **_KNOWN)


EXACT: dict[str, Callable[[Path, Sample], Path]] = {
    one.__name__: one
    for one in (
        hdf5, hdf5_last, hdf5_apart, npy, npy_apart, npz, npz_packed, fits_folder, fits_table, fits_listed, fits_cube,
        webdataset, parquet, hats, huggingface,
    )
}  # fmt: skip
"""Containers that keep float32 as it is."""


def pictures(folder: Path, sample: Sample, end: str = "png") -> Path:
    """Folders of pictures called by their label; bands are channels, 8 bits."""
    from PIL import Image

    for name, label, image in zip(sample.ids, sample.labels, as_bytes(sample), strict=True):
        place = folder / "pictures" / {1: "lens", 0: "non-lens", -1: "unknown"}[label]
        place.mkdir(parents=True, exist_ok=True)
        shown = image[..., 0] if image.shape[-1] == 1 else image  # grey
        Image.fromarray(shown).save(place / f"{name}.{end}", **({"quality": 95} if end == "jpg" else {}))
    return declare(folder / "pictures.yaml", sample, data="pictures", format="pictures", labels="folder")


def as_bytes(sample: Sample) -> NDArray[np.uint8]:
    """(n, h, w, bands): from −4 to 4 over 0 to 255, rounded."""
    return np.moveaxis(((sample.stack + 4) * (255 / 8)).round().clip(0, 255), 1, -1).astype(np.uint8)
