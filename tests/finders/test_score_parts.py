"""Scores in a folder of parts: the same as in one file, the same bytes whatever happens, and nothing lost."""

from __future__ import annotations

import errno
import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lens_sets import write_set

from lensaudit import parts
from lensaudit.cli import score_parts as command
from lensaudit.cli.options import Reading
from lensaudit.errors import DataError
from lensaudit.finders import read_scores, score_parts
from lensaudit.finders.score_parts import ScorePart, refuse_doubled_ids, summary_of_parts
from lensaudit.parts import PartedTable, PartsIndex
from tests.realism_gate.toys import BANDS, drawn_set, images

N = 50
TOY = "tests.realism_gate.toys:toy_finder"


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn_set(tmp_path_factory.mktemp("sky") / "set", N, 3).path


@pytest.fixture(scope="module")
def undisturbed(cli, sky: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("scored") / "scores"
    cli("score", TOY, sky, "--part-rows", 15, "--workers", 1, "--out", out)
    return out


def scoring(sky: Path, out: Path, *more: object) -> list[object]:
    return ["score", TOY, sky, "--part-rows", 15, "--workers", 1, "--out", out, *more]


def files_of(folder: Path) -> dict[str, bytes]:
    """Name → bytes; the index without the command that was typed."""
    found = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    index = json.loads(found.pop("scores.json"))
    index.pop("digest")
    index["record"]["provenance"].pop("command")
    return found | {"scores.json": json.dumps(index, sort_keys=True).encode()}


def test_a_folder_holds_what_a_file_does(cli, sky, undisturbed, tmp_path):
    cli("score", TOY, sky, "--out", tmp_path / "scores.parquet")
    whole, record = read_scores(tmp_path / "scores.parquet")
    found, said = read_scores(undisturbed)
    assert (found.ids, found.status) == (whole.ids, whole.status)
    np.testing.assert_allclose(found.logit, whole.logit, rtol=0, atol=1e-6)  # threads, at most float32's rounding
    assert said.provenance.inputs == record.provenance.inputs
    assert said.finder == record.finder
    table = PartedTable.open(undisturbed)
    assert [table.index.span(part) for part in range(4)] == [slice(0, 15), slice(15, 30), slice(30, 45), slice(45, 50)]
    assert command.ROWS == parts.ROWS


def test_what_was_printed_is_the_same_too(cli, sky, undisturbed, tmp_path):
    one = cli("score", TOY, sky, "--out", tmp_path / "s.parquet", "--json", "--top", 7).stdout
    other = cli(*scoring(sky, undisturbed, "--json", "--top", 7)).stdout
    one, other = json.loads(one), json.loads(other)
    assert [row["id"] for row in one["top"]] == [row["id"] for row in other["top"]]
    assert {**other, "out": "", "top": "", "failed": {}} == {**one, "out": "", "top": "", "parts": 4, "failed": {}}
    assert "50 of 50 images scored with custom" in cli(*scoring(sky, undisturbed)).stdout


def test_another_process_opens_finder_and_set_by_itself_and_writes_the_same_bytes(sky, undisturbed, tmp_path):
    """What goes to it is pickled; ``make kills`` has real ones."""
    table = PartedTable(tmp_path, PartedTable.open(undisturbed).index)
    task = pickle.loads(pickle.dumps(ScorePart(TOY, sky, Reading(), table)))
    assert task(2) == (2, table.index.digests[2])
    name = table.path(2).name
    assert (tmp_path / name).read_bytes() == (undisturbed / name).read_bytes()


STOPS = {
    "Ctrl-C": (KeyboardInterrupt, 130, "run the same command again"),
    "a full disk": (lambda: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), 4, "the disk is full"),
}


@pytest.mark.parametrize("stop", STOPS)
def test_a_stopped_run_goes_on_to_the_same_bytes(lensaudit, sky, undisturbed, tmp_path, monkeypatch, stop):
    error, code, said = STOPS[stop]
    out, done, write = tmp_path / "scores", [], pq.write_table

    def stopped(table, where, **options):
        if len(done) == 2:
            Path(where).write_bytes(b"PAR1 torn")
            raise error()
        done.append(where)
        write(table, where, **options)

    monkeypatch.setattr(pq, "write_table", stopped)
    ended = lensaudit(*scoring(sky, out))
    assert (ended.code, ended.err.count(said)) == (code, 1)
    monkeypatch.undo()
    assert sorted(path.name for path in out.iterdir()) == ["part-000000.parquet", "part-000001.parquet", "scores.json"]
    with pytest.raises(DataError, match=r"2 of 4 parts are there; run .* again, it goes on"):
        read_scores(out)
    scored = []
    monkeypatch.setattr(ScorePart, "__call__", counting(ScorePart.__call__, scored))
    assert lensaudit(*scoring(sky, out)).code == 0
    assert scored == [2, 3]
    assert files_of(out) == files_of(undisturbed)


def counting(call, scored):
    def counted(task, part):
        scored.append(part)
        return call(task, part)

    return counted


