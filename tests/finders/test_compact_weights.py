"""Weights in few bits: exact in the file, read by all that reads finders, refused where a part lies; the command."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from lens_sets import EUCLID, write_set
from safetensors.torch import load_file, save, save_file

from lensaudit.errors import DataError, UsageError
from lensaudit.finders import (
    builtin_recipes,
    load_finder,
    load_recipe,
    read_published,
    read_record,
    rounded_to_bits,
    save_finder,
    score_set,
)
from lensaudit.finders.compact import as_stored, expanded

LARGE = 1500


def large(tensor: torch.Tensor) -> bool:
    return tensor.ndim > 1 and tensor.numel() >= LARGE


@pytest.fixture
def compact(make_finder, tmp_path):
    """Folder of an ou-j finder in 7 bit."""
    save_finder(rounded_to_bits(make_finder("ou-j"), 7), tmp_path / "compact", origin="a test")
    return tmp_path / "compact"


@pytest.mark.parametrize("bits", [4, 5, 6, 7, 8])
def test_a_rounded_finder_is_read_back_bit_for_bit_from_a_smaller_file(bits, make_finder, tmp_path):
    full = {key: tensor.clone() for key, tensor in make_finder("ou-j").module.state_dict().items()}
    finder = rounded_to_bits(make_finder("ou-j"), bits)
    record = save_finder(finder, tmp_path / "once", origin="a test")
    loaded = load_finder(str(tmp_path / "once"))
    assert loaded.weights_hash == finder.weights_hash == record.weights_hash
    for key, tensor in loaded.module.state_dict().items():
        assert torch.equal(tensor, finder.module.state_dict()[key])
    many = sum(tensor.numel() for tensor in full.values() if large(tensor))
    rows = sum(len(tensor) for tensor in full.values() if large(tensor))
    few = sum(tensor.numel() for tensor in full.values() if not large(tensor))
    size = (tmp_path / "once/weights.safetensors").stat().st_size
    exact = many * bits / 8 + 4 * (rows + few)
    assert exact <= size <= exact + rows + 8192  # a byte a row that is not full, and the header
    save_finder(loaded, tmp_path / "again", origin="a test")
    assert (tmp_path / "again/weights.safetensors").read_bytes() == (tmp_path / "once/weights.safetensors").read_bytes()


def test_weights_move_by_half_a_step_at_most_and_small_tensors_not_at_all(make_finder):
    full = {key: tensor.clone() for key, tensor in make_finder("ou-j").module.state_dict().items()}
    rounded = rounded_to_bits(make_finder("ou-j"), 8).module.state_dict()
    assert sum(map(large, full.values())) > 3
    for key, before in full.items():
        if not large(before):
            assert torch.equal(rounded[key], before)
            continue
        rows, after = before.flatten(1), rounded[key].flatten(1)
        steps = rows.abs().amax(dim=1, keepdim=True) / 127
        # its scale is rounded to 16 bit: 127 steps of 2^-16
        assert ((after - rows).abs() <= steps * (0.5 + 127 * 2**-16)).all()
        assert all(len(row.unique()) <= 255 for row in after)


def test_a_stranger_reads_the_file_by_what_the_page_says(compact):
    """With the function of the how-to, which knows numpy and safetensors alone."""
    page = (Path(__file__).parents[2] / "docs/how-to/compact-weights.md").read_text(encoding="utf-8")
    told: dict = {}
    exec(page.split("```python\n")[1].split("```")[0], told)
    stored = told["load_file"](compact / "weights.safetensors")
    wanted = load_finder(str(compact)).module.state_dict()
    names = [key.removesuffix(".codes") for key in stored if key.endswith(".codes")]
    assert len(names) > 3
    for name in names:
        found = told["matrix"](stored, name, tuple(wanted[name].shape), bits=7)
        assert torch.equal(torch.from_numpy(found), wanted[name])


def test_ordinary_weights_zeros_and_statistics_are_stored_as_before():
    generator = torch.Generator().manual_seed(1)
    drawn = torch.randn(64, 100, generator=generator)
    few = (2 * drawn).round().clamp(-7, 7) + 0.0
    few[:, 0], few[5] = 7, 0
    signed = torch.where(few == 0, -0.0, few)  # of 4 bits but for the sign of its zeros
    for tensor in (drawn, torch.zeros(64, 100), signed):
        stored = as_stored({"a": tensor, "third": torch.tensor([1 / 3])})
        assert set(stored) == {"a", "third"}
        assert torch.equal(stored["a"].view(torch.int32), tensor.view(torch.int32))
    tensors = {"a": few, "preprocessing.mean": few.clone(), "third": torch.tensor([1 / 3])}
    stored = as_stored(tensors)
    assert set(stored) == {"a.codes", "a.scales", "preprocessing.mean", "third"}
    assert stored["a.codes"].shape == (64, 50), "four bits of a hundred numbers"
    assert torch.equal(expanded(stored, {"a": few}, "here")["a"], few), "a unit that was pruned"
    assert as_stored({"a": few, "third": torch.tensor([0.5])})["third"].dtype == torch.float16


def changed(name, change):
    """A hostile change of the file's tensors: `change` of one of them, or without it where it gives None."""

    def apply(tensors):
        found = change(tensors[name])
        if found is None:
            del tensors[name]
        else:
            tensors[name] = found

    return apply


