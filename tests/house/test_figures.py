"""Figures: every word is drawn as it stands, wherever it is drawn, and one place saves them all."""

from __future__ import annotations

import ast
import base64
import re
from contextlib import nullcontext
from html import unescape
from urllib.parse import unquote
from xml.etree import ElementTree

import matplotlib
import pytest
from hostile import EVERY
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lensaudit.display.figures import LONGEST_TICK, save_figure, svg_bytes, svg_uri
from lensaudit.untrusted import printable


def drawn(word: str) -> Figure:
    """A figure with `word` wherever figures of lensaudit have words."""
    figure = Figure(figsize=(18, 9), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([1, 2], [1, 100], label=word)
    left.set(title=word, xlabel=word, yscale="log")
    left.legend(title=word)
    right.set_xticks([0, 1], [word, "plain"])
    right.yaxis.set_major_formatter(lambda value, _: word)
    right.annotate(word, (0.5, 0.5))
    right.text(0.1, 0.1, f"p of {word} at $ 3")
    figure.colorbar(right.imshow([[0, 1]]), ax=right, label=word)
    figure.suptitle(f"{word}\nour own second line")
    return figure


def words_of(figure: Figure) -> list[str]:
    """Texts of a figure as a reader of its SVG sees them."""
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        page = svg_bytes(figure).decode("utf-8")
    return [
        unescape(re.sub(r"<[^>]+>", "", found)) for found in re.findall(r"<text[^>]*>(.*?)</text>", page, re.DOTALL)
    ]


@pytest.mark.parametrize("kind", EVERY)
def test_every_word_is_drawn_as_it_stands(tmp_path, kind):
    word = EVERY[kind]
    if kind in {"mathtext", "surrogate", "emoji"}:  # SVG and PNG differ only in who draws; a warning would be an error
        save_figure(tmp_path / "a.png", drawn(word))
        assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    words = " ".join(words_of(drawn(word)))
    for line in word.split("\n"):
        shown = printable(line)[: LONGEST_TICK - 1]
        # title, axis, two of the legend, text, annotation, colour bar, suptitle; a tick on one axis, and some on the
        # other; spaces are folded in XML
        assert len(re.findall(re.escape(" ".join(shown.split())), " ".join(words.split()))) >= 11


def test_theta_e_is_a_symbol_and_numbers_on_axes_keep_their_powers():
    figure = Figure()
    axes = figure.add_subplot(xscale="log", xlim=(1, 1e4), xlabel="θ_E of $5")
    axes.set_title("$x^2$")
    words = words_of(figure)
    assert "$x^2$" in words
    assert not any("mathdefault" in word or "theta" in word for word in words)
    assert next("".join(word.split()) for word in words if "θ" in word) == "θEof$5"


def test_a_figure_is_drawn_once_and_has_the_bytes_that_matplotlib_gives_it(tmp_path, monkeypatch):
    """`savefig` draws a figure with a layout twice, first for the layout alone."""
    draws = []
    draw = Axes.draw
    monkeypatch.setattr(Axes, "draw", lambda axes, *args, **kwargs: draws.append(axes) or draw(axes, *args, **kwargs))
    for name in ("ours", "theirs"):
        svg, figure = svg_bytes(drawn("plain")), drawn("plain")
        draws.clear()
        save_figure(tmp_path / name, figure)
        assert len(draws) == len(figure.axes) * (1 if name == "ours" else 2)
        (tmp_path / f"{name}.svg").write_bytes(svg)
        monkeypatch.setattr("lensaudit.display.figures._drawn_once", nullcontext)
    for kind in ("", ".svg"):
        assert (tmp_path / f"ours{kind}").read_bytes() == (tmp_path / f"theirs{kind}").read_bytes()


def test_matplotlib_alone_stops_at_a_dollar(tmp_path):
    with pytest.raises(ValueError, match=r"ParseException|Expected"):
        drawn("$\\frac{$").savefig(tmp_path / "a.png")


def test_only_one_place_saves_figures(trees):
    saving = {
        module
        for module, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in {"savefig", "print_png", "print_svg", "print_figure"}
    }
    assert saving == {"lensaudit.display.figures"}, "save figures by lensaudit.display.figures.save_figure"


def test_plots_on_pages_are_their_svg_to_a_hundredth_of_a_point():
    figure = drawn("a & b < 100 %, #1 “quoted”")
    whole = svg_bytes(figure)
    uri = svg_uri(whole)
    assert len(uri) < 0.8 * len(base64.b64encode(whole))
    assert not set(uri.partition(":")[2]) & set("\"'<>&#:\n")
    before_all, kept = (ElementTree.fromstring(one) for one in (whole, unquote(uri.partition(",")[2]).encode()))
    numbers = re.compile(r"-?\d+\.?\d*(?:e-?\d+)?")
    for before, after in zip(before_all.iter(), kept.iter(), strict=True):
        assert before.tag == after.tag
        for name, value in before.attrib.items():
            assert numbers.sub("n", " ".join(value.split())) == numbers.sub("n", " ".join(after.attrib[name].split()))
            pairs = zip(numbers.findall(value), numbers.findall(after.attrib[name]), strict=True)
            assert all(abs(float(a) - float(b)) < 0.0100001 for a, b in pairs), name
