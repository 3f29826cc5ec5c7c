"""From a set to finders, page and numbers: resuming, marks, sets without labels, and what is refused."""

import copy
import html
import json
import re

import numpy as np
import pytest
import torch
from pyarrow import parquet
from torch import nn

from lensaudit.clustering import ClusterData, ClusterPlace, Extras, Sweep, cluster, sweep_embedding
from lensaudit.clustering.embed import Posed, embeddings
from lensaudit.clustering.network import Stage, StageTask, Workplace, drawn_images, train_network
from lensaudit.clustering.sweep import SweepResult
from lensaudit.display.page import content_policy
from lensaudit.errors import DataError, UsageError
from lensaudit.explaining import occlusion
from lensaudit.finders import Finder, load_finder, load_recipe, score_set
from lensaudit.training import Place, TrainingData, train
from lensaudit.training.prepared import prepare_set

EVERYTHING = Extras(ratios=(1, 100), cut=False, orientations=6, source_only=True)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return ClusterPlace(tmp_path_factory.mktemp("clustering"), device="cpu")


@pytest.fixture(scope="module")
def clustered(recipe, mixed, other, place, options):
    return cluster(recipe, ClusterData(mixed, other), place, options, EVERYTHING)


@pytest.fixture(scope="module")
def page(clustered, place):
    return (place.out / "clusters.html").read_text(encoding="utf-8").replace("\u00a0", " ")


def weights(folder):
    return load_finder(str(folder)).weights_hash


def test_the_finder_is_one_like_any_other(clustered, place, other):
    finder = load_finder(str(place.out / "finder"))
    assert finder.weights_hash == clustered.finder.weights_hash
    assert (finder.recipe.training.epochs, finder.recipe.training.batch_size) == (2, 8), "as it was trained"
    scores = score_set(finder, other)
    assert set(scores.status) == {"ok"}
    test = clustered.record["metrics"]["test"]["known"]["all"]
    lenses, others = (scores.logit[other.labels == value] for value in (1, 0))
    above = (lenses[:, None] > others).mean() + 0.5 * (lenses[:, None] == others).mean()
    # prepared test images are 16-bit, which may swap two that score alike
    assert test["auroc"]["value"] == pytest.approx(above, abs=0.01)
    images = finder.preprocess({"VIS": other.images("VIS", slice(0, 2))}).requires_grad_()
    finder.logit(images).sum().backward()
    assert torch.isfinite(images.grad).all()


def test_the_made_up_clusters_have_what_the_tests_need(clustered):
    assert [one.is_empty for one in clustered.clusters].count(False) >= 2
    assert any(one.is_empty for one in clustered.clusters)


def test_every_image_is_in_a_cluster(clustered, place, mixed):
    assert sum(one.n for one in clustered.clusters) == len(mixed)
    table = parquet.read_table(place.out / "members.parquet").to_pydict()
    assert table["id"] == mixed.ids
    counts = np.bincount(table["cluster"], minlength=3)
    assert counts.tolist() == [one.n for one in clustered.clusters]
    assert min(table["responsibility"]) >= 1 / 3


def test_everything_asked_for_is_measured(clustered):
    test = clustered.record["metrics"]["test"]
    assert [row["ratio"] for row in test["known"]["ratios"]] == [1, 100]
    assert test["orientations"]["n"] == 6
    assert (test["source_only"]["n_lenses"], test["source_only"]["n_empty"]) == (20, 20)


def test_the_page_shows_every_cluster_and_names_them(clustered, page):
    for one in clustered.clusters:
        section = page[page.index(f'id="cluster-{one.number}"') :].split("</section>")[0]
        assert f"n = {one.n}" in section
        assert re.findall(r'type="radio" name="(\d)" value="([\d.]+)"', section) == (
            [(str(one.number), value) for value in ("0", "0.5", "1")] if one.n else []
        )
        assert ("data:image/png" in section) == bool(one.n)
        assert (str(one.lenses) in section) == bool(one.n)
    facts = json.loads(re.search(r'<script type="application/json" id="facts">(.*?)</script>', page).group(1))
    assert facts["clusters"] == clustered.record["metrics"]["clusters"]


