"""Weights under other names, in other mappings and types: matched exactly, or refused with what the file holds."""

import argparse
import sys
from collections import OrderedDict
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lensaudit.errors import DataError, UsageError
from lensaudit.finders import Finder, load_recipe, read_published
from lensaudit.finders.published import published_names

State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def seeded():
    """Name of a recipe → its tensors under the paper's names, seeded."""
    from lensaudit.finders import initialised_module

    def make(name: str) -> State:
        module = initialised_module(load_recipe(name), torch.Generator().manual_seed(4))
        ours = module.state_dict()
        return {theirs: ours[key] for theirs, key in published_names(module).items()}

    return make


def bits(finder: Finder) -> list[torch.Tensor]:
    return list(finder.module.state_dict().values())


def assert_holds(finder: Finder, state: State, rtol: float = 0.0) -> None:
    for mine, theirs in zip(bits(finder), state.values(), strict=True):
        torch.testing.assert_close(mine, theirs.float(), rtol=rtol, atol=0)


def prefixed(state: State, prefix: str) -> State:
    return {prefix + key: value for key, value in state.items()}


def own_layers(state: State) -> State:
    """As an author names layers: conv1, conv2 … fc1, fc2, with nothing of ours in it."""
    stems = dict.fromkeys(key.rpartition(".")[0] for key in state)
    names = {}
    for number, stem in enumerate(stems):
        kind = "fc" if stem.startswith("fc_") else "conv"
        names[stem] = f"{kind}{number + 1}"
    return {f"{names[key.rpartition('.')[0]]}.{key.rpartition('.')[2]}": value for key, value in state.items()}


@pytest.mark.parametrize(
    "prefix",
    ["module.", "model.", "net.", "network.", "_orig_mod.", "VIS_", "module.model.", "model._orig_mod.net.", "J_"],
)
@pytest.mark.parametrize("name", ["ou-vis", "ou-j", "ou66"])
def test_a_prefix_that_all_names_share_is_left_away(prefix, name, seeded, tmp_path):
    state = seeded(name)
    torch.save(OrderedDict(prefixed(state, prefix)), tmp_path / "w.pt")
    finder = read_published(tmp_path / "w.pt", load_recipe(name))
    assert_holds(finder, state)
    assert f"names without {prefix}" in finder.origin


@pytest.mark.parametrize("name", ["ou-vis", "ou-h"])
def test_names_of_two_sequences_with_one_renamed_are_matched_by_order(name, seeded, tmp_path):
    """As ``VIS_layer`` beside a plain ``fc_layer``: no common prefix, the same layers in the same order."""
    state = seeded(name)
    renamed = {("VIS_" if key.startswith("layer") else "") + key: value for key, value in state.items()}
    torch.save(renamed, tmp_path / "w.pt")
    finder = read_published(tmp_path / "w.pt", load_recipe(name))
    assert_holds(finder, state)
    assert finder.origin.endswith(", by order and shape")


def lightning(state: State) -> dict:
    parameters = list(state.values())
    return {
        "epoch": 3,
        "global_step": 400,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": prefixed(state, "model.") | {"criterion.weight": torch.ones(2)},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros_like(parameters[0]), "step": torch.tensor(4.0)}}}],
        "hyper_parameters": {"lr": 1e-3, "bands": ("VIS",)},
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 4}}}},
    }


