"""Reading a lens set: values against zarr and pyarrow themselves, and every kind of damage."""

from __future__ import annotations

import json
import pickle
import re
import shutil
from dataclasses import replace
from pathlib import Path

import fake_sky
import numpy as np
import pyarrow.parquet as pq
import pytest
import zarr

from lensaudit.errors import DataError, UsageError
from lensaudit.files import write_json
from lensaudit.lensset import LensSet, Records, chunk_for
from lensaudit.lensset.header import Skipped, read_header
from lensaudit.lensset.part import Part
from lensaudit.lensset.simulation import write_chunks
from lensaudit.lensset.writer import digest_of
from lensaudit.provenance import Provenance

N = 30


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("set") / "whole"
    write_chunks(fake_sky.FakeTask(out, fake_sky.header(N)))
    return out


@pytest.fixture
def damaged(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "damaged"))


def refusal(error: type[Exception], action) -> str:
    with pytest.raises(error) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_images_are_those_drawn(whole):
    s = LensSet.open(whole)
    for i in (0, 7, 8, N - 1):
        for band, pixels in fake_sky.pixels(1, i).items():
            np.testing.assert_array_equal(s.images(band, i)[0], pixels)


def test_our_reader_agrees_with_zarr(whole):
    s = LensSet.open(whole)
    group = zarr.open_group(str(whole), mode="r")
    rng = np.random.default_rng(0)
    for band in s.bands:
        oracle = group[f"images/{band}"][:]
        assert s.images(band, slice(None)).dtype == np.dtype("float32")
        for index in (slice(3, 19), slice(None, None, -2), rng.permutation(N), [5, 5, 2, 29], [-1], slice(4, 4)):
            np.testing.assert_array_equal(s.images(band, index), oracle[index])
            np.testing.assert_array_equal(s.source_light(band, index), group[f"truth/source_light/{band}"][:][index])
            np.testing.assert_array_equal(s.mask(band, index), group[f"truth/mask/{band}"][:][index])


def test_cutouts_and_facts(whole):
    s = LensSet.open(whole)
    cutouts = s.cutouts(slice(2, 5))
    assert {band: c.shape for band, c in cutouts.items()} == {"VIS": (3, 20, 20), "H": (3, 7, 7)}
    assert (len(s), s.bands, s.instrument, s.has_truth) == (N, ("VIS", "H"), "euclid", True)
    assert s.pixel_scale_arcsec["VIS"] == pytest.approx(0.1, rel=1e-12)  # 2″ over 20 pixels
    assert s.shape == {"VIS": (20, 20), "H": (7, 7)}
    assert s.index_of("fake-000011") == 11
    assert s.ids[11] == "fake-000011"


@pytest.mark.parametrize("size", [1, 7, 8, 64])
def test_batches_cover_the_set_once(whole, size):
    s = LensSet.open(whole)
    spans, blocks = zip(*((span, c["VIS"]) for span, c in s.batches(size)), strict=True)
    np.testing.assert_array_equal(np.concatenate(blocks), s.images("VIS", slice(None)))
    assert [i for span in spans for i in range(span.start, span.stop)] == list(range(N))
    refusal(UsageError, lambda: next(s.batches(0)))


def test_catalogue_has_units_in_its_schema(whole):
    schema = pq.read_schema(whole / "catalogue.parquet")
    assert json.loads(schema.metadata[b"units"])["theta_e_arcsec"] == "arcsec"
    assert schema.field("theta_e_arcsec").metadata[b"unit"] == b"arcsec"
    s = LensSet.open(whole)
    assert s.units["theta_e_arcsec"] == "arcsec"
    assert s.columns == ("id", "label", "kind", "theta_e_arcsec", "arc_snr")


def test_columns_hold_what_was_given(whole):
    s = LensSet.open(whole)
    np.testing.assert_array_equal(s.labels, np.arange(N) % 2)
    assert s.labels.dtype == np.int8
    assert s.column("kind")[:2].tolist() == ["spiral", "single"]
    theta = s.column("theta_e_arcsec")
    assert np.isnan(theta[0])
    assert theta[3] == 0.5 + 3 / 7  # a float64 column keeps every bit
    assert s.column("arc_snr")[1] == np.float32(1 / 3)
    assert "theta_e_arcsec" in refusal(DataError, lambda: s.column("theta"))


def test_unknown_names_are_refused(whole):
    s = LensSet.open(whole)
    assert "fake-000000" in refusal(UsageError, lambda: s.index_of("nobody"))
    assert "VIS, H" in refusal(DataError, lambda: s.images("K", 0))
    assert str(N) in refusal(UsageError, lambda: s.images("VIS", N))
    assert "no such lens set" in refusal(UsageError, lambda: LensSet.open(whole / "nowhere"))


