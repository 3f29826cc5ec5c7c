"""A set whose files were changed by hand or by another program: seen on opening, on reading, or by the full check."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from lensaudit.errors import DataError
from lensaudit.lensset import BandHeader, CatalogueColumn, Header, LensSet, LensSetWriter, Records, chunk_for
from lensaudit.lensset.check import check_set
from lensaudit.lensset.coordinates import plain_wcs

N, SIDE = 20, 6
BANDS = ("J", "H")
CARDS = plain_wcs((SIDE, SIDE), 0.3).to_header().tostring(sep="\n", endcard=False, padding=False)


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    """20 systems in two bands of one shape, in chunks of 8; the first chunk's truth is empty."""
    root = tmp_path_factory.mktemp("check") / "set"
    columns = (
        CatalogueColumn(name="label", unit="", description="", dtype="int8"),
        CatalogueColumn(name="z_lens", unit="", description="", dtype="float64"),
    )
    header = Header(
        instrument="euclid",
        bands=tuple(BandHeader(name=b, shape=(SIDE, SIDE), pixel_scale_arcsec=0.3, unit="e") for b in BANDS),
        n=N,
        chunk=chunk_for(N),
        has_wcs=True,
        has_truth=True,
        columns=columns,
    )
    writer = LensSetWriter(root, header)
    writer.start()
    for chunk in range(header.n_chunks):
        span = header.span(chunk)
        m = span.stop - span.start
        images = {
            band: np.random.default_rng([k, chunk]).normal(size=(m, SIDE, SIDE)).astype(np.float32)
            for k, band in enumerate(BANDS)
        }
        light = {band: np.where(chunk > 0, pixels, 0).astype(np.float32) for band, pixels in images.items()}
        writer.write(
            chunk,
            Records(
                ids=[f"s{i}" for i in range(span.start, span.stop)],
                images=images,
                rows=[{"label": i % 2, "z_lens": i / 10} for i in range(span.start, span.stop)],
                source_light=light,
                mask={band: pixels > 0 for band, pixels in light.items()},
                wcs=[dict.fromkeys(BANDS, CARDS)] * m,
            ),
        )
    writer.finish()
    return root


@pytest.fixture(params=["with checksums", "of an earlier version"])
def changed(sound: Path, tmp_path: Path, request) -> Path:
    """A copy to damage, once with and once without the checksums of the files."""
    root = tmp_path / "set"
    shutil.copytree(sound, root)
    if request.param == "of an earlier version":
        edit_header(root, lambda words: words.pop("checksums"))
    return root


def edit_header(root: Path, change) -> None:
    words = json.loads((root / "lensset.json").read_text())
    change(words)
    (root / "lensset.json").write_text(json.dumps(words))


def rewrite(root: Path, change) -> None:
    path = root / "catalogue.parquet"
    pq.write_table(change(pq.read_table(path)), path)


def with_column(name: str, values, kind: pa.DataType | None = None):
    def change(table: pa.Table) -> pa.Table:
        column = pa.array(values, kind or table.schema.field(name).type)
        return table.set_column(table.schema.get_field_index(name), pa.field(name, column.type), column)

    return change


def swap(root: Path, one: str, other: str) -> None:
    os.rename(root / one, root / "between")
    os.rename(root / other, root / one)
    os.rename(root / "between", root / other)


