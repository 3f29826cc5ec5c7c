"""Vectors in files, neighbours, the map, and what can be read, against references and closed forms."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from reference.plain_neighbours import plain_nearest
from torch import nn

from lensaudit.embedding import Embedding, EmbedOptions, measure_embedding, vectors
from lensaudit.embedding.measure import embedded_in, npy_of
from lensaudit.embedding.neighbours import Asked, nearest, neighbours_of, outcomes
from lensaudit.embedding.readability import Question, _auroc, _Read, questions, read_all
from lensaudit.embedding.vectors import EmbedPart, Vectors, embed_spread, layer_of, spread_over, store_in, values_of
from lensaudit.errors import DataError, UsageError
from lensaudit.evaluation.vectors import vectors_of
from lensaudit.finders import score_set
from lensaudit.statistics import auroc
from tests.realism_gate.toys import SIDE, drawn_set, images, toy_finder, toy_module


def silent(stage: str, done: int, total: int) -> None:
    """Tell nobody."""


def bytes_of(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def hooks(module: nn.Module) -> int:
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in module.modules())


def test_vectors_lie_beside_the_scores_and_give_them(found, finder, planted):
    embedded, folder = found
    table = pq.read_table(folder / "vectors" / "part-000000.parquet")
    assert table["id"].to_pylist() == planted.ids
    assert table["label"].to_pylist() == planted.labels.tolist()
    scores = score_set(finder, planted)
    assert table["logit"].to_numpy() == pytest.approx(scores.logit, abs=1e-6)  # rounding of float32
    last = finder.module[5]
    answer = embedded.vectors @ last.weight.detach().numpy()[0] + last.bias.detach().numpy()
    assert answer == pytest.approx(scores.logit, abs=1e-4)  # float32 sums


def test_a_stopped_run_goes_on_and_writes_the_same_bytes(finder, planted, tmp_path, monkeypatch):
    monkeypatch.setattr(vectors, "PART", 64)
    asked, layer = EmbedOptions(batch=16), layer_of(finder)
    whole = embedded_in(tmp_path / "whole", finder, planted, layer, asked, silent, "embedding")
    assert [len(span) for span in whole.parts] == [64, 64, 22]

    def stop(stage: str, done: int, total: int) -> None:
        if done > 80:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embedded_in(tmp_path / "vectors", finder, planted, layer, asked, stop, "embedding")
    assert [path.name for path in (tmp_path / "vectors").iterdir()] == ["part-000000.parquet"]
    assert hooks(finder.module) == 0
    seen: list[int] = []
    store = embedded_in(
        tmp_path / "vectors", finder, planted, layer, asked, lambda stage, done, total: seen.append(done), "embedding"
    )
    assert min(seen) == 64
    assert bytes_of(tmp_path / "vectors") == bytes_of(tmp_path / "whole")
    some = np.array([3, 70, 149])
    assert store.read(some).ids == tuple(planted.ids[row] for row in some)
    assert np.array_equal(np.load(npy_of(store, tmp_path), allow_pickle=False), whole.read().values)
    (tmp_path / "vectors" / "part-000001.parquet").write_bytes(b"torn")
    with pytest.raises(DataError, match=r"part-000001.parquet: is missing or torn; run the same command again"):
        store.read()
    smaller = drawn_set(tmp_path / "smaller", 40, 4)
    other = embedded_in(tmp_path / "vectors", finder, smaller, layer, asked, silent, "embedding")
    assert other.read().ids == tuple(smaller.ids)  # another set's files are not taken for its own
    assert [path.name for path in (tmp_path / "vectors").iterdir()] == ["part-000000.parquet"]


def test_a_named_layer_is_averaged_over_the_image(finder, planted, tmp_path):
    layer = layer_of(finder, "0")
    assert (layer.side, layer.features, layer.pooled) == ("output", 6, True)
    store = embedded_in(tmp_path, finder, planted, layer, EmbedOptions(), silent, "embedding")
    with torch.inference_mode():
        maps = finder.module[0](finder.preprocess(planted.cutouts(slice(0, 20))))
    assert store.read(np.arange(20)).values == pytest.approx(maps.mean(dim=(2, 3)).numpy(), abs=1e-5)  # float32 sums


class Pair(nn.Module):
    """A layer that returns no tensor, and one that never runs."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.idle, self.head = nn.LSTM(SIDE, 4, batch_first=True), nn.Linear(2, 2), nn.Conv1d(SIDE, 1, 4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(images.mean(dim=1))[0]).flatten(1) * 9