def test_the_page_asks_the_network_for_nothing(page):
    rest = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", page)
    assert "://" not in rest
    css = re.search(r"<style>(.*?)</style>", page, re.DOTALL).group(1)
    script = re.search(r"</script>\s*<script>(.*?)</script>", page, re.DOTALL).group(1)
    assert content_policy(css, script) in html.unescape(page), (
        "the policy names style and script as they stand in the page"
    )


def test_marks_are_taken_up_by_the_next_run_and_nothing_is_trained_again(
    clustered, recipe, mixed, place, options, monkeypatch
):
    monkeypatch.setattr("lensaudit.clustering.network.StageTask.batches", None)
    filled = [one.number for one in clustered.clusters if one.n]
    marks = {"clusters": clustered.record["metrics"]["clusters"], "marks": {str(filled[0]): 1, str(filled[-1]): 0}}
    (place.out / "marks.json").write_text(json.dumps(marks))
    again = cluster(recipe, ClusterData(mixed), place, options)
    assert again.finder.weights_hash != clustered.finder.weights_hash, "the marks are part of the weights"
    assert again.marked is not None
    stored = load_finder(str(place.out / "finder-marked"))
    assert stored.recipe.architecture_options["marked"] is True
    assert stored.module.head.marks[filled[0]] == 1.0
    assert stored.module.head.marks[filled[-1]] == 0.0
    assert 'value="1" checked' in (place.out / "clusters.html").read_text(encoding="utf-8")
    images = {"VIS": mixed.images("VIS", slice(0, 48))}
    with torch.inference_mode():
        by_known, by_marks = (
            one.logit(one.preprocess(images)).numpy() for one in (load_finder(str(place.out / "finder")), stored)
        )
    assert not np.array_equal(by_known, by_marks)
    marks["clusters"] = "0" * 64
    (place.out / "marks.json").write_text(json.dumps(marks))
    with pytest.raises(DataError, match=r"marks\.json: marks the clusters 000000000000, these are"):
        cluster(recipe, ClusterData(mixed), place, options)
    shown = (place.out / "clusters.html").read_text(encoding="utf-8")
    assert " checked" not in shown, "the page is there to be marked"
    assert clustered.record["metrics"]["clusters"] in shown


class Stopped(Exception):
    """The process ends here."""


