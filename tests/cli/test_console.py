"""Tables that fit 80 columns without cutting a word, and what a log gets to see of a long run."""

from __future__ import annotations

import io
import json
import re
from itertools import pairwise

import pytest
from hostile import EVERY

from lensaudit.cli.console import say, say_json, say_table, table
from lensaudit.cli.running import Log, watching
from lensaudit.display.numbers import duration
from lensaudit.untrusted import printable

LONG = "a-probe-of-my-own-with-a-name-that-is-typed-by-people"


def test_numbers_stand_to_the_right_and_words_to_the_left():
    assert table(("metric", "value", "n"), [("AUROC", "0.9", "200"), ("recall", "–", "90")], 80) == [
        "metric  value    n",
        "──────────────────",
        "AUROC     0.9  200",
        "recall      –   90",
    ]


def test_only_the_last_column_is_wrapped():
    rows = [("bias", LONG, "of a survey's lenses it loses those with red sources, which is a tenth of all of them")]
    lines = table(("verdict", "probe", "what it means"), rows, 100)
    assert max(map(len, lines)) <= 100
    assert LONG in lines[2]
    assert " ".join(line[len(lines[2].split("of a")[0]) :].strip() for line in lines[2:]) == rows[0][2]


@pytest.mark.parametrize("width", [30, 60, 80, 200])
def test_no_word_is_ever_cut(width):
    rows = [("bias", LONG, "words " * 30), ("not applicable", "psf", LONG)]
    lines = table(("verdict", "probe", "what it means"), rows, width)
    words = " ".join(lines).split()
    assert words.count(LONG) == 2
    assert words.count("words") == 30
    for line in lines:
        assert len(line) <= width or LONG in line


def test_what_does_not_fit_goes_into_further_tables(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    heads = ["Finder", *(f"measure {k}" for k in range(12))]
    say_table(heads, [["runs/ou66", *(f"0.{k:03d}\n[0.1, 0.9]" for k in range(12))]], split=True)
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert out.count("Finder") == out.count("runs/ou66") == 3
    assert all(head in out for head in heads)


@pytest.mark.parametrize("kind", EVERY)
def test_bars_show_the_words_of_a_stage_as_they_stand(monkeypatch, kind):
    """On a terminal: no control character, no markup of rich, no format string."""
    terminal = io.StringIO()
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("COLUMNS", "20300")
    monkeypatch.setenv("TERM", "xterm")
    with watching() as show:
        show(EVERY[kind], 1, 2)
        show.tell(f"told {EVERY[kind]}")
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|[\r\n]", "", terminal.getvalue())  # what rich itself sends
    seen = printable(EVERY[kind])
    assert shown.count(seen) >= 2
    assert f"told {seen}" in shown
    assert printable(shown) == shown.encode("utf-8", "backslashreplace").decode()


def test_hostile_words_reach_the_terminal_escaped(capsys):
    say("a\x1b[31mb\nc")
    say_table(("id",), [("x\x1b]0;title\x07",)])
    say_json({"id": "\x1b[2J", "p": float("nan")})
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert out.startswith("a\\x1b[31mb\\nc\n")
    assert json.loads(out[out.index("{") :]) == {"id": "\x1b[2J", "p": None}


@pytest.mark.parametrize(("seconds", "words"), [(0.2, "1 s"), (41.6, "42 s"), (600, "10 min"), (7200, "2.0 h")])
def test_durations(seconds, words):
    assert duration(seconds) == words


class Clock:
    """Seconds that pass as told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def logged(steps: int, seconds: float, *, first: int = 0) -> list[str]:
    """Lines of a stage of so many steps, each of which takes so long."""
    clock, lines = Clock(), []
    log = Log(write=lines.append, clock=clock)
    for done in range(first, steps + 1):
        log("scoring", done, steps)
        clock.now += seconds
    return lines


def test_a_log_gets_a_line_per_tenth_with_the_time_left():
    lines = logged(1000, 0.1)
    assert lines[0] == "scoring: 100 of 1000 (10 %), 10 s, about 90 s left"
    assert len(lines) == 10
    assert lines[-1] == "scoring: 1000 of 1000 (100 %), 2 min"


def test_a_slow_stage_gets_a_line_every_half_minute():
    assert len(logged(100, 12.0)) == 34  # every third step, and the last
    assert len(logged(3, 600.0)) == 3


def test_a_quick_stage_gets_none():
    assert logged(1000, 1e-4) == []


def test_time_left_counts_what_this_run_did():
    """Half was there from an earlier run: the rest takes as long as this run needs for a step."""
    assert logged(100, 1.0, first=50)[0] == "scoring: 60 of 100 (60 %), 10 s, about 40 s left"


def test_a_stage_begun_again_counts_anew():
    clock, lines = Clock(), []
    log = Log(write=lines.append, clock=clock)
    for done in (*range(0, 11), *range(0, 3)):
        log("judging", done, 10)
        clock.now += 2
    assert lines[-1] == "judging: 2 of 10 (20 %), 4 s, about 16 s left"


def test_lines_of_a_log_go_to_standard_error_only(capsys):
    with watching() as show:
        show.tell("about 3 min of work")
        show("scoring {task} [bold]", 1, 2)
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "about 3 min of work\n"


def test_fractions_only_where_steps_are_not_things():
    clock, lines = Clock(), []
    log = Log(counted=False, write=lines.append, clock=clock)
    for done in range(0, 1001, 100):
        log("judging", done, 1000)
        clock.now += 5
    assert lines[0] == "judging: 10 %, 5 s, about 45 s left"
    assert all(later != earlier for earlier, later in pairwise(lines))
