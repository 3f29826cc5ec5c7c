"""Every command that writes asks for its place first: alone in it, a folder where one is needed, no link to nowhere."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest
from command_tree import is_group, walk

from lensaudit import files
from lensaudit.cli.running import WRITES_A_FILE

WRITERS = {
    words: command
    for words, command in walk()
    if not is_group(command) and any(parameter.name == "out" for parameter in command.params)
}
IDS = [" ".join(words) for words in WRITERS]

pytestmark = pytest.mark.usefixtures("built_once")


def words_for(path: tuple[str, ...], out: Path) -> list[str]:
    """The command with some word for all it needs; it is refused before any of them is looked at."""
    words = [*path]
    for parameter in WRITERS[path].params:
        if parameter.name == "out":
            words += ["--out", str(out)]
        elif parameter.required:
            annotation = parameter.type_descriptor.annotation
            word = get_args(annotation)[0] if get_origin(annotation) is Literal else "7"
            words += [*([] if parameter.param_type_name == "argument" else parameter.opts[:1]), word]
    return words


def test_all_that_write_are_among_them():
    assert {"simulate", "ingest fits", "score", "train", "probe all", "probe export", "report", "planted-bias"} <= set(
        IDS
    )
    assert len(IDS) > 40
    assert {command.callback.__name__ for command in WRITERS.values()} >= WRITES_A_FILE


@pytest.mark.parametrize("path", WRITERS, ids=IDS)
def test_a_place_that_cannot_be_written_is_one_line_and_two(lensaudit, tmp_path, path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    is_file = WRITERS[path].callback.__name__ in WRITES_A_FILE
    for place in ("file", "dangling"):
        out = tmp_path / place / "scores.parquet" if is_file else tmp_path / place
        code, shown, err = lensaudit(*words_for(path, out))
        assert (code, shown) == (2, "")
        assert err.count("\n") == 1
        assert f"{tmp_path / place}: is a " in err
        assert "choose another --out" in err
    assert sorted(os.listdir(tmp_path)) == ["dangling", "file"]
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("path", WRITERS, ids=IDS)
def test_a_disk_that_is_full_is_one_line_and_four(lensaudit, tmp_path, monkeypatch, path):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    code, shown, err = lensaudit(*words_for(path, tmp_path / "new" / "out"))
    assert (code, shown) == (4, "")
    assert "the disk is full; free some space" in err
    assert err.count("\n") == 1
    assert os.listdir(tmp_path) == []


HOLDER = """
import sys
from pathlib import Path
from lensaudit.files import working_in
with working_in(Path(sys.argv[1])), working_in(Path(sys.argv[2]), file=True):
    print("working", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def held(tmp_path_factory) -> Iterator[tuple[Path, Path, int]]:
    """A folder and a file another process writes now, and its number."""
    folder = tmp_path_factory.mktemp("held")
    words = [sys.executable, "-c", HOLDER, str(folder / "out"), str(folder / "scores.parquet")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"working\n"
        yield folder / "out", folder / "scores.parquet", process.pid


@pytest.mark.parametrize("path", WRITERS, ids=IDS)
def test_a_second_command_into_the_same_place_says_so(lensaudit, held, path):
    folder, file, process = held
    out = file if WRITERS[path].callback.__name__ in WRITES_A_FILE else folder
    code, shown, err = lensaudit(*words_for(path, out))
    assert (code, shown) == (2, "")
    assert err.startswith(f"lensaudit: {out}: another command writes there now (process {process} on ")
    assert err.count("\n") == 1
    assert os.listdir(folder) == [files.LOCK]