WRAPPED = {
    "state_dict": lambda s: {"state_dict": s},
    "net and epoch": lambda s: {"net": s, "epoch": 12, "acc": np.float64(0.9)},
    "model_state_dict": lambda s: {
        "epoch": 3,
        "model_state_dict": prefixed(s, "module."),
        "optimizer_state_dict": {
            "state": {
                i: {"exp_avg": torch.zeros_like(t), "exp_avg_sq": torch.zeros_like(t)} for i, t in enumerate(s.values())
            },
            "param_groups": [{"lr": 1e-3, "params": list(range(len(s)))}],
        },
        "loss": 0.3,
    },
    "entries beside tensors": lambda s: {**s, "epoch": 3, "args": argparse.Namespace(lr=0.1), "best": None},
    "two levels": lambda s: {"checkpoint": {"model": s}, "step": 5},
    "lightning": lightning,
    "parameters": lambda s: {key: torch.nn.Parameter(value) for key, value in s.items()},
    "own names in a mapping": lambda s: {"model": own_layers(s)},
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
@pytest.mark.parametrize("legacy", [False, True])
def test_a_mapping_in_a_checkpoint_is_found(wrap, legacy, seeded, tmp_path):
    state = seeded("ou-vis")
    torch.save(wrap(state), tmp_path / "w.pt", _use_new_zipfile_serialization=not legacy)
    assert_holds(read_published(tmp_path / "w.pt", load_recipe("ou-vis")), state)


def test_what_lies_beside_the_network_is_named_and_left_out(seeded, tmp_path):
    torch.save(lightning(seeded("ou-j")), tmp_path / "w.ckpt")
    origin = read_published(tmp_path / "w.ckpt", load_recipe("ou-j")).origin
    assert origin.endswith(", entry state_dict, names without model., left out: criterion.weight")


def test_hyper_parameters_of_lightning_are_passed_over(seeded, tmp_path, monkeypatch):
    """Its AttributeDict is a class of its own, and is not imported to read the weights."""
    module = ModuleType("pytorch_lightning.utilities.parsing")
    module.AttributeDict = type(
        "AttributeDict", (dict,), {"__module__": module.__name__, "__qualname__": "AttributeDict"}
    )
    for name in ("pytorch_lightning", "pytorch_lightning.utilities", module.__name__):
        monkeypatch.setitem(sys.modules, name, module)
    state = seeded("ou-vis")
    torch.save({"state_dict": state, "hyper_parameters": module.AttributeDict(lr=1e-3)}, tmp_path / "w.ckpt")
    for name in ("pytorch_lightning", "pytorch_lightning.utilities", module.__name__):
        monkeypatch.delitem(sys.modules, name)
    assert_holds(read_published(tmp_path / "w.ckpt", load_recipe("ou-vis")), state)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_taken(dtype, seeded, tmp_path):
    state = {key: value.to(dtype) for key, value in seeded("ou-vis").items()}
    torch.save(state, tmp_path / "w.pt")
    finder = read_published(tmp_path / "w.pt", load_recipe("ou-vis"))
    assert {tensor.dtype for tensor in bits(finder)} == {torch.float32}
    assert_holds(finder, state)


@pytest.mark.parametrize(
    "change", [lambda s: s, lambda s: prefixed(s, "model."), own_layers], ids=["plain", "model.", "own"]
)
def test_safetensors_files_are_read_by_name_or_by_the_numbers_in_names(change, seeded, tmp_path):
    state = seeded("ou66")
    save_file(change(state), tmp_path / "w.safetensors")
    assert_holds(read_published(tmp_path / "w.safetensors", load_recipe("ou66")), state)


def test_order_decides_nothing_in_a_file_that_keeps_none(seeded, tmp_path):
    """Three convolutions of one shape, called by words: in a safetensors file any of them may be any."""
    words = dict(zip("abcdefghijk", "abcdefghijk", strict=True))
    state = {
        f"{words[chr(97 + i // 2)]}.{key.rpartition('.')[2]}": v for i, (key, v) in enumerate(seeded("ou66").items())
    }
    torch.save(state, tmp_path / "w.pt")
    assert read_published(tmp_path / "w.pt", load_recipe("ou66")).origin.endswith(", by order and shape")
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(DataError, match=r"fit neither by name nor.* by order"):
        read_published(tmp_path / "w.safetensors", load_recipe("ou66"))


def test_an_order_that_the_numbers_in_names_contradict_is_refused(seeded, tmp_path):
    """A file whose names were sorted as words: conv10 before conv4."""
    state = {
        f"conv{key.split('.')[1]}.{key.split('.')[2]}": v
        for key, v in seeded("ou66").items()
        if not key.startswith("fc")
    }
    state |= {key: v for key, v in seeded("ou66").items() if key.startswith("fc")}
    names = list(state)
    alike = [name for name in names if state[name].shape in ((50, 50, 3, 3), (50,)) and name.startswith("conv")]
    swapped = dict(zip(alike, sorted(alike), strict=True))
    assert [*swapped] != [*swapped.values()]
    torch.save({swapped.get(name, name): state[swapped.get(name, name)] for name in names}, tmp_path / "w.pt")
    with pytest.raises(DataError, match="fit neither by name nor"):
        read_published(tmp_path / "w.pt", load_recipe("ou66"))


@pytest.mark.parametrize(
    ("wrap", "says"),
    [
        (
            lambda s: {"net": s, "ema": {k: v + 1 for k, v in s.items()}},
            "holds 2 sets of weights that fit (net:* and ema:*)",
        ),
        (
            lambda s: prefixed(s, "student.") | prefixed({k: v + 1 for k, v in s.items()}, "teacher."),
            "student.* and :teacher.*",
        ),
        (
            lambda s: {"blocks": {"weird.first": torch.zeros(3)}},
            "the first is 'weird.first' (3,), expected are 16, the first",
        ),
        (lambda s: {k: v for k, v in own_layers(s).items() if k != "conv2.bias"}, "the first is 'conv1.weight'"),
        (
            lambda s: prefixed(s, "model.") | {"model.layer.99.weight": torch.zeros(2)},
            "'model.layer.99.weight' does not",
        ),
        (lambda s: [s], "holds a list, a state dict is needed"),
        (lambda s: next(iter(s.values())), "holds a Tensor, a state dict is needed"),
    ],
)
def test_what_does_not_fit_or_not_alone_is_named(wrap, says, seeded, tmp_path):
    torch.save(wrap(seeded("ou-vis")), tmp_path / "w.pt")
    with pytest.raises(DataError) as refused:
        read_published(tmp_path / "w.pt", load_recipe("ou-vis"))
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "name", ["cae-bgm", "ou66-p4m", "deeplens", "petrillo", "epfl-resnet-101", "lastro-101", "lensflow"]
)
def test_architectures_without_a_published_form_take_our_own_names(name, make_finder, tmp_path):
    finder = make_finder(name)
    state = finder.module.state_dict()
    torch.save(prefixed(state, "model."), tmp_path / "w.pt")
    found = read_published(tmp_path / "w.pt", finder.recipe)
    for key, value in found.module.state_dict().items():
        assert torch.equal(value, state[key])
    torch.save({"layer.0.weight": torch.zeros(50, 4, 3, 3)}, tmp_path / "w.pt")
    with pytest.raises(DataError, match=r"first is 'layer\.0\.weight' .50, 4, 3, 3."):
        read_published(tmp_path / "w.pt", finder.recipe)


def test_an_ensemble_has_no_weights_of_its_own_to_import(tmp_path):
    torch.save({"layer.0.weight": torch.zeros(1)}, tmp_path / "w.pt")
    with pytest.raises(UsageError, match=r"is an ensemble, .* lensaudit ensemble ou-j ou-y"):
        read_published(tmp_path / "w.pt", load_recipe("ou-tsne"))


def test_statistics_come_along_where_the_file_has_them(make_finder, tmp_path):
    finder = make_finder("deeplens")
    own = {f"preprocessing.{name}": value for name, value in finder.statistics.items()}
    torch.save({**finder.module.state_dict(), **own}, tmp_path / "w.pt")
    found = read_published(tmp_path / "w.pt", finder.recipe)
    assert all(torch.equal(found.statistics[name], finder.statistics[name]) for name in ("mean", "sigma"))
    assert found.weights_hash == finder.weights_hash
