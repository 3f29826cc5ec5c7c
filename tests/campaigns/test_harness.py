"""The harness of ``make fuzz`` itself: it sees what must never happen, and the same seed does the same."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from campaigns import harness
from campaigns.harness import Sandbox, command, run
from campaigns.mutators import BY_KIND, mutate
from hostile import EVERY


def refuses() -> int:
    print("lensaudit: a.fits: is empty; give another", file=sys.stderr)
    return 3


def raises() -> int:
    raise KeyError("lost")


def warns() -> int:
    print("/lib/cast.py:134: RuntimeWarning: invalid value", file=sys.stderr)  # as Python prints a warning
    return 0


def says_much() -> int:
    print("lensaudit: a\nlensaudit: b", file=sys.stderr)
    return 3


def shouts() -> int:
    print("a\x1b[31m")
    return 0


def fills_memory() -> int:
    try:
        return len(bytearray(8 << 30))
    except MemoryError:
        print("lensaudit: out of memory; use a smaller --batch", file=sys.stderr)
        return 4


def dies() -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def sleeps() -> int:
    time.sleep(60)
    return 0


def writes_outside() -> int:
    Path("../evil").write_text("x")
    return 0


def overwrites() -> int:
    Path("../../sentinel").write_text("changed")
    return 0


def writes_inside() -> int:
    Path("out").mkdir()
    Path("out/a").write_text("x")
    return 0


@pytest.mark.parametrize(
    ("act", "word"),
    {
        refuses: harness.REFUSED, raises: harness.TRACEBACK, warns: harness.UNCLEAR, says_much: harness.UNCLEAR,
        shouts: harness.RAW, fills_memory: harness.MEMORY_OUT, dies: harness.CRASH, sleeps: harness.HANG,
        writes_outside: harness.OUTSIDE, overwrites: harness.OUTSIDE, writes_inside: harness.SAME,
    }.items(),
    ids=lambda value: getattr(value, "__name__", ""),
)  # fmt: skip
def test_every_ending_has_its_word(tmp_path, monkeypatch, act, word):
    monkeypatch.setattr(harness, "SECONDS", 1 if act is sleeps else 60)
    assert run(act, Sandbox(tmp_path / "box")).word == word


def test_what_is_taken_against_expectation_is_a_fault(tmp_path):
    assert run(writes_inside, Sandbox(tmp_path / "box"), expect_refusal=True).word == harness.TAKEN
    assert run(refuses, Sandbox(tmp_path / "other"), expect_refusal=True).word == harness.REFUSED


def test_a_command_runs_in_the_sandbox(tmp_path):
    ended = run(command("models", "show", "no-such-finder"), Sandbox(tmp_path / "box"))
    assert (ended.word, ended.code) == (harness.REFUSED, 2)


@pytest.mark.parametrize("kind", BY_KIND)
def test_mutations_are_seeded_and_change_the_file(tmp_path, kind):
    path = tmp_path / "file.csv"
    data = b"id,label\na,1\nb,0\n" * 40
    done = set()
    for seed in range(12):
        found = []
        for _ in range(2):
            path.unlink(missing_ok=True)
            path.write_bytes(data)
            deed = mutate(path, kind if kind in ("bytes", "csv") else "bytes", np.random.default_rng([seed]))
            found.append((deed, path.read_bytes() if path.is_file() and path.stat().st_size < 1 << 20 else None))
            if path.is_dir():
                path.rmdir()
        assert found[0] == found[1]
        done.add(found[0][1])
    assert data not in done
    assert len(done) > 4


def test_there_are_twenty_four_kinds_of_hostile_text_and_four_more():
    assert len(EVERY) == 28
    assert len(set(EVERY.values())) == 28
