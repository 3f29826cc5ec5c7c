"""Files of arrays that an unsealed or hand-edited audit.json names: inside its folder, of their kind, or one line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lensaudit.errors import DataError
from lensaudit.report.audit_file import AUDIT_NAME
from lensaudit.report.pictures import arrays_of
from lensaudit.report.render import render_report
from tests.report.conftest import write_npz

pytestmark = pytest.mark.usefixtures("unplotted")


def first_entry(audit: dict[str, Any]) -> dict[str, Any]:
    return audit["gallery"]["groups"][0]["entries"][0]


def first_pair(audit: dict[str, Any]) -> dict[str, Any]:
    return next(detail["pairs"][0] for detail in audit["probes"]["details"] if detail["pairs"])


WHERE = {"gallery": first_entry, "pairs": first_pair}


def edited(folder: Path, where: str, array: object) -> Path:
    """The audit by hand: another array in one entry, and no digest any more."""
    path = folder / AUDIT_NAME
    audit = json.loads(path.read_text(encoding="utf-8"))
    audit.pop("digest")
    WHERE[where](audit)["array"] = array
    path.write_text(json.dumps(audit), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    "array",
    ["../outside.npz", "/etc/hostname", "arrays/../../outside.npz", "", ".", "a\0b"],
)
def test_a_path_elsewhere_is_one_line(tmp_path: Path, array: str):
    np.savez(tmp_path / "outside.npz", map=np.zeros((9, 9)))
    (tmp_path / "audit" / "arrays").mkdir(parents=True)
    with pytest.raises(DataError, match=r"audit\.json: array: .*build the audit again") as refused:
        arrays_of(tmp_path / "audit", array)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("array", [None, 7, ["arrays"], {"a": 1}])
@pytest.mark.parametrize("where", WHERE)
def test_what_is_no_path_is_one_line(full_folder: Path, where: str, array: object):
    with pytest.raises(DataError, match=r"audit\.json: .*array: .*build the audit again") as refused:
        render_report(edited(full_folder, where, array))
    assert "\n" not in str(refused.value)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def link(path: Path) -> None:
    outside = path.parents[2] / "outside.npz"
    write_npz(outside, {"map": np.ones((66, 66)), "band:VIS": np.ones((66, 66), np.float32)})
    path.symlink_to(outside)


def words(path: Path) -> None:
    path.write_text("<html>not found</html>", encoding="utf-8")


def of(**arrays: Any) -> Callable[[Path], None]:
    return lambda path: write_npz(path, {name.replace("band_", "band:"): array for name, array in arrays.items()})


FLAT, IMAGE = np.ones(9), np.ones((66, 66), np.float32)


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize(
    "make",
    [
        pipe,
        words,
        Path.mkdir,
        of(map=IMAGE),
        of(map=FLAT, attribution=FLAT, band_VIS=FLAT),
        of(map=IMAGE.astype(str), band_VIS=IMAGE.astype(str)),
        of(map=np.zeros((0, 0)), band_VIS=np.zeros((0, 0))),
        of(map=IMAGE[None], band_VIS=IMAGE[None]),
        of(map=IMAGE.astype(complex), band_VIS=IMAGE.astype(complex)),
        of(map=np.full((66, 66), np.nan), band_VIS=np.full((66, 66), np.nan)),
    ],
)
@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")  # of NaN, which are drawn as they are
def test_a_file_of_another_kind_has_no_picture_or_is_one_line(full_folder: Path, where: str, make):
    make(full_folder / "arrays" / "other.npz")
    with suppress(DataError):  # one line, of audit.json; anything else is a fault
        assert render_report(edited(full_folder, where, "arrays/other.npz")).is_file()


@pytest.mark.parametrize("where", WHERE)
def test_a_link_that_leads_elsewhere_is_refused(full_folder: Path, where: str):
    link(full_folder / "arrays" / "other.npz")
    with pytest.raises(DataError, match=r"audit\.json: array: "):
        render_report(edited(full_folder, where, "arrays/other.npz"))