@pytest.mark.parametrize(
    ("layer", "line"),
    [
        ("", "no linear layer .* is seen to run in this finder, so no embedding; name a layer"),
        ("nine", "finder custom has no layer nine; its layers are body, idle, head"),
        ("body", "layer body returns tuple for 2 images, not numbers of each; name another layer"),
        ("idle", "layer idle does not run when finder custom answers; name another"),
    ],
)
def test_layers_that_cannot_be_had(layer, line):
    with torch.random.fork_rng():
        torch.manual_seed(0)  # weights whose answers lie within [0, 1] would be taken for probabilities
        module = Pair()
    finder = toy_finder(module)
    with pytest.raises(UsageError, match=line):
        layer_of(finder, layer)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ({"metric": "angle"}, "--metric 'angle' is not known; allowed: cosine, euclidean"),
        ({"k": -1}, "--neighbours -1: must be 0 or more"),
        ({"perplexity": 1.0}, "--perplexity 1: at least 2 is needed"),
    ],
)
def test_options_out_of_range(words, line):
    with pytest.raises(UsageError, match=line):
        EmbedOptions(**words)


def test_colours_are_columns_of_numbers(finder, planted, tmp_path):
    for name, line in (("nine", "--colour nine: .* has no such column; it has id, "), ("id", "holds words")):
        with pytest.raises(UsageError, match=line):
            measure_embedding(finder, planted, tmp_path, EmbedOptions(colours=(name,)), silent)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("itself", [True, False])
def test_neighbours_are_those_of_brute_force(metric, itself):
    rng = np.random.default_rng(1)
    queries = rng.normal(size=(30, 5)).astype(np.float32)
    among = queries if itself else rng.normal(size=(50, 5)).astype(np.float32)
    own = np.arange(30) if itself else None
    distance, place = nearest(queries, among, Asked(metric, 4), own)
    for row in range(30):
        plain = plain_nearest(queries[row], among, 4, metric, row if itself else None)
        assert place[row].tolist() == [one for _, one in plain]
        assert distance[row] == pytest.approx([one for one, _ in plain], abs=1e-7)  # a² + b² − 2ab of doubles


def test_doubles_are_neighbours_and_an_image_is_not_its_own():
    queries = np.ones((6, 3), np.float32)
    distance, place = nearest(queries, queries, Asked("euclidean", 2), np.arange(6))
    assert distance.tolist() == [[0, 0]] * 6
    assert place.shape == (6, 2)
    assert nearest(queries[:1], queries[:1], Asked(), np.zeros(1, np.intp))[0].shape == (1, 0)


def made_up(labels, logit, values):
    n = len(labels)
    names, ok = tuple(f"i{row}" for row in range(n)), ("ok",) * n
    return Vectors(np.arange(n), names, ok, np.array(labels, np.int8), np.array(logit, float), np.float32(values))


def test_the_fraction_of_non_lenses_around_a_missed_lens():
    """Two heaps: a missed lens among three non-lenses, one among a non-lens, a lens and an unlabelled image."""
    heaps = [[1, 0.0], [1, 0.1], [1, 0.2], [1, 0.3], [0.0, 1], [0.1, 1], [0.2, 1], [0.3, 1]]
    vectors = made_up([1, 0, 0, 0, 1, 0, 1, -1], [-3, -1, -1, -1, -2, -1, 2, 0], heaps)
    found, table = neighbours_of(vectors, vectors, 0.5, Asked("euclidean", 3), "set", np.random.default_rng(0))
    missed = {one.id: one.non_lenses for one in found.errors}
    assert missed == {"i0": 1.0, "i4": 0.5}
    assert [one.id for one in found.errors] == ["i0", "i4"]  # the worst first
    assert found.group("false negatives").non_lenses == 0.75
    assert found.group("false positives") is None
    assert (found.base, found.n_among, found.itself) == (4 / 7, 8, True)
    assert table["neighbour"].to_pylist()[:3] == ["i1", "i2", "i3"]
    assert outcomes(vectors, 0.5)["lenses found"].tolist() == [6]
    right = made_up([1, 0], [1, -1], [[1.0], [0.0]])
    found, table = neighbours_of(right, right, 0.5, Asked(), "set", np.random.default_rng(0))
    assert table is None
    assert found.errors == ()
    assert found.sentence.startswith("No lens is missed; of the 1 nearest of the other images of the set")
    unlabelled = made_up([-1, -1], [1, -1], [[1.0], [0.0]])
    assert neighbours_of(unlabelled, unlabelled, 0.5, Asked(), "set", np.random.default_rng(0)) == (None, None)


def question(target, binary=False):
    return Question("y", "", np.asarray(target, float).reshape(len(target), -1), binary)


