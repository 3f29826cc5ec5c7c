"""The chapter of what the network knows: made, taken up, drawn, and left out where no layer can be seen."""

from __future__ import annotations

from dataclasses import replace

import pytest
from torch import nn

from lensaudit.report.embedded import FOLDER, embedding_block, embedding_pictures
from lensaudit.report.options import AuditOptions, quiet
from lensaudit.report.render import render_report
from lensaudit.report.schema import Audit
from tests.realism_gate.toys import BANDS, SIDE, drawn_set, toy_finder

OPTIONS = AuditOptions(seed=3)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The block of a toy, and the folder of its audit."""
    folder = tmp_path_factory.mktemp("embedded")
    lens_set = drawn_set(folder / "set", 60, 1)
    return embedding_block(toy_finder(), lens_set, folder / "audit", OPTIONS, quiet), lens_set, folder / "audit"


def test_the_page_shows_what_was_measured(made, audit: Audit, write_folder, undrawn: None):
    block, _, where = made
    folder = write_folder(replace(audit, embedding=block))
    assert "t-SNE of" not in render_report(folder).read_text(encoding="utf-8")  # the audit alone, without pictures
    (folder / FOLDER).mkdir(exist_ok=True)
    for path in (where / FOLDER).glob("*.png"):
        (folder / FOLDER / path.name).write_bytes(path.read_bytes())
    page = render_report(folder).read_text(encoding="utf-8")
    assert '<section id="embedding">' in page
    assert "nearest neighbours of a missed lens" in page
    assert "can be read linearly" in page
    assert f"t-SNE of {len(block.map.labels)} images" in page
    assert "beside its nearest neighbours" in page
    assert "<summary>Every column</summary>" in page


def test_a_run_after_a_stopped_one_takes_it_up(made, monkeypatch):
    block, lens_set, where = made
    monkeypatch.setattr("lensaudit.embedding.measure_embedding", None, raising=False)
    assert embedding_block(toy_finder(), lens_set, where, OPTIONS, quiet).to_json() == block.to_json()


def test_another_seed_is_measured_anew(made, monkeypatch):
    _, lens_set, where = made

    def refuse(*_: object) -> None:
        raise RuntimeError("measured")

    monkeypatch.setattr("lensaudit.embedding.measure_embedding", refuse, raising=False)
    with pytest.raises(RuntimeError, match="measured"):
        embedding_block(toy_finder(), lens_set, where, replace(OPTIONS, seed=4), quiet)


def test_left_out_where_it_is_not_asked_for_or_no_layer_is_seen(made, tmp_path):
    _, lens_set, _ = made
    assert embedding_block(toy_finder(), lens_set, tmp_path, replace(OPTIONS, embed=False), quiet) is None
    conv = toy_finder(nn.Sequential(nn.Conv2d(len(BANDS), 1, SIDE), nn.Flatten()))
    assert embedding_block(conv, lens_set, tmp_path, OPTIONS, quiet) is None
    assert not (tmp_path / FOLDER).exists()


def test_pictures_that_are_no_pictures_are_not_shown(tmp_path):
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "map.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    (tmp_path / FOLDER / "neighbours.png").write_text("<svg>")
    assert embedding_pictures(tmp_path) == {}