def test_torn_and_changed_parts_are_made_again(lensaudit, sky, undisturbed, tmp_path):
    out = tmp_path / "scores"
    lensaudit(*scoring(sky, out))
    (out / "part-000001.parquet").write_bytes((out / "part-000001.parquet").read_bytes()[:-7])
    table = pq.read_table(out / "part-000002.parquet")
    logit = table.column("logit").to_numpy().copy()
    logit[3] += 1
    pq.write_table(table.set_column(2, table.schema.field(2), pa.array(logit)), out / "part-000002.parquet")
    (out / "part-000003.parquet").write_bytes((out / "part-000000.parquet").read_bytes())
    for words in (["audit-plan", out, "--out", tmp_path / "p"], ["evaluate", TOY, sky, "--scores", out]):
        code, _, err = lensaudit(*words)
        assert (code, err.count("\n")) == (3, 1)
        assert "part-00000" in err
    assert lensaudit(*scoring(sky, out)).code == 0
    assert files_of(out) == files_of(undisturbed)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("doubled", "part-000002.parquet: has column p_lens twice; run the lensaudit score that writes it again"),
        ("missing", "part-000002.parquet: has other columns than part-000000.parquet; run the lensaudit score"),
    ],
)
def test_a_part_with_other_columns_is_one_line(what, said, lensaudit, undisturbed, tmp_path):
    out = tmp_path / "scores"
    shutil.copytree(undisturbed, out)
    table = pq.read_table(path := out / "part-000002.parquet")
    changed = (
        table.append_column("p_lens", table.column("p_lens")) if what == "doubled" else table.drop_columns("logit")
    )
    pq.write_table(changed, path)
    code, _, err = lensaudit("audit-plan", out, "--budget", 8, "--strata", 2, "--least", 2, "--out", tmp_path / "plan")
    assert (code, err.count("\n")) == (3, 1)
    assert said in err


def test_other_scores_in_the_folder_are_refused_and_replaced_by_force(lensaudit, sky, undisturbed, tmp_path):
    out = tmp_path / "scores"
    lensaudit(*scoring(sky, out, "--prior", 0.01))
    assert "p_lens_prior" in pq.read_schema(out / "part-000000.parquet").names
    for more in ([], ["--prior", 0.02], ["--part-rows", 25], ["--batch", 3]):
        code, _, err = lensaudit(*scoring(sky, out, *more))
        assert (code, err.count("\n")) == (2, 1), more
        assert "holds other scores (finder, set or options); give another --out, or --force" in err
    assert lensaudit(*scoring(sky, out, "--part-rows", 40, "--force")).code == 0
    assert len(files_of(out)) == 3
    assert lensaudit(*scoring(sky, out, "--force")).code == 0
    assert files_of(out) == files_of(undisturbed)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    assert "holds something else" in lensaudit(*scoring(sky, tmp_path / "mine")).err


def test_options_that_do_not_go_together_are_refused(lensaudit, sky, tmp_path):
    for words, said in {
        ("--out", tmp_path / "s.csv", "--workers", 2): "--workers is of a folder of scores",
        ("--out", tmp_path / "s", "--detections", tmp_path / "d.fits"): "--detections is written beside one file",
    }.items():
        code, _, err = lensaudit("score", TOY, sky, *words)
        assert (code, err.count("\n")) == (2, 1)
        assert said in err
    assert list(tmp_path.iterdir()) == []


class Named:
    """Cutouts of which only the ids are asked for."""

    path = Path("survey")

    def __init__(self, ids: list[str]) -> None:
        self._ids = ids

    def __len__(self) -> int:
        return len(self._ids)

    def ids_in(self, span: slice) -> list[str]:
        return self._ids[span]


@pytest.mark.parametrize("files", [1, 7])
def test_ids_doubled_over_parts_are_one_line(tmp_path, monkeypatch, files):
    monkeypatch.setattr(score_parts, "AT_ONCE", 100)
    monkeypatch.setattr(score_parts, "_HASHES", -(-1000 // files))
    names = [f"eu-{row}" for row in range(1000)]
    (tmp_path / ".ids-left").mkdir()  # of a run that was killed
    (tmp_path / ".ids-left" / "0").write_bytes(b"torn")
    refuse_doubled_ids(Named(names), tmp_path)
    assert list(tmp_path.iterdir()) == []
    names[913] = names[17]
    with pytest.raises(DataError, match="survey: id eu-17 is there twice, in rows 18 and 914"):
        refuse_doubled_ids(Named(names), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_doubled_ids_of_a_set_end_before_anything_is_scored(lensaudit, tmp_path, monkeypatch):
    """Rows 11 to 14 are all called same-1e+01; also where an earlier run of the command has ended so."""
    write_set(tmp_path / "set", images(14, 1), dict.fromkeys(BANDS, 0.2), ids="same-{:.0e}")
    scored: list[int] = []
    monkeypatch.setattr(ScorePart, "__call__", counting(ScorePart.__call__, scored))
    for _ in range(2):
        code, out, err = lensaudit(*scoring(tmp_path / "set", tmp_path / "out", "--part-rows", 5))
        assert (code, err.count("\n"), out) == (3, 1, "")
        assert "id same-1e+01 is there twice, in rows 11 and 12; give each image an id of its own" in err
        assert scored == []
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["scores.json"]
    with pytest.raises(DataError, match="0 of 3 parts are there"):
        read_scores(tmp_path / "out")


def test_the_highest_scores_are_those_of_a_sort(tmp_path):
    """Ties in the order of the rows, as where all are in memory."""
    draws = np.random.default_rng(2)
    logit = np.round(draws.normal(size=95), 1)
    logit[::9] = np.nan
    table = PartedTable(tmp_path, PartsIndex("k", 95, 20))
    for part in range(5):
        rows = np.arange(95)[table.index.span(part)]
        status = ["ok" if np.isfinite(logit[row]) else "flat" for row in rows]
        columns = {"id": [f"{row}" for row in rows], "p_lens": logit[rows], "logit": logit[rows], "status": status}
        table.piece(part).write(pa.table(columns))
    found = summary_of_parts(table, 12)
    order = np.argsort(-logit, kind="stable")[:12]
    assert [one.id for one in found.top] == [f"{row}" for row in order]
    assert (found.n, found.failed, found.first_failed) == (95, 11, ("0", "flat"))
    assert summary_of_parts(table, 0).top == []
