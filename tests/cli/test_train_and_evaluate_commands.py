"""``train`` and ``evaluate`` as typed: what they print, write and refuse."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from lens_sets import EUCLID, write_set

from lensaudit.errors import DataError, UsageError
from lensaudit.finders import Finder, initialised, load_finder, load_recipe, save_finder
from lensaudit.lensset import LensSet


def write_noise(path: Path, labels: np.ndarray, seed: int = 1) -> LensSet:
    """Noise of 20 pixels of 1″ in the bands of ou66, whose size is another on purpose."""
    n, rng = len(labels), np.random.default_rng(seed)
    images = {band: rng.normal(size=(n, 20, 20)).astype(np.float32) for band in EUCLID}
    return write_set(path, images, dict.fromkeys(EUCLID, 1.0), {"label": labels.astype(int)}, unit="adu")


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory) -> Path:
    """A set of 24 labelled and 2 unlabelled images, its scores, and an untrained ou66."""
    root = tmp_path_factory.mktemp("commands")
    write_noise(root / "set", np.r_[np.arange(24) % 2, -1, -1])
    recipe = load_recipe("ou66")
    module = initialised("ou66", 4, 2, generator=torch.Generator().manual_seed(1))
    save_finder(Finder(recipe, module, "test"), root / "finder", origin="He-normal weights of a test")
    run("score", root / "finder", root / "set", "--out", root / "scores.parquet", "--device", "cpu")
    return root


def test_data_may_be_named_several_times(run, refused, folder, tmp_path):
    write_noise(tmp_path / "more", np.arange(10) % 2, seed=3)
    words = ("train", "ou66", "--data", folder / "set", "--data", tmp_path / "more")
    told = json.loads(run(*words, "--epochs", 1, "--batch", 16, "--device", "cpu", "--out", tmp_path / "out", "--json"))
    assert [one["n_labelled"] for one in told["training_data"]["sets"]] == [24, 10]
    assert told["training_data"]["n_training"] + told["training_data"]["n_validation"] == 34
    said = refused(UsageError, *words, "--data", folder / "set", "--out", tmp_path / "twice")
    assert "set: is given twice; give --data other images" in said


def test_evaluate_prints_a_table_and_writes_json_and_plot(refused, run, folder, tmp_path):
    shown = run("evaluate", folder / "finder", folder / "set", "--scores", folder / "scores.parquet", "--out", tmp_path)
    for words in ("12 lenses, 12 non-lenses, 2 unlabelled", "AUROC", "TPR10", "Fβ, β = 0.03", "Wilson"):
        assert words in " ".join(shown.split())
    record = json.loads((tmp_path / "evaluation.json").read_text(encoding="utf-8"))
    assert record["n"] == 24
    assert record["n_unlabelled"] == 2
    assert record["provenance"]["inputs"]["set"] == LensSet.open(folder / "set").content_hash
    assert (tmp_path / "evaluation.png").is_file()
    run("evaluate", folder / "finder", folder / "set", "--scores", folder / "scores.parquet", "--out", tmp_path)
    write_noise(tmp_path / "other", np.arange(24) % 2, seed=2)
    told = refused(UsageError, "evaluate", folder / "finder", tmp_path / "other", "--out", tmp_path)
    assert "evaluation.json: is the evaluation of another set" in told
    assert "choose another --out, or --force to replace it" in told


def test_a_finder_whose_other_output_is_the_lens_is_told(lensaudit, folder, tmp_path):
    finder = load_finder(str(folder / "finder"))
    lens_set = LensSet.open(folder / "set")
    with torch.inference_mode():
        logit = finder.logit(finder.preprocess(lens_set.cutouts(range(24)))).numpy()
    write_noise(tmp_path / "turned", np.r_[logit < np.median(logit), -1, -1])
    code, _, error = lensaudit("evaluate", folder / "finder", tmp_path / "turned", "--device", "cpu")
    assert code == 0
    assert "ranks non-lenses above lenses; check that label 1 means a lens, and which output" in error


def test_scores_from_a_file_are_those_computed(run, folder):
    words = ("evaluate", folder / "finder", folder / "set", "--json", "--device", "cpu")
    fresh, stored = json.loads(run(*words)), json.loads(run(*words, "--scores", folder / "scores.parquet"))
    assert fresh["metrics"] == stored["metrics"]


def test_threshold_and_beta_are_the_users(run, folder):
    words = ("evaluate", folder / "finder", folder / "set", "--scores", folder / "scores.parquet", "--json")
    record = json.loads(run(*words, "--threshold", 0, "--beta", 2))
    assert (record["threshold"], record["beta"]) == (0.0, 2.0)
    values = {metric["name"]: metric["value"] for metric in record["metrics"]}
    assert (values["recall"], values["accuracy"]) == (1.0, 0.5)
    assert values["fbeta"] == pytest.approx(5 * 0.5 / (4 * 0.5 + 1))


def test_a_set_without_labels_is_nulls_and_no_error(run, folder, tmp_path):
    write_noise(tmp_path / "unknown", np.full(8, -1))
    record = json.loads(run("evaluate", folder / "finder", tmp_path / "unknown", "--json", "--device", "cpu"))
    assert all(metric["value"] is None and metric["status"] for metric in record["metrics"])


def test_scores_of_other_images_are_refused(refused, folder, tmp_path):
    write_noise(tmp_path / "longer", np.arange(30) % 2)
    words = ("evaluate", folder / "finder", tmp_path / "longer", "--scores", folder / "scores.parquet")
    assert "4 ids are missing (image-0026, image-0027, image-0028, …)" in refused(DataError, *words)
    write_noise(tmp_path / "alike", np.arange(26) % 2, seed=2)
    words = ("evaluate", folder / "finder", tmp_path / "alike", "--scores", folder / "scores.parquet")
    assert "holds scores of another set" in refused(DataError, *words)


def test_train_makes_a_finder_that_evaluate_opens(run, folder, tmp_path):
    words = ("--data", folder / "set", "--validation-fraction", 0.25, "--epochs", 1, "--batch", 9, "--threads", 1)
    shown = run("train", "ou66", *words, "--out", tmp_path / "mine", "--device", "cpu")
    assert "ou66 after 1 epochs; weights of epoch 1 kept" in shown
    assert "6 validation images, which chose the epoch: AUROC" in shown
    assert json.loads(run("evaluate", tmp_path / "mine", folder / "set", "--json", "--device", "cpu"))["n"] == 24
    again = json.loads(run("train", "ou66", *words, "--out", tmp_path / "mine", "--json"))
    assert again["metrics"]["epochs"] == 1


def test_train_refuses_what_does_not_go_together(cli, refused, folder, tmp_path):
    words = ("train", "ou66", "--data", folder / "set", "--out", tmp_path / "x")
    both = refused(UsageError, *words, "--validation", folder / "set", "--validation-fraction", 0.2)
    assert "exclude each other" in both
    assert "'constant', 'cosine', 'one-cycle', 'steps'" in cli(*words, "--schedule", "stairs", code=2).output
    assert "'tpu' is not one of 'auto', 'cpu', 'cuda'" in cli(*words, "--device", "tpu", code=2).output
    assert "did you mean ou66" in refused(UsageError, "train", "ou67", *words[2:])
    assert not (tmp_path / "x").exists()


# Enough epochs that the signal comes before the end even where this process is late to see the first checkpoint.
NINE_EPOCHS = ("--epochs", 9, "--batch", 5, "--threads", 1, "--device", "cpu")


@pytest.fixture(scope="module")
def undisturbed(run, folder, tmp_path_factory) -> str:
    """Hash of the weights of the training that nothing stops."""
    out = tmp_path_factory.mktemp("undisturbed") / "b"
    return json.loads(run("train", "ou66", "--data", folder / "set", *NINE_EPOCHS, "--out", out, "--json"))[
        "weights_hash"
    ]


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_command_goes_on_when_repeated(run, folder, undisturbed, tmp_path, until, how):
    words = ("train", "ou66", "--data", folder / "set", *NINE_EPOCHS)
    command = [sys.executable, "-m", "lensaudit", *map(str, words), "--out"]
    process = subprocess.Popen(
        [*command, str(tmp_path / "a")], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    checkpoint = tmp_path / "a" / "training" / "checkpoint.safetensors"
    until(lambda: checkpoint.exists() or process.poll() is not None, 200)
    process.send_signal(how)
    _, shown = process.communicate(timeout=100)
    if how == signal.SIGINT:
        assert process.returncode == 130, shown
        assert "run the same command again to go on where it stopped" in shown
    assert "Traceback" not in shown
    first = json.loads(run(*words, "--out", tmp_path / "a", "--json"))
    assert first["weights_hash"] == undisturbed
