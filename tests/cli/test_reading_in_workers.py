"""A worker process reads a set as its parent does: what is asked of the finder reaches the finder it opens itself."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from lensaudit import spread
from lensaudit.embedding import vectors
from lensaudit.explaining.judging import elsewhere
from lensaudit.explaining.judging.judge import Run
from lensaudit.finders import score_parts
from tests.realism_gate.toys import drawn_set

N = 8
OPTIONS = {"refit": ["--refit"], "field": ["--field-of-view", 4.8], "resampled": ["--resample"]}
COMMANDS = {
    "score": ("score", "--part-rows", 4),
    "embed": ("embed", "--only-vectors"),
    "judge": ("judge", "--method", "saliency", "--per-kind", 2, "--few", 1, "--with", "deletion"),
}


@pytest.fixture(scope="module")
def sky(tmp_path_factory) -> Path:
    return drawn_set(tmp_path_factory.mktemp("sky") / "set", N, 3).path


@pytest.fixture
def as_workers(monkeypatch):
    """Chunks go through what another process gets, a pickle, and through nothing that this one holds open."""
    asked: list[int] = []

    def apart(task, chunks, workers):
        for chunk in chunks:
            for module in (score_parts, vectors, elsewhere):
                monkeypatch.setattr(module, "_held", {})
            asked.append(chunk)
            yield pickle.loads(pickle.dumps(task))(chunk)

    monkeypatch.setattr(spread, "_in_processes", apart)
    monkeypatch.setattr(vectors, "PART", 4)
    return asked


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Of what workers write; tables beside it name the command."""
    files = [path for path in sorted(folder.rglob("*.parquet")) if path.name != "explanation-scores.parquet"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_worker_reads_the_set_as_its_parent_does(name, option, lensaudit, sky, as_workers, tmp_path, monkeypatch):
    command, *more = COMMANDS[name]
    words = (command, f"tests.cli.reading_toys:{option}", sky, *more, "--threads", 1)
    done: list[object] = []
    work = Run._do
    monkeypatch.setattr(Run, "_do", lambda run, task, progress: (done.append(task), work(run, task, progress))[1])
    refused = lensaudit(*words, "--workers", 2, "--out", tmp_path / "none")
    assert refused.code == 3, "without the option the set is not for this finder"
    for workers in (1, 2):
        ended = lensaudit(*words, *OPTIONS[option], "--workers", workers, "--out", tmp_path / str(workers))
        assert ended.code == 0, ended.err
    assert len(as_workers) > 1
    assert bytes_of(tmp_path / "1")
    assert bytes_of(tmp_path / "2") == bytes_of(tmp_path / "1")
    assert len(done) == (2 * len(as_workers) if name == "judge" else 0), "nothing that a worker did was done again"
