"""Published state dicts: read without running them, and refused by name where they differ."""

import os
import re
import warnings
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from lensaudit.errors import DataError
from lensaudit.finders import load_finder, load_recipe, read_published
from lensaudit.finders.architectures import unfilled
from lensaudit.finders.published import published_names

# as the published files have them
FC_START = {"ou66": 31, "ou200": 23}


def published(name: str) -> OrderedDict:
    """A state dict of the paper's shapes under the paper's names, filled with seeded noise."""
    generator = torch.Generator().manual_seed(4)
    renamed = OrderedDict()
    for key, tensor in unfilled(name, 4).state_dict().items():
        index, kind = key.split(".")
        start = FC_START[name]
        paper = f"layer.{index}.{kind}" if int(index) < start else f"fc_layer.{int(index) - start}.{kind}"
        renamed[paper] = torch.randn(tensor.shape, generator=generator)
    return renamed


@pytest.mark.parametrize("name", FC_START)
def test_published_names_are_mapped_layer_by_layer(name):
    assert list(published_names(unfilled(name, 4))) == list(published(name))


@pytest.mark.parametrize("name", FC_START)
def test_a_published_file_is_read_bit_by_bit(name, tmp_path):
    state = published(name)
    torch.save(state, tmp_path / "w.pt")
    finder = read_published(tmp_path / "w.pt", load_recipe(name))
    assert all(torch.equal(a, b) for a, b in zip(finder.module.state_dict().values(), state.values(), strict=True))
    assert finder.origin.startswith("imported from w.pt (SHA-256 ")


def test_our_own_names_are_taken_too(make_finder, tmp_path):
    finder = make_finder("ou66")
    torch.save(finder.module.state_dict(), tmp_path / "w.pt")
    assert read_published(tmp_path / "w.pt", finder.recipe).weights_hash == finder.weights_hash


class Evil:
    def __init__(self, path, function=os.mkdir):
        self.path, self.function = path, function

    def __reduce__(self):
        return (self.function, (self.path,))


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("function", [os.mkdir, open, print])
def test_a_pickle_that_would_run_code_runs_none(function, legacy, tmp_path, lensaudit):
    target = tmp_path / "made-by-the-pickle"
    state = published("ou66")
    state["layer.0.bias"] = Evil(str(target), function)
    torch.save(state, tmp_path / "evil.pt", _use_new_zipfile_serialization=not legacy)
    code, _, err = lensaudit("models", "import", tmp_path / "evil.pt", "--as", "ou66", "--out", tmp_path / "out")
    assert code == 3
    assert re.search(rf"it asks for \S*{function.__name__} to be run", err)
    assert err.count("\n") == 1
    assert not target.exists()
    assert not (tmp_path / "out").exists()


def quantised(count: int) -> torch.Tensor:
    with warnings.catch_warnings():  # torch gives these up
        warnings.simplefilter("ignore")
        return torch.quantize_per_tensor(torch.zeros(count), 1.0, 0, torch.qint8)


def test_the_evil_pickle_is_evil(tmp_path):
    target = tmp_path / "made-by-the-pickle"
    torch.save({"a": Evil(str(target))}, tmp_path / "evil.pt")
    torch.load(tmp_path / "evil.pt", weights_only=False)
    assert target.is_dir()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s.pop("fc_layer.2.bias"), "tensor '33.bias' is missing"),
        (lambda s: s.update({"layer.99.weight": torch.zeros(2)}), "tensor 'layer.99.weight' does not belong"),
        (lambda s: s.update({"layer.0.weight": torch.zeros(50, 4, 5, 5)}), "(50, 4, 5, 5), (50, 4, 3, 3) is needed"),
        (lambda s: s.update({"layer.0.bias": torch.zeros(50, dtype=torch.int64)}), "is of type int64, floats of"),
        (lambda s: s.update({"layer.0.bias": torch.zeros(50, dtype=torch.complex64)}), "is of type complex64, floats"),
        (lambda s: s.update({"layer.0.bias": torch.zeros(50).to(torch.float8_e4m3fn)}), "is of type float8_e4m3fn,"),
        (lambda s: s.update({"layer.0.bias": torch.zeros(50).bool()}), "is of type bool, floats of"),
        (lambda s: s.update({"layer.0.bias": torch.zeros(50, device="meta")}), "has a shape and no values"),
        (lambda s: s.update({"layer.0.bias": quantised(50)}), "is quantised, not a plain tensor"),
        (lambda s: s.update({"layer.0.bias": torch.full((50,), 1e300, dtype=torch.float64)}), "holds 50 of 50 values"),
        (lambda s: s.update({"layer.0.bias": torch.full((50,), torch.inf)}), "not finite floats"),
        (lambda s: s.update({"layer.0.bias": torch.zeros(50).to_sparse()}), "is sparse, not a plain tensor"),
        (lambda s: s.clear(), "holds a mapping without tensors, a state dict is needed"),
    ],
)
def test_what_differs_is_named(change, says, tmp_path):
    state = published("ou66")
    change(state)
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(DataError) as caught:
        read_published(tmp_path / "w.pt", load_recipe("ou66"))
    assert says in str(caught.value)
    assert "w.pt" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_of_another_finder_are_refused(tmp_path):
    torch.save(published("ou66"), tmp_path / "w.pt")
    with pytest.raises(DataError, match=r"tensor '(fc_)?layer\.\d+\.weight'"):
        read_published(tmp_path / "w.pt", load_recipe("ou200"))
    with pytest.raises(DataError, match=r"shape \(50, 4, 3, 3\), \(50, 3, 3, 3\) is needed"):
        read_published(tmp_path / "w.pt", load_recipe("ou-jyh"))


def truncated(path: Path) -> bytes:
    torch.save(published("ou66"), path)
    return path.read_bytes()[:5000]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"hello", "is a text file, not a file of weights"),
        (b"<!DOCTYPE html><html>", "is an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
        (b"\x89HDF\r\n\x1a\n", "is an HDF5 file"),
        (b"\x93NUMPY\x01\x00", "is a NumPy array file"),
        (truncated, "is not a plain state dict"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_state_dict_is_refused(content, says, tmp_path):
    path = tmp_path / "w.pt"
    path.write_bytes(content(path) if callable(content) else content)
    with pytest.raises(DataError, match=rf"w\.pt: {says}") as caught:
        read_published(path, load_recipe("ou66"))
    assert "\n" not in str(caught.value)


def test_import_list_and_show_commands(tmp_path, lensaudit):
    torch.save(published("ou200"), tmp_path / "w.pt")
    out = tmp_path / "finder"
    words = ("models", "import", tmp_path / "w.pt", "--as", "OU-200", "--out", out)
    code, printed, _ = lensaudit(*words)
    assert code == 0
    assert "331632 parameters, bands J, Y, H, VIS" in printed
    assert load_finder(str(out)).parameters == 331_632
    assert lensaudit(*words)[0] == 2
    assert lensaudit(*words, "--force")[0] == 0
    assert lensaudit("models", "import", tmp_path / "no.pt", "--as", "ou200", "--out", out, "--force")[0] == 3
    assert "Imported from w.pt" in lensaudit("models", "show", out)[1]
    assert '"architecture": "ou66"' in lensaudit("models", "list", "--json")[1]
    assert "ou-jyh" in lensaudit("models", "list")[1]
    code, _, err = lensaudit("models", "show", "ou67")
    assert code == 2
    assert "did you mean ou66" in err