def test_a_linear_column_is_read_as_well_as_its_noise_allows_and_a_random_one_not():
    rng = np.random.default_rng(4)
    n, features = 1500, rng.normal(size=(1500, 8))
    weights = np.linspace(-1, 1, 8)
    noise = rng.normal(scale=1.0, size=n)
    asked = [question(features @ weights + noise), question(rng.normal(size=n)), question(rng.random(n) < 0.5, True)]
    names = [f"s{row}" for row in range(n)]
    found = read_all(features, rng.normal(size=(n, 4)), asked, names, np.random.default_rng(0))
    binary, linear, chance = found
    closed = (weights @ weights) / (weights @ weights + 1)
    assert linear.value == pytest.approx(closed, abs=0.04)  # √(n) error of R² is 0.016
    assert linear.low < closed < linear.high
    assert (linear.known, linear.beyond) == (True, True)
    assert chance.low - 0.01 < 0 < chance.high + 0.01  # a ridge that learns noise is a little worse than the mean
    assert not chance.known
    assert binary.low < 0.5 < binary.high
    assert (binary.measure, binary.positive, binary.known) == ("AUROC", int(asked[2].target.sum()), False)
    assert linear.permuted_high < 0.02  # shuffled 20 times
    assert abs(linear.statistics) < 0.02


def test_systems_stand_in_one_fold_and_are_resampled_whole():
    """Each system ten times over, its target its own: only a split by system tells that nothing can be read."""
    rng = np.random.default_rng(7)
    system = np.repeat(np.arange(30), 10)
    features, target = rng.normal(size=(30, 40))[system], rng.normal(size=30)[system]
    alone, grouped = (
        read_all(features, None, [question(target)], names, np.random.default_rng(0))[0]
        for names in ([f"i{row}" for row in range(300)], [f"s{one}" for one in system])
    )
    assert alone.value > 0.9
    assert grouped.value < 0.1
    assert not grouped.known


def test_the_auroc_of_a_resample_is_that_of_the_images_drawn():
    rng = np.random.default_rng(2)
    score, yes = rng.integers(0, 8, size=60).astype(float), rng.random(60) < 0.4
    counts = np.bincount(rng.integers(60, size=60), minlength=60)
    read = _Read(yes[:, None, None] - 0.5, score[:, None, None], np.zeros((60, 1, 1)))
    drawn = np.repeat(np.arange(60), counts)
    one, other = _auroc(read, np.stack([np.ones(60), counts]), 0)
    assert one == pytest.approx(auroc(score[yes], score[~yes]), abs=1e-12)  # ties count half in both
    again, positive = score[drawn], yes[drawn]
    assert other == pytest.approx(auroc(again[positive], again[~positive]), abs=1e-12)


def test_which_columns_are_asked_about(planted):
    assert [one.name for one in questions(planted, np.arange(150))] == ["label", "flux_of_r", "chance"]
    assert questions(planted, np.arange(20)) == []  # too few


def test_the_flux_of_an_image_is_known_to_its_statistics_and_chance_to_nobody(found):
    record = found[0].record
    by = {one.column: one for one in record.readability}
    assert by["flux_of_r"].statistics > 0.8
    assert by["flux_of_r"].known
    assert not by["chance"].known
    assert not by["label"].known  # a coin's
    assert by["label"].measure == "AUROC"
    assert (record.read_n, record.statistics_n) == (150, 25)  # 13 of either band and a colour; none has a zero fraction


def test_the_same_seed_gives_the_same_record_and_page(found, finder, planted, tmp_path, monkeypatch):
    monkeypatch.setattr("lensaudit.embedding.pictures.SHOWN_ERRORS", 1)  # of each kind: seven panels a row take time
    embedded, folder = found
    embedded.write(folder)
    options = EmbedOptions(colours=("chance",), perplexity=10, map_n=60)
    again = measure_embedding(finder, planted, tmp_path, options, silent)
    assert again.record.to_json() == embedded.record.to_json()
    again.write(tmp_path)
    names = {"map.png", "reading.png", "neighbours.png", "neighbours.parquet", "embedding.json", "embedding.md"}
    one, other = ({name: (place / name).read_bytes() for name in names} for place in (folder, tmp_path))
    assert one == other
    record = Embedding.read(folder / "embedding.json")
    assert record.to_json() == embedded.record.to_json()
    assert record.map is not None
    assert record.map.positions.shape == (60, 2)
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert record.neighbours is not None
    assert f"n = {record.neighbours.group('false negatives').n}" in page.replace("\xa0", " ")
    assert "flux_of_r" in page


