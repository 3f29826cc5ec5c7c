"""An export goes on where it stopped, is the same whatever the number of workers, and looks at the disk first."""

from __future__ import annotations

import errno
import os
import shutil
from collections import namedtuple

import pytest

from lensaudit.errors import MachineError, UsageError
from lensaudit.probes.outside import export_cutouts, plan_export
from lensaudit.probes.outside.plan import CutoutFormat

from ..conftest import content
from .conftest import SEED

PLAN = plan_export(8, SEED, ["false-positive"], ["H"])  # two units


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "export"
    export_cutouts(PLAN, folder)
    return folder


def test_an_interrupted_export_goes_on_and_is_the_same(whole, tmp_path, monkeypatch):
    written, write = [], CutoutFormat.write

    def stopping(self, folder, name, images):
        if len(written) == 11:  # in the second unit: four systems of two cutouts each
            raise KeyboardInterrupt
        written.append(name)
        write(self, folder, name, images)

    with monkeypatch.context() as patch:
        patch.setattr(CutoutFormat, "write", stopping)
        with pytest.raises(KeyboardInterrupt):
            export_cutouts(PLAN, tmp_path)
    assert not (tmp_path / "key" / "key.parquet").exists()
    kept = {path: path.stat().st_ino for path in (tmp_path / "cutouts").glob("*.fits")}
    told, bars = [], []
    export_cutouts(PLAN, tmp_path, say=told.append, progress=lambda done, total: bars.append((done, total)))
    assert bars == [(4, 8), (8, 8)]
    assert "of it still to write" in told[0]
    assert sum(path.stat().st_ino == inode for path, inode in kept.items()) >= 8  # the finished unit is left alone
    assert content(tmp_path) == content(whole)


def test_a_lost_file_is_written_again_and_no_other(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "copy")
    lost = sorted((tmp_path / "copy" / "cutouts").glob("*.fits"))[5]
    lost.unlink()
    export_cutouts(PLAN, tmp_path / "copy")
    assert content(tmp_path / "copy") == content(whole)


@pytest.mark.slow
def test_workers_do_not_matter(whole, tmp_path):
    export_cutouts(PLAN, tmp_path / "two", workers=2)
    assert content(tmp_path / "two") == content(whole)


def test_another_export_does_not_go_into_the_same_folder(whole, tmp_path):
    with pytest.raises(UsageError, match="holds another export"):
        export_cutouts(plan_export(7, SEED, ["false-positive"], ["H"]), whole)
    (tmp_path / "cutouts").mkdir()
    (tmp_path / "cutouts" / "holiday.jpg").write_text("")
    with pytest.raises(UsageError, match="is not empty and there is no key"):
        export_cutouts(PLAN, tmp_path)
    with pytest.raises(UsageError, match="lies in the folder that is handed over"):
        export_cutouts(PLAN, tmp_path / "new", tmp_path / "new" / "cutouts" / "key")


def test_a_disk_that_is_too_small_is_told_before_anything_is_written(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(10**6, 9 * 10**5, 10**5))
    told = []
    with pytest.raises(MachineError, match=r"needs 0\.00046 GB .* 0\.0001 GB free") as no:
        export_cutouts(PLAN, tmp_path, say=told.append)
    assert "\n" not in str(no.value)
    assert told[0].startswith("about 16 cutouts in H")
    assert not any((tmp_path / "cutouts").iterdir())


def test_a_disk_that_fills_up_meanwhile_is_one_line(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("lensaudit.probes.outside.plan.os.utime", full)
    with pytest.raises(MachineError, match="the disk is full; free some space"):
        export_cutouts(PLAN, tmp_path)
    assert not any((tmp_path / "cutouts").iterdir())


def test_what_cannot_be_exported_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"no probe can be exported: it takes a kernel from a file"):
        plan_export(2, 0, ["psf-rotation-real"])
    plan = plan_export(2, 0, ["psf-rotation-real", "false-positive"])
    assert list(plan.refused) == ["psf-rotation-real"]
    with pytest.raises(UsageError, match="at least 2 pairs"):
        plan_export(1, 0)


def test_a_claim_of_which_nothing_was_finished_is_replaced(whole, tmp_path, monkeypatch):
    """As after an export that did not fit on the disk, whose message advises a smaller --n."""
    usage = namedtuple("usage", "total used free")
    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda _: usage(10**6, 9 * 10**5, 10**5))
        with pytest.raises(MachineError, match=r"a smaller --n"):
            export_cutouts(plan_export(40, SEED, ["false-positive"], ["H"]), tmp_path)
    (tmp_path / "cutouts" / "of-a-unit-that-was-not-finished.fits").write_bytes(b"")
    export_cutouts(PLAN, tmp_path)
    assert content(tmp_path) == content(whole)


def test_a_torn_claim_with_nothing_behind_it_is_replaced_and_one_with_parts_is_refused(whole, tmp_path):
    (tmp_path / "key").mkdir()
    (tmp_path / "key" / "export.json").write_text("{")
    export_cutouts(PLAN, tmp_path)
    assert content(tmp_path) == content(whole)
    (tmp_path / "key" / "export.json").write_text("{")
    with pytest.raises(UsageError, match=r"export\.json: is missing or torn"):
        export_cutouts(PLAN, tmp_path)