def test_a_stopped_clustering_ends_with_the_same_weights(clustered, recipe, mixed, options, tmp_path, monkeypatch):
    for part in ("training.loop", "clustering.embed"):
        monkeypatch.setattr(f"lensaudit.{part}.SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    whole = clustered.finder.module.state_dict()
    interrupted = ClusterPlace(tmp_path / "stopped", device="cpu")
    for stop_at in (("training the denoiser", 3), ("training the extractor", 7), ("embedding images", 16)):

        def progress(what, done, _total, stop_at=stop_at):
            if (what, done) == stop_at:
                raise Stopped

        with pytest.raises(Stopped):
            cluster(recipe, ClusterData(mixed), interrupted, options, progress=progress)
    ended = cluster(recipe, ClusterData(mixed), interrupted, options)
    for name, tensor in ended.finder.module.state_dict().items():
        assert torch.equal(tensor, whole[name]), name


def test_two_processes_train_the_autoencoder_that_one_does(recipe, mixed, options, tmp_path):
    images = drawn_images(Finder(recipe, nn.Identity(), "test"), mixed, options, tmp_path, lambda *_: None)
    nets = []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        where = Workplace(folder, folder, device="cpu", processes=processes)
        nets.append(train_network(recipe, images, options, where, lambda *_: None))
    for (name, one), two in zip(nets[0].module.state_dict().items(), nets[1].module.state_dict().values(), strict=True):
        # float32 sums in another order, then rounded to 16 bit, of which a last digit may change
        torch.testing.assert_close(two, one, rtol=2e-3, atol=2e-4, msg=name)
    for stage, rows in nets[0].history.items():
        np.testing.assert_allclose(nets[1].history[stage], rows, rtol=1e-5, err_msg=stage)


def test_embeddings_go_on_where_they_stopped_for_the_same_weights_and_images(clustered, mixed, tmp_path, monkeypatch):
    module, prepared = clustered.finder.module, prepare_set(clustered.finder, mixed, tmp_path)
    store, posed = tmp_path / "e.safetensors", Posed(prepared, np.arange(len(prepared)))
    whole = embeddings(module, posed)
    monkeypatch.setattr("lensaudit.clustering.embed.SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    seen: list[int] = []

    def stop(done, total):
        raise Stopped

    with pytest.raises(Stopped):
        embeddings(module, posed, store, stop)
    assert np.array_equal(embeddings(module, posed, store, lambda done, _: seen.append(done)), whole)
    assert min(seen) == 16, "the first 8 were kept"
    for changed in (Posed(prepared, posed.rows[::-1].copy()), Posed(prepared, posed.rows, turned=True)):
        seen.clear()
        embeddings(module, changed, store, lambda done, _: seen.append(done))
        assert min(seen) == 8
    other = copy.deepcopy(module)
    with torch.no_grad():
        next(other.encoder.parameters()).add_(1.0)
    seen.clear()
    embeddings(other, posed, store, lambda done, _: seen.append(done))
    assert min(seen) == 8


def test_another_clustering_in_the_folder_is_refused(clustered, recipe, mixed, place, options):
    with pytest.raises(UsageError, match=r"another clustering .batch_size was 8"):
        cluster(recipe, ClusterData(mixed), place, options.model_copy(update={"batch_size": 4}))
    with pytest.raises(UsageError, match="extractor has 2 epochs, you ask for 1"):
        cluster(recipe, ClusterData(mixed), place, options.model_copy(update={"epochs": 1}))


def test_a_set_without_labels_is_clustered_and_says_nothing_of_lenses(recipe, unlabelled, options, tmp_path):
    found = cluster(recipe, ClusterData(unlabelled), ClusterPlace(tmp_path, device="cpu"), options)
    assert sum(one.n for one in found.clusters) == len(unlabelled)
    assert found.finder.module.head.known.tolist() == [0.5] * 3
    assert "What the labels say" not in (tmp_path / "clusters.html").read_text(encoding="utf-8")


def test_clusters_of_a_finder_are_taken_as_they_are(clustered, place, other, options, tmp_path):
    finder = load_finder(str(place.out / "finder"))
    known = finder.module.head.known.clone()
    found = cluster(finder, ClusterData(other), ClusterPlace(tmp_path, device="cpu"), options)
    assert sum(one.n for one in found.clusters) == len(other)
    assert found.record["metrics"]["clusters"] == clustered.record["metrics"]["clusters"]
    assert torch.equal(found.finder.module.head.known, known)


def test_without_a_denoiser_features_come_from_the_images_themselves(recipe, mixed, options, tmp_path):
    words = {**recipe.architecture_options, "denoise": False}
    plain = recipe.model_copy(update={"architecture_options": words})
    found = cluster(plain, ClusterData(mixed), ClusterPlace(tmp_path / "out"), options)
    images = torch.rand(2, 1, 20, 20, generator=torch.Generator().manual_seed(1))
    module = found.finder.module
    with torch.no_grad():
        assert torch.equal(module.posed(images), module.encoder(images))
    assert "No denoiser, extractor 2 epochs" in (tmp_path / "out" / "finder" / "card.md").read_text()
    assert {row.split(",")[0] for row in (tmp_path / "out/finder/history.csv").read_text().split()[1:]} == {"extractor"}
    assert not (tmp_path / "out" / "clustering" / "denoiser.safetensors").exists()
    again = load_finder(str(tmp_path / "out" / "finder")).module
    with torch.no_grad():
        torch.testing.assert_close(again(images), module(images))


def test_turned_images_train_another_network(clustered, recipe, mixed, options, tmp_path):
    turned = options.model_copy(update={"augment": "dihedral"})
    found = cluster(recipe, ClusterData(mixed), ClusterPlace(tmp_path, device="cpu"), turned)
    assert found.record["metrics"]["clusters"] != clustered.record["metrics"]["clusters"]


def test_sweep_trains_each_size_on_one_denoiser_and_goes_on(recipe, mixed, other, options, tmp_path, monkeypatch):
    where, data = ClusterPlace(tmp_path, device="cpu"), ClusterData(mixed, other)
    trained = []

    def progress(what, done, total):
        if "training" in what and done == total:
            trained.append(what)

    found = sweep_embedding(recipe, data, where, options, Sweep((2, 3), 2), progress)
    assert [(one.embedding, len(one.auroc)) for one in found.sizes] == [(2, 2), (3, 2)]
    assert sum("denoiser" in what for what in trained) == 1
    assert sum("extractor" in what for what in trained) == 4
    reruns = [(where.work / f"sweep-2-{rerun}" / "extractor.safetensors").read_bytes() for rerun in (0, 1)]
    assert reruns[0] != reruns[1]
    monkeypatch.setattr("lensaudit.clustering.network.StageTask.batches", None)
    assert sweep_embedding(recipe, data, where, options, Sweep((2, 3), 2), progress).sizes == found.sizes
    assert (tmp_path / "sweep.png").read_bytes()[:4] == b"\x89PNG"
    assert SweepResult.read(tmp_path / "sweep.json") == found


@pytest.mark.parametrize(
    ("extras", "says"), [(Extras(cut=True), "give --test"), (Extras(orientations=3), "give --test")]
)
def test_examinations_need_a_test_set(recipe, mixed, options, tmp_path, extras, says):
    with pytest.raises(UsageError, match=says):
        cluster(recipe, ClusterData(mixed), ClusterPlace(tmp_path), options, extras)


def test_what_does_not_fit_is_refused_before_any_work(recipe, mixed, options, tmp_path):
    with pytest.raises(UsageError, match="is the set that is clustered"):
        cluster(recipe, ClusterData(mixed, mixed), ClusterPlace(tmp_path), options)
    with pytest.raises(UsageError, match="clustering takes cae-bgm"):
        cluster(load_recipe("ou66"), ClusterData(mixed), ClusterPlace(tmp_path))
    with pytest.raises(DataError, match="has 48 images, --images asks for 49"):
        cluster(recipe, ClusterData(mixed), ClusterPlace(tmp_path), options.model_copy(update={"images": 49}))
    with pytest.raises(UsageError, match="train it with lensaudit cluster SET"):
        train(recipe, TrainingData(mixed), Place(tmp_path))


def test_the_exact_occlusion_engine_carries_its_layers(clustered, place, other):
    finder = load_finder(str(place.out / "finder"))
    image = {"VIS": other.images("VIS", slice(1, 2))}
    exact, plain = (occlusion(finder, image, patch=4, stride=4, engine=engine) for engine in ("exact", "captum"))
    # p in float32 after two autoencoders' worth of sums in another order, sharpened by the mixture
    np.testing.assert_allclose(exact.patches.p_lost, plain.patches.p_lost, rtol=0, atol=1e-4)
    assert np.ptp(plain.patches.p_lost) > 1e-2, "the occlusion changes something"


def test_every_epoch_and_stage_has_an_order_of_its_own(clustered, recipe, mixed, place, options):
    images = drawn_images(Finder(recipe, nn.Identity(), "test"), mixed, options, place.work, lambda *_: None)
    firsts = []
    for number, epoch in ((0, 0), (0, 1), (1, 0), (0, 0)):
        stage = Stage("some", number, nn.Linear(1, 1), nn.Identity(), 2)
        firsts.append(next(StageTask(stage, images, options, "cpu").batches(epoch, 0))[0])
    assert torch.equal(firsts[0], firsts[3])
    for one in (1, 2):
        assert not torch.equal(firsts[0], firsts[one])