def test_neighbours_in_the_training_set(finder, planted, training, tmp_path):
    options = EmbedOptions(map_n=0, read=False, metric="euclidean", k=3)
    record = measure_embedding(finder, planted, tmp_path, options, silent, training).record
    assert record.map is None
    assert record.readability == ()
    assert record.training is not None
    near = record.neighbours
    assert (near.among, near.itself, near.n_among) == ("training", False, 40)
    assert {one.id for error in near.errors for one in error.neighbours} <= set(training.ids)


def test_images_that_cannot_be_scored_are_left_out(finder, tmp_path):
    drawn = images(60, 1)
    drawn["g"][7] = np.nan
    lens_set = drawn_set(tmp_path / "set", 60, 1, drawn=drawn)
    record = measure_embedding(finder, lens_set, tmp_path / "out", EmbedOptions(map_n=0), silent).record
    assert (record.set.n, record.set.failed) == (60, 1)
    assert record.readability[0].n == 59
    drawn["r"][:] = np.nan
    broken = drawn_set(tmp_path / "broken", 60, 1, drawn=drawn)
    with pytest.raises(DataError, match="none of 60 cutouts can be embedded"):
        measure_embedding(finder, broken, tmp_path / "none", EmbedOptions(), silent)


def test_rows_are_evenly_spread():
    assert spread_over(5, 9).tolist() == [0, 1, 2, 3, 4]
    assert spread_over(9, 3).tolist() == [0, 4, 8]


def test_a_wide_layer_is_projected_and_says_so(planted, tmp_path, monkeypatch):
    monkeypatch.setattr(vectors, "MOST", 10)
    monkeypatch.setattr("lensaudit.realism_gate.last_layer.MOST_FEATURES", 4)
    finder = toy_finder(toy_module(hidden=12))
    record = measure_embedding(finder, planted, tmp_path, EmbedOptions(map_n=0, read=False), silent).record
    assert record.layer.words == "input of layer 5, 12 numbers, 4 random directions of them"
    table = pq.read_table(tmp_path / "vectors" / "part-000000.parquet")
    assert values_of(table).shape == (150, 4)


def test_the_command(cli, planted, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "embed_toy.py").write_text("from tests.realism_gate.toys import toy_finder as make\n")
    asked = f"embed embed_toy:make {planted.path} --out {tmp_path / 'out'} --map-n 0 --npy"
    done = cli(*asked.split())
    assert done.exit_code == 0
    assert (
        f"{tmp_path / 'out'}: vectors of 150 images in vectors/, embedding.npy; index.html, embedding.json"
        in done.stdout
    )
    assert "taken: input of layer 5, 12 numbers" in done.stdout
    other = drawn_set(tmp_path / "other", 40, 2)
    with pytest.raises(UsageError, match="or --force to replace it"):
        cli(*asked.replace(str(planted.path), str(other.path)).split())
    with pytest.raises(UsageError, match="--only-vectors measures nothing, so it takes no --training"):
        cli(*f"{asked} --only-vectors --training {planted.path}".split())


class Reading(NamedTuple):
    """How a set is read, as the options say it."""

    field_of_view: float | None = None
    resample: bool = False
    refit: bool = False
    device: str = "cpu"
    threads: int | None = None


def test_parts_from_elsewhere_are_the_same_bytes_and_spread_candidates_out(finder, planted, tmp_path, monkeypatch):
    """A part made as a worker process makes it, from names alone."""
    monkeypatch.setattr(vectors, "PART", 64)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "spread_toy.py").write_text("from tests.realism_gate.toys import toy_finder as make\n")
    stores = [store_in(tmp_path / name, finder, planted, layer_of(finder), 16) for name in ("one", "other")]
    tasks = [EmbedPart("spread_toy:make", planted.path, Reading(), "", store, 16) for store in stores]
    embed_spread(tasks[0], (finder, planted), 1, lambda done, n: None)
    assert [tasks[1](part) for part in (2, 0, 1)] == [22, 64, 64]
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "other")
    (tmp_path / "other" / "part-000001.parquet").unlink()
    seen: list[int] = []
    embed_spread(tasks[1], (finder, planted), 1, lambda done, n: seen.append(done))
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "other")
    rows = np.array([149, 2, 70])
    found = vectors_of(tmp_path / "one", [planted.ids[row] for row in rows], rows)
    assert np.array_equal(found, stores[0].read().values[rows].astype(float))
    with pytest.raises(DataError, match=r"holds no part-000000\.parquet"):
        vectors_of(tmp_path, ["a"], np.array([0]))


def test_options_are_in_the_record(found):
    record = replace(found[0].record, notes=("one",))
    assert (record.map.perplexity, record.map.seed, list(record.map.colours)) == (10, 0, ["chance"])