def test_a_set_travels_to_other_processes(whole):
    s = pickle.loads(pickle.dumps(LensSet.open(whole)))
    np.testing.assert_array_equal(s.images("VIS", 3)[0], fake_sky.pixels(1, 3)["VIS"])


def test_wcs_of_a_simulated_cutout_is_centred_and_scaled(whole):
    wcs = LensSet.open(whole).wcs(4, "VIS")
    centre = wcs.pixel_to_world(9.5, 9.5)
    beside = wcs.pixel_to_world(10.5, 9.5)
    assert centre.separation(beside).arcsec == pytest.approx(0.1, rel=1e-6)  # rounding of degrees
    assert centre.ra.deg == pytest.approx(0, abs=1e-12)


def test_verify_accepts_a_sound_set(whole):
    LensSet.open(whole).verify()


def test_content_hash_depends_on_content_only(whole, tmp_path):
    other = LensSet.open(whole).content_hash
    same = fake_sky.header(N, provenance={"command": "something else"})
    assert write_chunks(fake_sky.FakeTask(tmp_path / "same", same)).content_hash == other
    changed = fake_sky.header(N, seed=2)
    assert write_chunks(fake_sky.FakeTask(tmp_path / "changed", changed)).content_hash != other


def chunk_file(root: Path, array: str = "images/VIS") -> Path:
    return root / array / "c" / "1" / "0" / "0"


@pytest.mark.parametrize("array", ["images/VIS", "truth/source_light/VIS", "truth/mask/H"])
@pytest.mark.parametrize("harm", ["flip", "cut", "remove", "empty"])
def test_damaged_chunks_are_named(damaged, array, harm):
    path = chunk_file(damaged, array)
    data = bytearray(path.read_bytes())
    if harm == "flip":
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    elif harm == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif harm == "empty":
        path.write_bytes(b"")
    else:
        path.unlink()
    s = LensSet.open(damaged)
    kind, band = array.rsplit("/", 1)
    read = {"images": s.images, "truth/source_light": s.source_light, "truth/mask": s.mask}[kind]
    read(band, slice(0, 8))  # the sound chunk before it
    message = refusal(DataError, lambda: read(band, 9))
    assert str(path) in message
    assert "make the set again" in message


def test_a_chunk_truncated_after_its_first_reading_is_named(damaged):
    s = LensSet.open(damaged)
    s.images("VIS", 9)
    chunk_file(damaged).write_bytes(chunk_file(damaged).read_bytes()[:2000])
    assert "truncated" in refusal(DataError, lambda: s.images("VIS", 12))


def as_before_checksums(root):
    """Make `root` what versions before the checksums wrote."""
    words = json.loads((root / "lensset.json").read_text())
    del words["checksums"]
    (root / "lensset.json").write_text(json.dumps(words))


def test_verify_notices_a_changed_catalogue(damaged):
    table = pq.read_table(damaged / "catalogue.parquet")
    flipped = table.set_column(1, table.schema.field(1), [1 - table.column("label").to_numpy()])
    pq.write_table(flipped, damaged / "catalogue.parquet")
    assert "was changed after" in refusal(DataError, lambda: LensSet.open(damaged))
    as_before_checksums(damaged)
    assert "content_hash names other content" in refusal(DataError, lambda: LensSet.open(damaged).verify())


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda root: (root / "catalogue.parquet").unlink(), "the catalogue is missing"),
        (lambda root: (root / "catalogue.parquet").write_bytes(b"PAR1 nonsense"), "cannot be read as Parquet"),
        (lambda root: (root / "images/VIS/zarr.json").unlink(), "images/VIS/zarr.json"),
        (lambda root: (root / "truth/mask/H/zarr.json").write_text("{"), "truth/mask/H/zarr.json"),
        (lambda root: (root / "lensset.json").write_text("{"), "not readable as JSON"),
        (lambda root: (root / "lensset.json").unlink(), "no lensset.json"),
    ],
)
def test_damaged_sets_are_refused_when_opened(damaged, harm, said):
    harm(damaged)
    assert said in refusal(DataError, lambda: LensSet.open(damaged))


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("version", 2, "lensset.json: version: "),
        ("n", 31, "30 rows"),
        ("n", -1, "lensset.json: n: "),
        ("colour", "blue", "lensset.json: colour: "),
        ("bands", [], "lensset.json: bands: "),
        ("chunk", 5, "the header says"),
    ],
)
def test_wrong_headers_are_refused(damaged, field, value, said):
    as_before_checksums(damaged)
    header = json.loads((damaged / "lensset.json").read_text())
    (damaged / "lensset.json").write_text(json.dumps(header | {field: value}))
    assert said in refusal(DataError, lambda: LensSet.open(damaged))


def test_a_band_name_cannot_lead_out_of_the_set(damaged):
    header = json.loads((damaged / "lensset.json").read_text())
    header["bands"][0]["name"] = "../../etc"
    (damaged / "lensset.json").write_text(json.dumps(header))
    assert "bands.0.name" in refusal(DataError, lambda: LensSet.open(damaged))