def with_nan(scales):
    scales[3] = torch.nan
    return scales


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (changed("4.weight.codes", lambda t: None), "tensor '4.weight.codes' is missing"),
        (changed("4.weight.scales", lambda t: None), "tensor '4.weight.scales' is missing"),
        (lambda t: t.update({"4.weight": torch.zeros(50, 50, 3, 3)}), "is there twice"),
        (lambda t: t.update({"0.bias.codes": torch.zeros(50, 1), "0.bias.scales": torch.ones(50)}), "there twice"),
        (changed("4.weight.codes", lambda t: t[:, :-1].clone()), r"uint8 of shape \(50, 393\), uint8 of 50 rows"),
        (changed("4.weight.codes", lambda t: t[:-1].clone()), r"of shape \(49, 394\)"),
        (changed("4.weight.codes", lambda t: t.flatten()), r"of shape \(19700,\)"),
        (changed("4.weight.codes", lambda t: t[:, :0].clone()), r"of shape \(50, 0\)"),
        (changed("4.weight.codes", lambda t: t.to(torch.int8)), "has int8 of shape"),
        (changed("4.weight.codes", lambda t: t.float()), "has float32 of shape"),
        (changed("4.weight.scales", with_nan), "'4.weight.scales' holds 1 of 50 values that are not finite"),
        (changed("4.weight.scales", lambda t: t / 0), "holds 50 of 50 values that are not finite"),
        (changed("4.weight.scales", lambda t: -t), "'4.weight.scales' holds scales below 0"),
        (changed("4.weight.scales", lambda t: t[:-1].clone()), r"has shape \(49,\), \(50,\) is needed"),
        (changed("4.weight.scales", lambda t: t[:, None].clone()), r"has shape \(50, 1\), \(50,\) is needed"),
        (changed("4.weight.scales", lambda t: t.to(torch.int32)), "is of type int32"),
        (changed("4.weight.scales", lambda t: t * 0 + 3e38), "'4.weight' holds .* values that are not finite"),
        (changed("4.weight.scales", lambda t: t * 1.01), "not the weights that finder.yaml records"),
        (changed("4.weight.codes", lambda t: t ^ 1), "not the weights that finder.yaml records"),
        (lambda t: t.update({"9.weight.scales": torch.ones(2)}), "does not belong to this architecture"),
    ],
)
def test_parts_that_are_missing_or_lie_are_one_line(change, says, compact, lensaudit):
    tensors = load_file(compact / "weights.safetensors")
    change(tensors)
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, compact / "weights.safetensors")
    with pytest.raises(DataError, match=says) as caught:
        load_finder(str(compact))
    assert str(compact / "weights.safetensors") in str(caught.value)
    code, out, err = lensaudit("dream", compact, "--out", compact.parent / "dream")
    assert (code, out, err.count("\n")) == (3, "", 1)


