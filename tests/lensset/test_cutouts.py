"""What scoring asks of cutouts: rows of the catalogue, and parts of it, without the rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from lens_sets import write_set

from lensaudit.errors import DataError, UsageError
from lensaudit.lensset import CatalogueColumn, LensSet, open_cutouts
from lensaudit.lensset.catalogue import ROW_GROUP
from lensaudit.lensset.part import Part

RA = (CatalogueColumn(name="ra", unit="deg", description="", dtype="float64"),)
N = ROW_GROUP + 40


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> LensSet:
    pixels = np.arange(4 * N, dtype=np.float32).reshape(N, 2, 2)
    table = {"label": np.arange(N) % 3 - 1}
    return write_set(tmp_path_factory.mktemp("many") / "set", {"VIS": pixels}, {"VIS": 0.1}, table)


@pytest.mark.parametrize("span", [slice(ROW_GROUP - 3, ROW_GROUP + 5), slice(None, None, 997), slice(-2, None)])
def test_ids_and_labels_of_a_span_are_those_of_all(many: LensSet, span: slice):
    assert many.ids_in(span) == many.ids[span]
    np.testing.assert_array_equal(many.labels_in(span), many.labels[span])
    assert many.labels_in(span).dtype == np.int8


def test_an_empty_span_holds_none(many: LensSet):
    assert many.ids_in(slice(5, 5)) == []
    assert len(many.labels_in(slice(7, 3))) == 0


def test_a_set_without_labels_says_what_it_has(tmp_path: Path):
    bare = write_set(
        tmp_path / "set", {"VIS": np.ones((2, 2, 2), np.float32)}, {"VIS": 0.1}, {"ra": [1, 2]}, columns=RA
    )
    with pytest.raises(DataError, match="no column 'label'; the columns are id, ra"):
        bare.labels_in(slice(1))


def test_a_part_has_its_rows_in_its_order(many: LensSet):
    rows = np.array([N - 1, 0, ROW_GROUP - 1, ROW_GROUP, 5])
    part = Part(many, rows)
    assert part.ids == [many.ids[row] for row in rows]
    assert part.ids_in(slice(1, 4)) == part.ids[1:4]
    np.testing.assert_array_equal(part.labels, many.labels[rows])
    np.testing.assert_array_equal(part.images("VIS", slice(1, 3)), many.images("VIS", rows[1:3]))
    assert part.content_hash == Part(many, rows).content_hash != many.content_hash
    assert [span.stop for span, _ in part.batches(2)] == [2, 4, 5]
    of_part = Part(part, np.array([3, 1]))
    assert of_part.ids == [many.ids[ROW_GROUP], many.ids[0]]
    np.testing.assert_array_equal(of_part.images("VIS", [1, 0]), many.images("VIS", [0, ROW_GROUP]))


def test_a_part_finds_its_systems(many: LensSet):
    part = Part(many, np.array([7, 3]))
    assert part.index_of(many.ids[3]) == 1
    with pytest.raises(UsageError, match="not in this part"):
        part.index_of(many.ids[4])


def test_a_lens_sets_folder_is_opened(many: LensSet):
    assert open_cutouts(many.path).content_hash == many.content_hash


def test_a_file_is_no_lens_set(tmp_path: Path):
    (tmp_path / "page.txt").write_text("…")
    with pytest.raises(DataError, match="is a file, and the folder of a lens set is needed here"):
        LensSet.open(tmp_path / "page.txt")