def test_missing_scenes_are_named(damaged):
    (damaged / "scenes.jsonl").unlink()
    assert "scenes.jsonl: is missing" in refusal(DataError, lambda: LensSet.open(damaged).scene(0))


def test_scenes_cut_short_are_named(damaged):
    text = (damaged / "scenes.jsonl").read_text()
    (damaged / "scenes.jsonl").write_text("".join(text.splitlines(keepends=True)[:-1]))
    assert re.search("has 29 lines, 30", refusal(DataError, lambda: LensSet.open(damaged).scene(0)))


@pytest.mark.parametrize(("n", "chunk"), [(1, 1), (8, 8), (100, 8), (1000, 32), (3200, 100), (20000, 100)])
def test_chunk_sizes(n, chunk):
    assert chunk_for(n) == chunk


def one_system(**changes) -> Records:
    return replace(fake_sky.records(1, slice(0, 1)), **changes)


def test_every_part_of_the_content_enters_the_digest():
    header = fake_sky.header(1)
    plain = one_system()

    def shifted(blocks):
        return blocks | {"H": blocks["H"] + np.float32(1)}

    variants = [
        one_system(ids=["other"]),
        one_system(images=shifted(plain.images)),
        one_system(source_light=shifted(plain.source_light)),
        one_system(mask=plain.mask | {"VIS": ~plain.mask["VIS"]}),
        one_system(rows=[plain.rows[0] | {"label": 1}]),
        one_system(scenes=[{"kind": "spiral", "number": 1}]),
        one_system(wcs=[{"VIS": "CRPIX1  = 1"}]),
        one_system(psf=shifted(plain.psf)),
        one_system(rms=shifted(plain.rms)),
    ]
    digests = [digest_of(records, header) for records in (plain, *variants)]
    assert len(set(digests)) == 10
    assert digest_of(one_system(), header) == digests[0]


def test_a_simulated_set_of_before_checksums_has_its_ids_in_order(damaged):
    table = pq.read_table(damaged / "catalogue.parquet")
    swapped = table.take([0, 2, 1, *range(3, N)])
    pq.write_table(swapped, damaged / "catalogue.parquet")
    as_before_checksums(damaged)
    name = table.column("id")[1].as_py()
    assert f"catalogue.parquet: row 3: id {name} is out of order" in refusal(DataError, lambda: LensSet.open(damaged))
    pq.write_table(table, damaged / "catalogue.parquet")
    assert len(LensSet.open(damaged)) == N


SOURCE = {
    "layout": "blf2",
    "label_rule": None,
    "ids_without_image": {"count": 1, "ids": ["100099"]},
    "skipped": {"count": 1, "why": {"b": "cut short"}},
    "pixels": {"nan": "zero", "size_arcsec": 10},
    "notes": ["first", "second"],
}


def test_the_header_is_a_record_and_writes_what_it_read(tmp_path):
    said = fake_sky.header(8).model_dump(mode="json", exclude={"checksums"})
    said |= {"source": SOURCE, "provenance": Provenance.here(seed=3, inputs={"log.csv": "ab" * 32}).to_json()}
    write_json(tmp_path / "was.json", said)
    header = read_header(tmp_path / "was.json")
    header.write(tmp_path / "is.json")
    assert (tmp_path / "is.json").read_bytes() == (tmp_path / "was.json").read_bytes()
    assert header.source.notes == ("first", "second")
    assert header.source.skipped == Skipped(count=1, why={"b": "cut short"})
    assert header.provenance.inputs == {"log.csv": "ab" * 32}


@pytest.mark.parametrize("words", [{}, {"command": "made elsewhere"}, {"command": "made elsewhere", "host": "nova"}])
def test_a_header_that_says_little_of_its_making_opens(words):
    header = fake_sky.header(8, provenance=words)
    assert header.provenance.command == words.get("command", "")
    assert header.provenance.inputs == {}


@pytest.mark.parametrize("part", [{"source": {"notes": "one"}}, {"source": []}, {"provenance": {"inputs": 3}}])
def test_a_header_with_a_wrong_part_names_it(tmp_path, part):
    write_json(tmp_path / "lensset.json", fake_sky.header(8).model_dump(mode="json", exclude={"checksums"}) | part)
    with pytest.raises(DataError, match=f"lensset.json: {next(iter(part))}.*make the set again"):
        read_header(tmp_path / "lensset.json")


def test_the_header_of_a_part_counts_its_own_systems_and_names_no_seed(whole):
    opened = LensSet.open(whole)
    part = Part(opened, np.array([4, 1]))
    assert (part.header.n, part.header.seed, part.header.content_hash) == (2, None, part.content_hash)
    assert part.header.bands == opened.header.bands