def test_codes_of_a_tensor_that_is_never_kept_so_are_refused(compact):
    tensors = load_file(compact / "weights.safetensors")
    bias = tensors.pop("0.bias")
    parts = {"0.bias.codes": torch.zeros(50, 1, dtype=torch.uint8), "0.bias.scales": torch.ones(50)}
    save_file(tensors | parts, compact / "weights.safetensors")
    with pytest.raises(DataError, match=r"'0.bias' of shape \(50,\) is never kept as codes"):
        load_finder(str(compact))
    assert bias.shape == (50,)


def test_a_compact_file_alone_is_imported(compact):
    finder = read_published(compact / "weights.safetensors", load_recipe("ou-j"))
    assert finder.weights_hash == read_record(compact).weights_hash


def test_other_numbers_of_bits_and_small_networks_are_refused(make_finder):
    for bits in (3, 9, 0):
        with pytest.raises(UsageError, match=f"{bits} bits: a weight is kept in 4 to 8"):
            rounded_to_bits(make_finder("ou-j"), bits)
    finder = make_finder("ou-j")
    for part in list(finder.module.children()):
        if any(large(tensor) for tensor in part.state_dict().values()):
            part.to(torch.float64)
    with pytest.raises(UsageError, match="has no matrix of 1500 weights or more"):
        rounded_to_bits(finder, 8)


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """48 images of noise with a blob, brighter where the label is 1."""
    rng = np.random.default_rng(3)
    pixels, scale = EUCLID["J"]
    grid = np.hypot(*np.meshgrid(*[np.linspace(-1, 1, pixels)] * 2))
    label = np.arange(48) % 2
    images = rng.normal(size=(48, pixels, pixels)) + (3 + 3 * label)[:, None, None] * np.exp(-8 * grid)
    folder = tmp_path_factory.mktemp("graded") / "set"
    return write_set(folder, {"J": images.astype(np.float32)}, {"J": scale}, {"label": label})


def test_the_command_makes_a_finder_and_says_what_changed(lensaudit, graded, make_finder, tmp_path):
    save_finder(make_finder("ou-j"), tmp_path / "full", origin="He-normal weights of a test")
    out = tmp_path / "small"
    code, text, _ = lensaudit("models", "compact", tmp_path / "full", graded.path, "--bits", 4, "--out", out, "--json")
    assert code == 0
    told = json.loads(text)
    full, small = load_finder(str(tmp_path / "full")), load_finder(str(out))
    before, after = (score_set(finder, graded).logit for finder in (full, small))
    lens = graded.labels == 1
    moved = np.abs(after - before)
    assert told["logit_change_largest"] == pytest.approx(moved.max())
    assert told["logit_change_median"] == pytest.approx(np.median(moved))
    assert moved.max() > 0
    assert told["called_otherwise"] == int(((before >= 0) != (after >= 0)).sum())
    wins = (after[lens][:, None] > after[~lens]).mean() + (after[lens][:, None] == after[~lens]).mean() / 2
    assert told["auroc"]["after"]["value"] == pytest.approx(wins)
    assert told["auroc"]["low"] <= told["auroc"]["change"] <= told["auroc"]["high"]
    assert (told["kept"], told["bits"], told["n_lenses"]) == ("not shown", 4, 24)
    assert told["file_bytes"] == (out / "weights.safetensors").stat().st_size
    assert json.loads((out / "compact.json").read_text())["auroc"] == told["auroc"]
    record = read_record(out)
    assert record.origin == "He-normal weights of a test; weights then rounded to 4 bit"
    assert record.metrics.test.auroc.value == pytest.approx(wins)
    assert record.provenance.inputs == {"finder": full.weights_hash, "set": graded.content_hash}
    card = (out / "card.md").read_text(encoding="utf-8")
    assert "## Weights in 4 bit" in card
    assert f"* Weights SHA-256 `{small.weights_hash}`." in card
    assert full.weights_hash in card.split("## Weights in 4 bit")[1]
    code, text, _ = lensaudit("models", "compact", tmp_path / "full", graded.path, "--bits", 4, "--out", out)
    assert (code, "not shown whether the scores are kept" in text) == (0, True), "the same again is no other finder"


