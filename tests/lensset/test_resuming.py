"""A set is the same tree of bytes whatever the workers and interruptions, and never looks whole before it is."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import fake_sky
import pytest

from lensaudit.errors import DataError, MachineError, UsageError
from lensaudit.lensset import LensSet, LensSetWriter
from lensaudit.lensset import writer as writer_module
from lensaudit.lensset.simulation import write_chunks

N = 90  # twelve chunks of eight
SCRIPT = Path(fake_sky.__file__)


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("reference") / "set"
    write_chunks(fake_sky.FakeTask(out, fake_sky.header(N)))
    return fake_sky.tree(out)


@pytest.fixture
def start(tmp_path):
    """Start a run of some workers that writes so many chunks and waits for more; its pipes stay open until it ends."""
    begun = []

    def run(workers: int, chunks: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(SCRIPT), str(tmp_path / "set"), str(N), str(workers)]
        pipe = subprocess.PIPE
        found = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, start_new_session=True)
        begun.append((found, found.stdin))
        found.stdin.write(b"." * chunks)
        assert b"".join(found.stdout.read(1) for _ in range(chunks)) == b"." * chunks
        found.stdin = None  # or communicate would close it, and that would end the workers too
        return found

    yield run
    for found, commands in begun:
        commands.close()
        found.kill()
        found.communicate()


def test_two_workers_write_the_same_tree(tmp_path, reference):
    write_chunks(fake_sky.FakeTask(tmp_path / "set", fake_sky.header(N)), 2)
    assert fake_sky.tree(tmp_path / "set") == reference


@pytest.mark.parametrize("workers", [1, 2])
def test_kill_nine_half_way_then_resume(start, tmp_path, reference, workers):
    out = tmp_path / "set"
    for _ in range(2):  # interrupted twice
        run = start(workers, 3)
        run.send_signal(signal.SIGKILL)
        run.communicate(timeout=120)  # its workers hold the pipes until they have left
    with pytest.raises(DataError, match=r"unfinished, \d+ of 90 systems .*: fake 90"):
        LensSet.open(out)
    write_chunks(fake_sky.FakeTask(out, fake_sky.header(N)), 1)
    assert fake_sky.tree(out) == reference
    LensSet.open(out).verify()


def test_workers_leave_when_their_parent_is_killed(start):
    """They wait for a command that never comes, and hold the pipes as long as they live."""
    run = start(2, 1)
    run.kill()
    run.communicate(timeout=120)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_processes_leaves_a_set_that_resumes(start, tmp_path, reference, number):
    """As a terminal's Ctrl-C, and a batch system's SIGTERM, reach the workers too."""
    run = start(2, 2)
    os.killpg(run.pid, number)
    _, shown = run.communicate(timeout=120)
    assert run.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[number]
    assert shown.count(b"\n") == 1
    assert not (tmp_path / "set" / "lensset.json").exists()
    write_chunks(fake_sky.FakeTask(tmp_path / "set", fake_sky.header(N)), 2)
    assert fake_sky.tree(tmp_path / "set") == reference


def test_strays_of_a_killed_writer_are_removed(tmp_path, reference):
    out = tmp_path / "set"
    writer = LensSetWriter(out, fake_sky.header(N))
    writer.start()
    fake_sky.FakeTask(out, fake_sky.header(N))(0)
    (out / "images/VIS/c/0/0/0.0123.partial").write_bytes(b"torn")
    (out / ".unfinished/parts/.000003.jsonl.partial").write_bytes(b"torn")
    write_chunks(fake_sky.FakeTask(out, fake_sky.header(N)))
    assert fake_sky.tree(out) == reference


def test_killed_between_the_last_rename_and_cleaning_up(tmp_path, reference):
    out = tmp_path / "set"
    write_chunks(fake_sky.FakeTask(out, fake_sky.header(N)))
    (out / ".unfinished/parts").mkdir(parents=True)
    assert len(LensSet.open(out)) == N
    write_chunks(fake_sky.FakeTask(out, fake_sky.header(N)))
    assert fake_sky.tree(out) == reference


def test_a_finished_set_is_not_written_again(tmp_path):
    out = tmp_path / "set"
    write_chunks(fake_sky.FakeTask(out, fake_sky.header(N)))
    before = (out / "catalogue.parquet").stat().st_mtime_ns
    calls: list[tuple[int, int]] = []
    write_chunks(fake_sky.FakeTask(out, fake_sky.header(N)), 1, lambda done, n: calls.append((done, n)))
    assert calls == [(N, N)]
    assert (out / "catalogue.parquet").stat().st_mtime_ns == before


@pytest.mark.parametrize("finish", [True, False])
def test_other_parameters_are_refused_with_their_names(tmp_path, finish):
    out = tmp_path / "set"
    if finish:
        write_chunks(fake_sky.FakeTask(out, fake_sky.header(8)))
    else:
        LensSetWriter(out, fake_sky.header(8)).start()
        fake_sky.FakeTask(out, fake_sky.header(8))(0)
    before = fake_sky.tree(out)
    with pytest.raises(UsageError, match=r"seed is 1, you ask for 2.*choose another --out"):
        LensSetWriter(out, fake_sky.header(8, seed=2)).start()
    with pytest.raises(UsageError, match="n is 8, you ask for 9"):
        LensSetWriter(out, fake_sky.header(9)).start()
    with pytest.raises(UsageError, match='instrument is "euclid", you ask for "lsst"'):
        LensSetWriter(out, fake_sky.header(8, instrument="lsst")).start()
    assert fake_sky.tree(out) == before


def test_progress_counts_systems_from_where_it_stopped(tmp_path):
    out = tmp_path / "set"
    LensSetWriter(out, fake_sky.header(20)).start()
    fake_sky.FakeTask(out, fake_sky.header(20))(1)
    calls: list[tuple[int, int]] = []
    write_chunks(fake_sky.FakeTask(out, fake_sky.header(20)), 1, lambda done, n: calls.append((done, n)))
    assert calls == [(8, 20), (16, 20), (20, 20)]


def test_a_second_writer_is_refused(start, tmp_path):
    run = start(1, 1)
    with pytest.raises(UsageError, match=rf"another command writes there now \(process {run.pid} on "):
        write_chunks(fake_sky.FakeTask(tmp_path / "set", fake_sky.header(N)))


@pytest.mark.parametrize("torn", [False, True], ids=["whole", "torn"])
def test_a_set_of_which_nothing_was_finished_is_replaced(tmp_path, reference, torn):
    """What a first run with an option left out leaves: the second, as advised, is not refused."""
    out = tmp_path / "set"
    LensSetWriter(out, fake_sky.header(30, seed=7)).start()
    (out / "images/VIS/c/0/0").mkdir(parents=True)
    (out / "images/VIS/c/0/0/0").write_bytes(b"pixels of a chunk that was not finished")
    if torn:
        (out / ".unfinished/lensset.json").write_text("{")
    write_chunks(fake_sky.FakeTask(out, fake_sky.header(N)))
    assert fake_sky.tree(out) == reference


def test_a_link_in_an_unfinished_set_is_not_followed(tmp_path):
    out, elsewhere = tmp_path / "set", tmp_path / "elsewhere"
    writer = LensSetWriter(out, fake_sky.header(N))
    writer.start()
    fake_sky.FakeTask(out, fake_sky.header(N))(0)
    shutil.move(out / "images", elsewhere)
    (out / "images").symlink_to(elsewhere)
    before = fake_sky.tree(elsewhere)
    with pytest.raises(UsageError, match="images: is a link; remove it or choose another --out"):
        write_chunks(fake_sky.FakeTask(out, fake_sky.header(N)))
    assert fake_sky.tree(elsewhere) == before


def test_places_that_cannot_be_written(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    for out in (file, file / "below"):
        with pytest.raises(UsageError, match="choose another --out"):
            write_chunks(fake_sky.FakeTask(out, fake_sky.header(8)))
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.tex").write_text("")
    with pytest.raises(UsageError, match=r"thesis\.tex"):
        write_chunks(fake_sky.FakeTask(full, fake_sky.header(8)))
    assert [p.name for p in full.iterdir()] == ["thesis.tex"]


def test_no_space_left_while_writing_pixels(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    out = tmp_path / "set"
    with monkeypatch.context() as patch:
        patch.setattr(writer_module, "write_block", full)
        with pytest.raises(MachineError, match="the disk is full"):
            write_chunks(fake_sky.FakeTask(out, fake_sky.header(8)))
    with pytest.raises(DataError, match="unfinished"):
        LensSet.open(out)
    write_chunks(fake_sky.FakeTask(out, fake_sky.header(8))).verify()


def test_a_set_that_cannot_fit_is_refused_beforehand(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(writer_module.shutil, "disk_usage", lambda _: usage._replace(free=10_000))
    with pytest.raises(MachineError, match="the images need"):
        write_chunks(fake_sky.FakeTask(tmp_path / "set", fake_sky.header(N)))


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=500k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("cannot mount a small tmpfs here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_runs_full_and_is_then_enlarged(small_disk, reference):
    header = fake_sky.header(N)
    with pytest.raises(MachineError, match="the disk is full") as caught:
        write_chunks(fake_sky.FakeTask(small_disk / "set", header), 2)
    assert "\n" not in str(caught.value)
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    write_chunks(fake_sky.FakeTask(small_disk / "set", header), 1)
    assert fake_sky.tree(small_disk / "set") == reference
