"""Seeded edits of every file that lensaudit reads again: each is refused in one line, or read as it was.

What we wrote ourselves carries digests, so that another content is never taken; what a user writes (recipes, probes,
tables) may say something else, and then it is read as that. ``campaign(1000, 1)`` counts more of them.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from campaigns.damage import SPECIAL, make_special
from campaigns.mutators import mutate

from lensaudit.clustering.page import Marks, read_marks
from lensaudit.comparing import Comparison
from lensaudit.documents import keep_json, kept_json
from lensaudit.errors import DataError, LensauditError
from lensaudit.evaluation.visual_inspection import read_grades
from lensaudit.files import builtin_folder
from lensaudit.finders import load_recipe, read_record, read_scores, write_scores
from lensaudit.finders.score import Scores
from lensaudit.lensset import BandHeader, CatalogueColumn, Header, LensSet, LensSetWriter, Records
from lensaudit.lensset.check import check_set
from lensaudit.lensset.coordinates import plain_wcs
from lensaudit.lensset.ingest.external import external_rows
from lensaudit.probes.definition import builtin_probes, load_definition
from lensaudit.probes.outside.importing import read_outside_scores
from lensaudit.probes.outside.key import read_key, schema_of, write_key
from lensaudit.probes.outside.plan import plan_export
from lensaudit.report.audit_file import certificate_block, read_audit, write_audit
from lensaudit.report.schema import Audit
from lensaudit.scenes.scene import Scene
from tests.comparing.made_up import comparison

IDS = [f"s{i}" for i in range(6)]


@dataclass(frozen=True)
class Reader:
    """A file below the samples, its kind for `mutate`, who reads it, and whether we wrote it and sealed it."""

    file: str
    kind: str
    read: Callable[[Path], Any]
    ours: bool = True
    remade: bool = False


def _whole_set(root: Path) -> Any:
    found = check_set(root / "set").as_json()
    opened = LensSet.open(root / "set")
    cards = [str(opened.wcs(i, "VIS").to_header()) for i in range(len(opened))]
    header = opened.header.model_dump(exclude={"checksums"})
    return found | {"path": "", "checksums": True}, header, cards, [opened.scene(i) for i in range(len(opened))]


def _scores(path: Path) -> Any:
    scores, record = read_scores(path, IDS)
    return scores.ids, scores.p_lens.tolist(), scores.logit.tolist(), scores.status, record


def _comparison(root: Path) -> Any:
    found = Comparison.read(root)
    return found.to_json(), found.speed


def _key(path: Path) -> Any:
    key = read_key(path)
    return key.plan, key.manifest_hash, key.table.to_pylist()


READERS = {
    "header": Reader("set/lensset.json", "json", _whole_set),
    "catalogue": Reader("set/catalogue.parquet", "parquet", _whole_set),
    "wcs": Reader("set/wcs.jsonl", "json", _whole_set),
    "scenes": Reader("set/scenes.jsonl", "json", _whole_set),
    "pixels": Reader("set/images/VIS/c/0/0/0", "bytes", _whole_set),
    "array": Reader("set/images/VIS/zarr.json", "json", _whole_set),
    "scores": Reader("scores.parquet", "parquet", lambda root: _scores(root / "scores.parquet"), ours=False),
    "scores as text": Reader("scores.csv", "csv", lambda root: _scores(root / "scores.csv"), ours=False),
    "outside scores": Reader(
        "outside.csv", "csv", lambda root: read_outside_scores(root / "outside.csv", IDS, 0.5).logit, ours=False
    ),
    "grades": Reader("grades.csv", "csv", lambda root: read_grades(root / "grades.csv", IDS), ours=False),
    "user's catalogue": Reader(
        "user.csv", "csv", lambda root: external_rows(IDS, "unknown", root / "user.csv").values, ours=False
    ),
    "user's Parquet": Reader(
        "user.parquet", "parquet", lambda root: external_rows(IDS, "unknown", root / "user.parquet").values, ours=False
    ),
    "finder": Reader("finder.yaml", "yaml", read_record, ours=False),
    "recipe": Reader("recipe.yaml", "yaml", lambda root: load_recipe(str(root / "recipe.yaml")), ours=False),
    "probe": Reader("probe.yaml", "yaml", lambda root: load_definition(root / "probe.yaml"), ours=False),
    "audit": Reader("audit.json", "json", read_audit),
    "comparison": Reader("compare.json", "json", _comparison),
    "speed": Reader("speed.json", "json", _comparison),
    "certificate": Reader("planted.json", "json", lambda root: certificate_block(root / "planted.json"), ours=False),
    "marks": Reader("marks.json", "json", lambda root: read_marks(root / "marks.json", "ab" * 32, 4), ours=False),
    "key": Reader("key/key.parquet", "parquet", lambda root: _key(root / "key")),
    "kept piece": Reader("kept.json", "json", lambda root: kept_json(root / "kept.json"), remade=True),
}


def make_samples(root: Path) -> None:
    """One good file of each kind."""
    _make_set(root / "set")
    p = np.array([0.1, 0.9, 0.5, np.nan, 1.0, 0.25])
    with np.errstate(divide="ignore"):
        logit = np.clip(np.log(p / (1 - p)), -40, 40)
    status = tuple("ok" if np.isfinite(one) else "band VIS is constant" for one in p)
    inputs = {"provenance": {"inputs": {"finder": "ab", "set": "cd"}}}
    write_scores(Scores(tuple(IDS), p, logit, status), root / "scores.parquet", inputs)
    values = zip(IDS, p.tolist(), status, strict=True)
    lines = [f"{name},{'' if why != 'ok' else one},{why}\n" for name, one, why in values]
    (root / "scores.csv").write_text("id,p,status\n" + "".join(lines))
    (root / "outside.csv").write_text("id,p\n" + "".join(f"{name},0.{i}\n" for i, name in enumerate(IDS)))
    (root / "grades.csv").write_text("id,grade\n" + "".join(f"{name},{'AB'[i % 2]}\n" for i, name in enumerate(IDS)))
    (root / "user.csv").write_text(
        "id,label,z,note\n" + "".join(f"{name},{i % 2},0.{i},x\n" for i, name in enumerate(IDS))
    )
    columns = {"id": IDS, "is_lens": [1.0, 0, 1, 0, 1, 0], "z": [0.1, None, 0.3, 0.4, 0.5, 0.6], "note": ["a"] * 6}
    pq.write_table(pa.table(columns), root / "user.parquet")
    shutil.copy(builtin_folder("models") / "ou66" / "finder.yaml", root / "finder.yaml")
    shutil.copy(builtin_folder("models") / "ou66" / "recipe.yaml", root / "recipe.yaml")
    shutil.copy(builtin_probes()["red-source"], root / "probe.yaml")
    shutil.copy(builtin_folder("reports") / "planted-bias" / "planted.json", root / "planted.json")
    audit = json.loads((builtin_folder("reports") / "example-ou66" / "audit.json").read_text(encoding="utf-8"))
    write_audit(root, Audit.from_json(audit))
    comparison(("ou66", "ou200"), 40).write(root)
    Marks(clusters="ab" * 32, marks={0: 1.0, 1: 0.5, 3: 0.0}).write(root / "marks.json")
    keep_json(root / "kept.json", {"key": "k", "value": 0.5, "list": [1, 2]})
    _make_key(root / "key")


def _make_set(root: Path) -> None:
    cards = plain_wcs((8, 8), 0.1).to_header().tostring(sep="\n", endcard=False, padding=False)
    columns = (
        CatalogueColumn(name="label", unit="", description="", dtype="int8"),
        CatalogueColumn(name="z_lens", unit="", description="", dtype="float64"),
        CatalogueColumn(name="note", unit="", description="", dtype="str"),
    )
    band = BandHeader(name="VIS", shape=(8, 8), pixel_scale_arcsec=0.1, zero_point_mag=25.0, unit="e")
    header = Header(
        instrument="euclid", bands=(band,), n=6, chunk=6, columns=columns, has_wcs=True, has_scenes=True, seed=1
    )
    writer = LensSetWriter(root, header)
    writer.start()
    images = np.random.default_rng(1).normal(size=(6, 8, 8)).astype(np.float32)
    rows = [{"label": i % 2, "z_lens": i / 10, "note": "x"} for i in range(6)]
    scene = Scene("single", (), noise_seed=3).to_json()
    writer.write(0, Records(IDS, {"VIS": images}, rows, scenes=[scene] * 6, wcs=[{"VIS": cards}] * 6))
    writer.finish()


def _make_key(folder: Path) -> None:
    plan = plan_export(2, 0, ["band-swap"])
    rows = [
        {"probe": one.definition.name, "population": one.label, "arm": arm, "index": index, "id": f"c{arm}{index}"}
        for one in plan.asked
        for arm in range(len(one.experiment.arms))
        for index in range(2)
    ]
    plain = {field.name: "" if pa.types.is_string(field.type) else 0 for field in schema_of(plan)}
    write_key(folder, plan, [pa.Table.from_pylist([plain | row for row in rows], schema_of(plan))], "cd" * 32)


def trial(name: str, samples: Path, work: Path, seed: int) -> str:
    """Change the file of reader `name` in a copy, read it; how it ended, in words."""
    reader = READERS[name]
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(samples, work)
    before = repr(reader.read(samples))
    deed, wrong = mutate(work / reader.file, reader.kind, np.random.default_rng([seed, *name.encode()]))
    try:
        after = repr(reader.read(work))
    except LensauditError as error:
        line = str(error)
        assert line.isprintable(), f"{name}, seed {seed}, {deed}: {line!r}"
        assert len(line) < 1200, f"{name}, seed {seed}, {deed}: {line!r}"
        return "refused"
    if after == before:
        return "read as it was"
    if reader.remade and after == "{}":
        return "made again"
    unsealed = "no seal" in deed  # as an earlier version wrote it: what is changed then cannot be seen
    right = (unsealed or not reader.ours) and not wrong
    assert right, f"{name}, seed {seed}, {deed}: another content was taken"
    return "read as what it says now"


def campaign(n: int, seed: int, samples: Path, work: Path) -> Counter[tuple[str, str]]:
    """`n` trials, the readers in turn; how often each ended how."""
    names = list(READERS)
    return Counter((names[i % len(names)], trial(names[i % len(names)], samples, work, seed + i)) for i in range(n))


@pytest.fixture(scope="module")
def samples(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    make_samples(folder)
    return folder


@pytest.mark.parametrize("name", READERS)
def test_a_changed_file_is_refused_in_one_line_or_read(samples: Path, tmp_path: Path, name: str):
    ended = Counter(trial(name, samples, tmp_path / "work", seed) for seed in range(5))
    assert ended.total() == 5


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("name", READERS)
def test_what_is_no_file_is_never_taken_for_a_missing_one(samples: Path, tmp_path: Path, name: str, kind: str):
    """A link to itself ended the reading of chunks in an OSError; ``speed.json`` as a pipe was passed over."""
    reader = READERS[name]
    shutil.copytree(samples, tmp_path / "work")
    make_special(tmp_path / "work" / reader.file, kind)
    if reader.remade:
        assert reader.read(tmp_path / "work") == {}
    else:
        with pytest.raises(LensauditError) as refused:
            reader.read(tmp_path / "work")
        assert str(refused.value).isprintable()


def test_the_samples_are_read(samples: Path):
    for reader in READERS.values():
        assert reader.read(samples)
    assert yaml.safe_load((samples / "finder.yaml").read_text(encoding="utf-8"))["recipe"]["name"] == "ou66"


def test_a_key_whose_rows_fit_but_are_others_is_refused(samples: Path, tmp_path: Path):
    shutil.copytree(samples / "key", tmp_path / "key")
    path = tmp_path / "key" / "key.parquet"
    table, words = pq.read_table(path), pq.read_metadata(path).metadata
    ids = pa.array(table.column("id").to_pylist()[::-1])
    pq.write_table(table.set_column(table.column_names.index("id"), "id", ids).replace_schema_metadata(words), path)
    with pytest.raises(DataError, match="was changed after the export"):
        read_key(path)