def test_the_command_refuses_its_own_folder_another_finder_and_sets_that_tell_nothing(
    lensaudit, graded, make_finder, tmp_path
):
    facts = {"set": graded.content_hash}
    save_finder(make_finder("ou-j"), tmp_path / "full", origin="a test")
    save_finder(make_finder("ou-j", 3), tmp_path / "trained", origin="a test", training_data=facts)
    rng = np.random.default_rng(4)
    alike = write_set(tmp_path / "alike", {"J": rng.normal(size=(4, 66, 66)).astype(np.float32)}, {"J": 0.3})
    for words, code, says in (
        (("full", graded.path, "--out", tmp_path / "full"), 2, "is the folder of the finder itself"),
        (("full", graded.path, "--out", tmp_path / "trained"), 2, "holds a finder already"),
        (("full", alike.path, "--out", tmp_path / "new"), 3, "lenses and non-lenses with labels are needed"),
        (("trained", graded.path, "--out", tmp_path / "new"), 3, "better than elsewhere"),
        (("full", graded.path, "--out", tmp_path / "new", "--bits", 9), 2, "--bits"),
    ):
        found = lensaudit("models", "compact", tmp_path / words[0], *words[1:])
        assert (found[0], found[1]) == (code, "")
        assert says in found[2]
        assert found[2].count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_a_file_of_a_compact_finder_is_plain_safetensors(compact):
    """Nothing but tensors: no metadata is read, and writing the same tensors gives the same bytes."""
    data = (compact / "weights.safetensors").read_bytes()
    assert save(load_file(compact / "weights.safetensors")) == data


def lensflow_images() -> np.ndarray:
    """Four noisy blobs of 100 pixels, two of them with half a ring; float32 (4, 100, 100)."""
    rng = np.random.default_rng(8)
    x, y = np.meshgrid(*[np.linspace(-5, 5, 100)] * 2)
    radius = np.hypot(x, y)
    blob, ring = np.exp(-(radius**2) / 2), np.exp(-(((radius - 1.8) / 0.2) ** 2)) * (x > 0)
    light = np.stack([blob, 2 * blob, blob + ring, 2 * blob + ring])
    return (10 * light + rng.normal(size=light.shape)).astype(np.float32)


KEPT = (-3.2324, -7.7089, 32.7952, 38.7021)
"""Log-odds of the shipped LensFlow for `lensflow_images`, noted when it was shipped."""


def test_the_shipped_lensflow_is_below_8_mb_and_scores_as_it_did():
    folder = builtin_recipes()["lensflow"]
    finder = load_finder("lensflow")
    assert (folder / "weights.safetensors").stat().st_size < 8_000_000
    assert finder.parameters == 8_754_532
    stored = load_file(folder / "weights.safetensors")
    assert {key for key in stored if key.endswith(".codes")} == {
        f"{layer}.weight.codes" for layer in (3, 6, 10, 12, 14)
    }
    prepared = finder.preprocess({"VIS": lensflow_images()})
    with torch.inference_mode():
        found = finder.logit(prepared).tolist()
    assert found == pytest.approx(KEPT, abs=1e-3)  # float32 sums of 7290 products in another order
