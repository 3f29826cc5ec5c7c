"""``lensaudit.files``: a file is whole or absent, and what the operating system refuses is told in one line."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lensaudit import files
from lensaudit.errors import LensauditWarning, MachineError, UsageError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_written_file_is_all_that_is_left(tmp_path):
    files.write_text(tmp_path / "deep" / "note.txt", "θ_E = 1.4″\n")
    assert (tmp_path / "deep" / "note.txt").read_bytes() == "θ_E = 1.4″\n".encode()
    assert names(tmp_path / "deep") == ["note.txt"]


@pytest.mark.parametrize("error", [ValueError("ours"), KeyboardInterrupt()], ids=["bug", "ctrl-c"])
def test_a_failure_half_way_keeps_the_old_file(tmp_path, error):
    target = tmp_path / "scores.json"
    target.write_text("old")

    def write() -> None:
        with files.replacing(target) as partial:
            partial.write_text("half of the ne")
            raise error

    with pytest.raises(type(error)):
        write()
    assert target.read_text() == "old"
    assert names(tmp_path) == ["scores.json"]


def write_all_but_the_last_byte(self: Path, data: bytes) -> int:
    """What a full disk does to ``Path.write_bytes``."""
    with open(self, "wb") as stream:
        stream.write(data[:-1])
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))


def test_a_full_disk_keeps_the_old_file(tmp_path, monkeypatch):
    target = tmp_path / "map.fits"
    target.write_bytes(b"old")
    monkeypatch.setattr(Path, "write_bytes", write_all_but_the_last_byte)
    with pytest.raises(MachineError, match=r"map\.fits: the disk is full; free some space"):
        files.write_bytes(target, b"new" * 1000)
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["map.fits"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system to refuse a write")
def test_the_kernel_s_own_full_disk_is_explained(tmp_path):
    def write() -> None:
        with files.replacing(tmp_path / "big.bin"), open("/dev/full", "wb", buffering=0) as full:
            full.write(b"x")

    with pytest.raises(MachineError, match=r"big\.bin: the disk is full"):
        write()
    assert names(tmp_path) == []


def test_a_killed_writer_leaves_the_old_file_and_the_next_run_mends_the_rest(tmp_path):
    target = tmp_path / "scores.json"
    files.write_json(target, {"n": 1})
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from lensaudit.files import replacing\n"
        "with replacing(Path(sys.argv[1])) as partial:\n"
        "    partial.write_text('{\"n\": ')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(target)], check=False)
    assert killed.returncode == -9
    assert json.loads(target.read_text()) == {"n": 1}
    assert all(name == "scores.json" or name.endswith(".partial") for name in names(tmp_path))
    files.write_json(target, {"n": 2})
    assert json.loads(target.read_text()) == {"n": 2}
    assert names(tmp_path) == ["scores.json"]


def test_a_folder_that_is_a_file_is_the_user_s_mistake(tmp_path):
    (tmp_path / "out").write_text("")
    for target in (tmp_path / "out" / "a.txt", tmp_path / "out" / "deep" / "a.txt"):
        with pytest.raises(UsageError, match=r"a\.txt: this place cannot be written"):
            files.write_text(target, "x")


def test_a_file_that_is_a_folder_is_the_user_s_mistake(tmp_path):
    (tmp_path / "audit.json").mkdir()
    with pytest.raises(UsageError, match=r"audit\.json: this place cannot be written"):
        files.write_text(tmp_path / "audit.json", "x")
    assert names(tmp_path) == ["audit.json"]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_refused_write_is_the_user_s_mistake(tmp_path, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(UsageError, match=r"a\.txt: this place cannot be written"):
        files.write_text(tmp_path / "a.txt", "x")
    assert names(tmp_path) == []


def test_other_refusals_pass_unchanged(tmp_path):
    with pytest.raises(OSError, match="Input/output error"), files.explained(tmp_path):
        raise OSError(errno.EIO, "Input/output error")


def test_json_refuses_nan_and_keeps_the_old_file(tmp_path):
    target = tmp_path / "audit.json"
    files.write_json(target, {"b": 1, "a": None})
    assert target.read_text() == '{\n  "a": null,\n  "b": 1\n}\n'
    with pytest.raises(ValueError, match="Out of range float"):
        files.write_json(target, {"auroc": float("nan")})
    assert json.loads(target.read_text()) == {"a": None, "b": 1}


# 1 MiB is the piece that sha256 reads at a time; the sizes straddle it.
@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1])
def test_sha256_over_pieces_is_the_hash_of_the_whole(tmp_path, size):
    data = bytes(i % 251 for i in range(size))
    (tmp_path / "weights").write_bytes(data)
    assert files.sha256(tmp_path / "weights") == hashlib.sha256(data).hexdigest()


@given(text=st.text(st.characters(codec="utf-8", exclude_characters="\r")))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_comes_back(tmp_path, text):
    files.write_text(tmp_path / "note", text)
    assert (tmp_path / "note").read_text(encoding="utf-8") == text


def test_a_writable_folder_is_made_and_left_empty(tmp_path):
    assert files.writable_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert names(tmp_path / "a" / "b") == []


def test_a_file_in_place_of_the_output_folder_is_named(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(UsageError, match="out: is a file, a folder is needed; choose another --out"):
        files.writable_folder(tmp_path / "out")
    with pytest.raises(UsageError, match="this place cannot be written"):
        files.writable_folder(tmp_path / "out" / "deeper")


def test_a_link_under_the_temporary_name_is_not_followed(tmp_path):
    (tmp_path / "elsewhere").write_text("mine")
    (tmp_path / ".note.partial").symlink_to(tmp_path / "elsewhere")
    files.write_text(tmp_path / "note", "x")
    assert (tmp_path / "elsewhere").read_text() == "mine"
    assert (tmp_path / "note").read_text() == "x"


def test_a_dangling_link_in_place_of_the_output_folder_is_named(tmp_path):
    (tmp_path / "out").symlink_to(tmp_path / "gone")
    with pytest.raises(UsageError, match=r"is a link to .*gone, which is not there"):
        files.writable_folder(tmp_path / "out")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    with pytest.raises(UsageError, match="circle: is a link to"):
        files.writable_folder(tmp_path / "circle")


def test_a_link_inside_the_folder_that_is_worked_in_is_not_followed_out_of_it(tmp_path):
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    out.mkdir()
    elsewhere.mkdir()
    (out / "parts").symlink_to(elsewhere)
    with files.working_in(out):
        for refused in (
            lambda: files.write_text(out / "parts" / "a", "x"),
            lambda: files.writable_folder(out / "parts"),
        ):
            with pytest.raises(UsageError, match=r"a link there points out of .*out"):
                refused()
        files.write_text(out / "deep" / "a", "x")
    assert names(elsewhere) == []


def test_an_output_folder_that_is_a_link_is_the_user_s_choice(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    with files.working_in(tmp_path / "out") as out:
        files.write_text(out / "deep" / "a", "x")
    assert names(tmp_path / "disk") == ["deep"]


def test_a_folder_made_for_nothing_is_removed(tmp_path):
    with pytest.raises(ValueError, match="early"), files.working_in(tmp_path / "a" / "b"):
        raise ValueError("early")
    assert names(tmp_path) == []


def test_a_second_one_in_the_same_folder_is_refused_until_the_first_ends(tmp_path):
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from lensaudit.files import working_in\n"
        "with working_in(Path(sys.argv[1])):\n"
        "    print('working', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    out, words = tmp_path / "out", [sys.executable, "-c", program, str(tmp_path / "out")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"working\n"
        taken = rf"out: another command writes there now \(process {first.pid} on "
        with pytest.raises(UsageError, match=taken), files.working_in(out):
            pass
        with files.working_in(out / "scores.parquet", file=True):
            pass  # a file of its own is another place
    assert names(tmp_path) == []
    with files.working_in(out), files.working_in(out):  # and the same process comes in again
        files.write_text(out / "a", "x")
    assert names(out) == ["a"]


def test_the_lock_of_a_killed_command_is_free(tmp_path):
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from lensaudit.files import working_in\n"
        "with working_in(Path(sys.argv[1])):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(tmp_path / "out")], check=False)
    assert killed.returncode == -9
    assert names(tmp_path / "out") == [files.LOCK]
    with files.working_in(tmp_path / "out"):
        pass
    assert names(tmp_path / "out") == []


def test_a_disk_without_locks_is_said_once(tmp_path, monkeypatch):
    import fcntl

    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.warns(LensauditWarning, match="this disk has no file locks"), files.working_in(tmp_path / "out") as out:
        files.write_text(out / "a", "x")
    assert names(tmp_path / "out") == ["a"]


def test_a_folder_is_left_as_a_file_needs_one_and_the_other_way_round(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="file: is a file, a folder is needed"), files.working_in(tmp_path / "file"):
        pass
    with pytest.raises(UsageError, match="is a folder, a file is needed"), files.working_in(tmp_path, file=True):
        pass


def test_writing_comes_home_where_foreign_code_went_away(tmp_path, monkeypatch):
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "home")
    with files.working_in(Path("out")) as out:
        os.chdir(tmp_path)
        files.write_text(out / "a", "x")
    assert names(tmp_path / "home" / "out") == ["a"]


def test_names_that_are_not_utf8_are_refused_where_they_are_written_to_and_kept_where_they_are_read_from(tmp_path):
    """Linux takes any bytes for a name; Parquet and JSON take UTF-8 only."""
    odd = os.fsdecode(b"a\x80b")
    with pytest.raises(UsageError, match=r"a\\udc80b: this name is not UTF-8; choose another --out"):
        files.writable_folder(tmp_path / odd)
    with pytest.raises(UsageError, match="not UTF-8"):
        files.write_text(tmp_path / odd / "a.txt", "x")
    assert names(tmp_path) == []
    files.write_json(tmp_path / "a.json", {"finder": odd})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"finder": odd}