LABELS = [i % 2 for i in range(N)]
HARMS = {
    "rows shuffled": lambda root: rewrite(root, lambda t: t.take(np.random.default_rng(1).permutation(N))),
    "ids reversed": lambda root: rewrite(root, with_column("id", [f"s{i}" for i in reversed(range(N))])),
    "one id twice": lambda root: rewrite(root, with_column("id", ["s1", *[f"s{i}" for i in range(1, N)]])),
    "an id empty": lambda root: rewrite(root, with_column("id", [None, *[f"s{i}" for i in range(1, N)]])),
    "label 2": lambda root: rewrite(root, with_column("label", [2, *LABELS[1:]])),
    "label .5": lambda root: rewrite(root, with_column("label", [0.5, *LABELS[1:]], pa.float64())),
    "label NaN": lambda root: rewrite(root, with_column("label", [float("nan"), *LABELS[1:]], pa.float64())),
    "label None": lambda root: rewrite(root, with_column("label", [None, *LABELS[1:]])),
    "label text": lambda root: rewrite(root, with_column("label", [str(x) for x in LABELS], pa.string())),
    "labels swapped": lambda root: rewrite(root, with_column("label", [1 - x for x in LABELS])),
    "a value changed": lambda root: rewrite(root, with_column("z_lens", [9.0, *[i / 10 for i in range(1, N)]])),
    "a column more": lambda root: rewrite(root, lambda t: t.append_column("more", pa.array(range(N)))),
    "a column less": lambda root: rewrite(root, lambda t: t.drop_columns(["z_lens"])),
    "columns in another order": lambda root: rewrite(root, lambda t: t.select(["id", "z_lens", "label"])),
    "a row less": lambda root: rewrite(root, lambda t: t.slice(1)),
    "catalogue torn": lambda root: os.truncate(root / "catalogue.parquet", 300),
    "chunks swapped": lambda root: swap(root, "images/J/c/0/0/0", "images/J/c/1/0/0"),
    "bands swapped": lambda root: swap(root, "images/J", "images/H"),
    "truth of bands swapped": lambda root: swap(root, "truth/source_light/J", "truth/source_light/H"),
    "a chunk gone": lambda root: (root / "images/J/c/1/0/0").unlink(),
    "an empty truth chunk gone": lambda root: (root / "truth/mask/J/c/0/0/0").unlink(),
    "wcs lines swapped": lambda root: (root / "wcs.jsonl").write_text(
        json.dumps({"J": CARDS}) + "\n" + "".join((root / "wcs.jsonl").read_text().splitlines(keepends=True)[1:])
    ),
    "wcs no JSON": lambda root: (root / "wcs.jsonl").write_text("{\n" * N),
    "wcs a list": lambda root: (root / "wcs.jsonl").write_text("[]\n" * N),
    "wcs a line less": lambda root: (root / "wcs.jsonl").write_text("{}\n" * (N - 1)),
    "pixel scale changed": lambda root: edit_header(root, lambda w: w["bands"][0].update(pixel_scale_arcsec=0.1)),
    "bands renamed": lambda root: edit_header(root, lambda w: w["bands"][0].update(name="Y")),
    "content hash changed": lambda root: edit_header(root, lambda w: w.update(content_hash="0" * 64)),
    "content hash gone": lambda root: edit_header(root, lambda w: w.update(content_hash=None)),
    "n absurd": lambda root: edit_header(root, lambda w: w.update(n=10**18)),
    "shape absurd": lambda root: edit_header(root, lambda w: w["bands"][0].update(shape=[10**6, 10**6])),
    "pixel scale infinite": lambda root: edit_header(root, lambda w: w["bands"][0].update(pixel_scale_arcsec=1e300)),
    "header a list": lambda root: (root / "lensset.json").write_text("[1]"),
}


@pytest.mark.parametrize("harm", HARMS)
def test_the_full_check_sees_every_change(changed: Path, harm: str):
    HARMS[harm](changed)
    with pytest.raises(DataError) as refused:
        check_set(changed)
    assert str(refused.value).startswith(str(changed))
    assert str(refused.value).isprintable()


OPENED = ("rows shuffled", "ids reversed", "labels swapped", "a value changed", "pixel scale changed")


@pytest.mark.parametrize("harm", OPENED)
def test_new_sets_are_checked_when_they_are_opened(sound: Path, tmp_path: Path, harm: str):
    shutil.copytree(sound, tmp_path / "set")
    HARMS[harm](tmp_path / "set")
    with pytest.raises(DataError, match="was changed after the set was made"):
        LensSet.open(tmp_path / "set")


def test_swapped_pixels_are_refused_when_they_are_read(sound: Path, tmp_path: Path):
    shutil.copytree(sound, tmp_path / "set")
    swap(tmp_path / "set", "images/J", "images/H")
    with pytest.raises(DataError, match="holds other pixels than when the set was made"):
        LensSet.open(tmp_path / "set").images("J", 0)


@pytest.mark.parametrize("harm", ["label 2", "label None", "one id twice", "an id empty"])
def test_labels_and_ids_of_old_sets_are_checked_where_they_are_read(sound: Path, tmp_path: Path, harm: str):
    shutil.copytree(sound, tmp_path / "set")
    edit_header(tmp_path / "set", lambda words: words.pop("checksums"))
    HARMS[harm](tmp_path / "set")
    opened = LensSet.open(tmp_path / "set")
    with pytest.raises(DataError, match=r"row 1|there twice"):
        assert opened.labels is not opened.ids


def test_a_sound_set_says_what_it_holds(changed: Path, lensaudit):
    found = check_set(changed)
    assert (found.n, found.lenses, found.non_lenses, found.unlabelled) == (N, 10, 10, 0)
    assert found.not_finite == {"J": 0, "H": 0}
    code, out, _ = lensaudit("check", changed, "--json")
    assert code == 0
    assert json.loads(out) == {**found.as_json(), "bands": list(BANDS), "psf": [], "rms": []}
    code, out, _ = lensaudit("check", changed)
    assert "sound; 20 systems of euclid in J, H, with truth, WCS" in out
    swap(changed, "images/J/c/0/0/0", "images/J/c/1/0/0")
    code, out, err = lensaudit("check", changed)
    assert code == 3
    assert len([line for line in err.splitlines() if line.startswith("lensaudit: ")]) == 1


def test_a_chunk_without_lenses_has_its_truth(sound: Path):
    """zarr 3.1 leaves out chunks of zeros unless it is told at every opening."""
    assert not LensSet.open(sound).mask("J", slice(0, 8)).any()


def test_columns_of_a_rewritten_catalogue_are_those_of_the_header(sound: Path):
    table = pq.read_table(sound / "catalogue.parquet")
    assert pc.sum(table["label"]).as_py() == int(LensSet.open(sound).labels.sum()) == 10
