"""The table of verdicts, and what is derived from it: documents, commands, summaries."""

from __future__ import annotations

from pathlib import Path

import pytest

from lensaudit.report.options import FAIL_ON
from lensaudit.statistics import TYPICAL_DISCORDANT, pairs_needed
from lensaudit.verdicts import (
    CHANCE,
    PAIRS,
    REALISM,
    STATES,
    Answer,
    fail_words,
    failing,
    in_sentence,
    in_short,
    next_steps,
    on_the_command_line,
    present_word,
    state_of,
    states_table,
)

ROOT = Path(__file__).parents[1]


def test_documents_hold_the_table():
    assert states_table() in (ROOT / "docs/decisions/0015-states-of-a-verdict.md").read_text(encoding="utf-8")
    tour = " ".join((ROOT / "docs/tour.md").read_text(encoding="utf-8").split())
    assert f"A verdict is one of {', '.join(state.word for state in STATES)} (" in tour


def test_commands_take_the_words_of_the_table(cli, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    assert (*fail_words(), CHANCE, REALISM) == FAIL_ON
    for words in (("report",), ("probe", "all"), ("probe", "compound"), ("probe", "import-scores")):
        shown = cli(*words, "--help").stdout
        assert ",".join(fail_words()) in "".join(shown.split()), words  # lines are broken at hyphens too


def test_failing_on_a_word_fails_on_the_graver_ones():
    words = [state.word for state in STATES]
    assert failing(words, "bias") == ("bias",)
    assert failing(words, "tentative") == ("bias", "false positives", "tentative")
    assert failing(words, "not-assessable") == (
        "bias", "false positives", "tentative", "inconclusive", "not assessable"
    )  # fmt: skip
    of_an_earlier_version = ["too few to tell", "no effect shown"]
    assert failing(of_an_earlier_version, "inconclusive") == ("too few to tell",)


def test_the_default_number_of_pairs_follows_from_the_power():
    needed = pairs_needed(0.05, TYPICAL_DISCORDANT)
    assert needed == 277
    assert needed <= PAIRS < 1.1 * needed


def test_earlier_words_stand_among_the_states():
    assert state_of("too few to tell").open
    assert state_of("too few to tell").gravity == state_of("inconclusive").gravity
    assert [present_word(word) for word in ("undecided", "within tolerance")] == [
        "inconclusive", "equivalent within tolerance"
    ]  # fmt: skip
    assert failing(["undecided", "within tolerance"], "undecided") == ("undecided",)
    with pytest.raises(KeyError):
        state_of("guilty")


def test_a_summary_counts_every_probe_once():
    answers = [
        Answer("a", "red sources", "bias", 300),
        Answer("b", "companions", "inconclusive", 300, 900),
        Answer("c", "off-centre lenses", "inconclusive", 300),
        Answer("d", "turned", "equivalent within tolerance", 20),
        Answer("e", "recolour", "not assessable", 300),
        Answer("f", "second arcs", "tentative", 300, 40_000),
    ]
    assert in_short(answers) == (
        "Of 6 probes with 20 to 300 pairs, 1 shows a bias (red sources), 1 is tentative (second arcs), 2 are "
        "inconclusive (companions, off-centre lenses), 1 is not assessable (recolour), 1 is equivalent within "
        "tolerance (turned)."
    )
    assert in_short([]) == ""
    steps = next_steps(answers, "my finders/one", 7)
    assert [step.command for step in steps] == [
        "lensaudit probe all 'my finders/one' --probe b --n 900 --seed 7 --out runs/probes-900",
        "lensaudit probe all 'my finders/one' --probe f --n 40000 --seed 7 --out runs/probes-40000",
        "",
        "",
    ]
    assert "no number of pairs settles off-centre lenses" in steps[2].why
    assert "lower the finder's threshold" in steps[3].why
    assert next_steps(answers[:1], "ou66", 0) == []


def test_titles_and_finders_in_words():
    assert [in_sentence(title) for title in ("PSF turned", "Einstein radius", "Red sources")] == [
        "PSF turned", "Einstein radius", "red sources"
    ]  # fmt: skip
    assert on_the_command_line("ou66", "built-in") == "ou66"
    assert on_the_command_line("ou66", "runs/ou66") == "runs/ou66"
