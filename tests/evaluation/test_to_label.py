"""Images to label: gains and spread by hand, weights that keep sums unbiased, and better than random."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.special import expit

from lensaudit.ensembles.stack import log_loss, regression
from lensaudit.errors import DataError, UsageError
from lensaudit.evaluation import scored_rows
from lensaudit.evaluation.scored_rows import ScoredRows
from lensaudit.evaluation.to_label import RANDOM, LabelSettings, spread_out, to_label
from lensaudit.evaluation.vectors import vectors_of
from lensaudit.statistics import entropy


def scores_at(path: Path, logits: np.ndarray, ids: list[str] | None = None, **more: np.ndarray) -> ScoredRows:
    names = [f"image-{row}" for row in range(len(logits))] if ids is None else ids
    pq.write_table(pa.table({"id": names, "p_lens": expit(logits), "logit": logits, **more}), path)
    return ScoredRows.open(path)


@pytest.fixture
def three(tmp_path: Path) -> list[ScoredRows]:
    """Three finders on 400 images, two of which have no score."""
    rng = np.random.default_rng(2)
    shared = rng.normal(-1, 2, 400)
    told = [shared + rng.normal(0, 1, 400) for _ in range(3)]
    told[1][[7, 9]] = np.nan
    return [scores_at(tmp_path / f"{place}.parquet", one) for place, one in enumerate(told)]


def test_gain_of_a_committee_is_the_mutual_information(three):
    plan, table = to_label(three, LabelSettings(30, random=0.0))
    assert (plan.images, plan.unscored, plan.by_gain, plan.at_random) == (398, 2, 30, 0)
    each = np.stack([next(one.pieces()).logit for one in three], axis=1)
    rows = [int(name.split("-")[1]) for name in table.column("id").to_pylist()]
    p = expit(each[rows])
    wanted = entropy(p.mean(axis=1)) - entropy(p).mean(axis=1)
    np.testing.assert_allclose(table.column("gain").to_numpy(), wanted, rtol=0, atol=1e-12)  # the same sums
    np.testing.assert_allclose(table.column("disagreement").to_numpy(), each[rows].std(axis=1), atol=1e-12)
    assert np.all(table.column("weight").to_numpy() == 1)
    every = expit(each[np.isfinite(each).all(axis=1)])
    assert table.column("gain")[0].as_py() == pytest.approx((entropy(every.mean(1)) - entropy(every).mean(1)).max())


def test_gain_of_one_finder_is_the_entropy_of_its_p(three):
    plan, table = to_label(three[:1], LabelSettings(5, random=0.0))
    assert plan.gain == "entropy of p, in nats"
    assert abs(table.column("p_lens")[0].as_py() - 0.5) < 0.05
    assert table.column_names == ["order", "id", "reason", "gain", "p_lens", "logit", "probability", "weight"]
    with pytest.raises(UsageError, match=r"--gain information: .* is of one finder"):
        to_label(three[:1], LabelSettings(5, gain="information"))


def test_the_next_is_the_largest_gain_times_distance():
    gain = np.array([1.0, 0.9, 0.5, 0.1])
    places = np.array([[0.0], [0.1], [3.0], [9.0]])
    # After the first: 0.9 × 0.1, 0.5 × 3, 0.1 × 9; after the third: 0.9 × 0.1, 0.1 × 6.
    assert spread_out(gain, places, 4).tolist() == [0, 2, 3, 1]
    assert spread_out(gain, np.ones((4, 1)), 3).tolist() == [0, 1, 2]  # nothing tells them apart: by gain alone
    assert spread_out(gain[:0], places[:0], 2).tolist() == []


def test_a_member_that_is_surer_than_sure_does_not_lead_the_spread(tmp_path):
    """Log-odds of 20 and of 55 are both p = 1: the same images are chosen, in the same order."""
    rng = np.random.default_rng(6)
    one, other = rng.normal(0, 3, (2, 300))
    sure = rng.random(300) < 0.1
    chosen = []
    for how in (20.0, 55.0):
        pair = [
            scores_at(tmp_path / f"{place}.parquet", z) for place, z in enumerate((np.where(sure, how, one), other))
        ]
        chosen.append(to_label(pair, LabelSettings(25, random=0.0))[1].column("id").to_pylist())
    assert chosen[0] == chosen[1]
    assert len({int(name.split("-")[1]) for name in chosen[0]} & set(np.flatnonzero(sure).tolist())) > 2


def test_random_ones_stand_for_the_others_and_are_mixed_in(three):
    plan, table = to_label(three, LabelSettings(40, random=0.25, seed=3))
    random = np.array(table.column("reason").to_pylist()) == RANDOM
    assert (int(random.sum()), plan.at_random) == (10, 10)
    assert np.flatnonzero(random).tolist() == list(range(2, 40, 4))  # one in each four, so that half is half of each
    assert plan.weight == (398 - 30) / 10
    weights = table.column("weight").to_numpy()
    assert weights.sum() == pytest.approx(398)
    np.testing.assert_allclose(weights * table.column("probability").to_numpy(), 1)
    assert len(set(table.column("id").to_pylist())) == 40
    assert to_label(three, LabelSettings(40, random=0.25, seed=3))[1].equals(table)
    other = to_label(three, LabelSettings(40, random=0.25, seed=4))[1]
    chosen = [set(np.array(one.column("id").to_pylist())[~random]) for one in (table, other)]
    assert chosen[0] == chosen[1]
    assert not other.equals(table)


def test_weighted_sums_are_unbiased(three):
    truth = np.random.default_rng(1).random(400) < 0.3
    truth[[7, 9]] = False
    totals = []
    for seed in range(40):
        table = to_label(three, LabelSettings(60, random=0.5, seed=seed))[1]
        rows = [int(name.split("-")[1]) for name in table.column("id").to_pylist()]
        totals.append(float(table.column("weight").to_numpy() @ truth[rows]))
    assert np.mean(totals) == pytest.approx(truth.sum(), abs=3 * np.std(totals) / np.sqrt(40))  # three standard errors


@pytest.mark.parametrize("pieces", [1, 7, 64])
def test_pieces_of_any_size_choose_alike(three, pieces, monkeypatch):
    wanted = to_label(three, LabelSettings(25))[1]
    monkeypatch.setattr(scored_rows, "AT_ONCE", pieces if pieces > 1 else 3)
    assert to_label(three, LabelSettings(25))[1].equals(wanted)


def test_labelled_images_and_other_images_are_seen(three, tmp_path):
    first = to_label(three, LabelSettings(20, random=0.0))[1].column("id").to_pylist()
    plan, table = to_label(three, LabelSettings(20, random=0.0), frozenset(first))
    assert (plan.left_out, plan.images) == (20, 378)
    assert not set(first) & set(table.column("id").to_pylist())
    with pytest.raises(UsageError, match="--n 399: only 398 images"):
        to_label(three, LabelSettings(399))
    short = scores_at(tmp_path / "short.parquet", np.zeros(399))
    with pytest.raises(DataError, match=r"short\.parquet: has fewer images than"):
        to_label([three[0], short], LabelSettings(5))
    odd = scores_at(tmp_path / "odd.parquet", np.zeros(400), [f"image-{row}" for row in (1, 0, *range(2, 400))])
    with pytest.raises(DataError, match=r"odd.parquet: row 1 is image image-1, in .*0.parquet it is image-0"):
        to_label([three[0], odd], LabelSettings(5))


def test_vectors_come_from_tables_in_any_order_or_from_arrays(tmp_path):
    rng = np.random.default_rng(0)
    whole = rng.normal(size=(30, 3))
    ids = [f"{row}" for row in range(30)]
    order = rng.permutation(30)
    pq.write_table(
        pa.table({"id": [ids[row] for row in order], "vector": whole[order].tolist()}), tmp_path / "v.parquet"
    )
    columns = {f"e{k}": whole[order, k] for k in range(3)}
    pq.write_table(pa.table({"id": [ids[row] for row in order], **columns}), tmp_path / "c.parquet")
    np.save(tmp_path / "v.npy", whole)
    rows = np.array([4, 0, 29])
    for name in ("v.parquet", "c.parquet", "v.npy"):
        np.testing.assert_array_equal(vectors_of(tmp_path / name, [ids[row] for row in rows], rows), whole[rows])
    with pytest.raises(DataError, match="1 images of the scores are missing, first other"):
        vectors_of(tmp_path / "v.parquet", ["0", "other"], rows[:2])
    with pytest.raises(DataError, match="has 30 rows, the scores have more"):
        vectors_of(tmp_path / "v.npy", ["0"], np.array([30]))
    np.save(tmp_path / "o.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(DataError, match="is no array of numbers"):
        vectors_of(tmp_path / "o.npy", ["0"], np.array([0]))


def test_chosen_labels_teach_more_than_random_ones(tmp_path):
    """As benchmarks/to_label.py, smaller: log loss of a regression on other images, paired by repetition."""
    better = []
    for seed in range(8):
        rng = np.random.default_rng([31, seed])

        def drawn(n: int, rng: np.random.Generator = rng) -> tuple[np.ndarray, np.ndarray]:
            label = (rng.random(n) < 0.15).astype(int)
            features = rng.normal(0, 1, (n, 6))
            features[:, 0] += 2.0 * label
            return features, label

        known, pool, test = drawn(60), drawn(1500), drawn(3000)
        told = []
        for place in range(4):
            rows = np.r_[rng.integers(0, 60, 60), np.flatnonzero(known[1])[:1]]
            weights, bias = regression(known[0][rows], known[1][rows])
            told.append(scores_at(tmp_path / f"{place}.parquet", pool[0] @ weights + bias))
        losses = []
        for random in (1.0, 0.25):
            ids = to_label(told, LabelSettings(60, random, seed))[1].column("id").to_pylist()
            rows = [int(name.split("-")[1]) for name in ids]
            weights, bias = regression(np.vstack([known[0], pool[0][rows]]), np.r_[known[1], pool[1][rows]])
            losses.append(log_loss(test[1], test[0] @ weights + bias))
        better.append(losses[1] - losses[0])
    assert np.mean(better) < 0


def test_the_command_writes_a_table_to_fill_in(lensaudit, three, tmp_path):
    out = tmp_path / "label.csv"
    words = ("to-label", *(one.path for one in three), "--n", 20, "--out", out)
    done = lensaudit(*words)
    assert done.code == 0, done.err
    assert "16 by mutual information of label and member (BALD), in nats, spread out in the members'" in done.out
    assert "4 at random, each standing for 95.5 images" in done.out
    lines = out.read_text(encoding="utf-8").splitlines()
    assert lines[0].replace('"', "").startswith("order,id,label,reason,gain,p_lens")
    assert len(lines) == 21
    again = lensaudit(*words)
    assert (again.code, "is there, perhaps with labels" in again.err) == (2, True)
    kept = tmp_path / "label.parquet"
    assert lensaudit(*words[:-1], kept, "--labelled", out).code == 0
    record = json.loads(pq.read_schema(kept).metadata[b"lensaudit"])
    assert (record["left_out"], record["images"]) == (20, 378)
    assert lensaudit(*words[:-1], tmp_path / "label.txt").code == 2
