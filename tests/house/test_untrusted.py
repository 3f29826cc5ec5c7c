"""Foreign words: what a name is, and how a text is shown in each place."""

from __future__ import annotations

import io
import unicodedata
from types import SimpleNamespace
from typing import Any, cast

import pytest
from astropy.io import fits
from hostile import EVERY
from hypothesis import given
from hypothesis import strategies as st

from lensaudit.cli.console import say, say_json
from lensaudit.errors import UsageError
from lensaudit.explaining import Request
from lensaudit.explaining.dreaming.settings import DreamSettings
from lensaudit.explaining.dreaming.wish import identity_cards as dream_cards
from lensaudit.explaining.explained_files import identity_cards as map_cards
from lensaudit.untrusted import file_stem, identifier, in_header, in_markdown, path_within, printable

HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
NOT_NAMES = ["", ".", "..", "../evil", "/somewhere/evil", "a/b", "a\\b", "a b", "a\n", "\x1b[31m", "-x", "é", "x" * 65]


@pytest.mark.parametrize("name", ["ou66", "ou66-p4m", "deeplens_2.1", "g+r", "A" * 64])
def test_names_are_identifiers(name):
    assert identifier(name) == name


@pytest.mark.parametrize("name", NOT_NAMES)
def test_what_is_no_name_is_refused(name):
    with pytest.raises(ValueError, match="is not a name"):
        identifier(name)


@given(st.text())
def test_nothing_printable_acts_on_a_terminal(text):
    for shown in (printable(text), in_header(text), in_markdown(text)):
        assert not any(unicodedata.category(sign) in HIDDEN for sign in shown)
    assert in_header(text).isascii()


@given(st.text(st.characters(whitelist_categories=("L", "N", "P", "S", "Zs"))))
def test_what_a_terminal_only_shows_stays(text):
    assert printable(text) == text


@given(st.text())
def test_a_file_stem_is_a_file_name(text):
    stem = file_stem(text)
    assert stem not in ("", ".", "..")
    assert "/" not in stem
    assert len(stem) < 120


@pytest.mark.parametrize("name", ["..", ".", "", "/etc", "../x", "a/b", "a\0b"])
def test_a_path_stays_in_its_folder(name, tmp_path):
    with pytest.raises(UsageError, match="is not a file name"):
        path_within(tmp_path, "pieces", name)


def test_a_link_that_points_out_is_refused(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path)
    with pytest.raises(UsageError, match="points out of"):
        path_within(tmp_path / "in", "link", "x")
    assert path_within(tmp_path / "in", "x") == tmp_path / "in" / "x"


@pytest.mark.parametrize("kind", EVERY)
def test_a_fits_header_holds_any_word(kind):
    """Ids and finders' names go into headers of maps; they come back as they were written, so that maps are kept."""
    word, out = in_header(EVERY[kind]), io.BytesIO()
    header = fits.Header([fits.Card("OBJECT", word, ""), fits.Card("SEED", 1, "of the noise")])
    header.add_history(word)
    fits.HDUList([fits.PrimaryHDU(header=header)]).writeto(out)
    assert fits.Header.fromstring(out.getvalue())["OBJECT"] == word


@pytest.mark.parametrize("kind", EVERY)
def test_cards_of_maps_and_dreams_take_any_word(kind):
    """Ids, and layers of a user's own module."""
    word = EVERY[kind]
    finder = SimpleNamespace(name="toy", weights_hash="ab" * 32, field_arcsec=20.0)
    occluder = SimpleNamespace(grid=SimpleNamespace(patch=2, stride=2), engine="exact")
    explainer: Any = SimpleNamespace(finder=finder, occluder=occluder)
    target: Any = SimpleNamespace(name=word)
    for cards in (
        map_cards(explainer, Request(("saliency", "occlusion")), "cd" * 32, word),
        dream_cards(cast(Any, finder), target, DreamSettings(steps=10, rate=0.1), word, "ef" * 32),
    ):
        out = io.BytesIO()
        fits.PrimaryHDU(header=fits.Header([fits.Card(*card) for card in cards])).writeto(out)
        found = fits.Header.fromstring(out.getvalue())
        assert all(found[key] == value for key, value, _ in cards)


def test_the_console_prints_no_control_character(capsys):
    say("a\x1b[31m\nb", "c\x9b")
    say("e\u202ef", err=True)
    say_json({"k\x9b": "v\x1b\u202e"})
    said = capsys.readouterr()
    assert said.out == 'a\\x1b[31m\\nb\nc\\x9b\n{\n  "k\\u009b": "v\\u001b\\u202e"\n}\n'
    assert said.err == "e\\u202ef\n"
